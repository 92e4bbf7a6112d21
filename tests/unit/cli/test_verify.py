"""``syncsvc verify``: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from syncsvc.cli import main
from tests.recordings import recording, write_segments


def verify(*words: str) -> Result:
    return CliRunner().invoke(main, ["verify", *words])


def test_a_recording_that_is_whole_and_one_that_is_not(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    good = verify(str(tmp_path))
    assert good.exit_code == 0
    assert good.stdout.splitlines() == [
        f"{tmp_path}/000001  2 batches  10 sets  frames north:9 south:9 west:10",
        f"{tmp_path}/000002  2 batches  10 sets  frames north:10 south:10 west:10",
        f"{tmp_path}: every frame is there, is what it should be, and when",
    ]
    told = json.loads(verify(str(tmp_path), "--json").stdout)
    assert (told["is_whole"], told["count"], [one["sets"] for one in told["segments"]]) == (True, 0, [10, 10])
    times = tmp_path / "000001" / "times.csv"
    times.write_text(times.read_text().replace(",rtcp,", ",pts,"))
    bad = verify(str(tmp_path))
    assert bad.exit_code == 1
    assert f"{times}:2: frame 0 of north (seq 0): clock is pts; group lobby #3 says rtcp" in bad.stdout
    assert bad.stdout.splitlines()[-1] == f"{tmp_path}: 28 differences, 8 more than are listed"
    assert json.loads(verify(str(tmp_path), "--json").stdout)["count"] == 28


@pytest.mark.parametrize("name", ["", "nothing-there"])
def test_what_is_no_recording_gets_one_line_and_exit_code_2(tmp_path: Path, name: str) -> None:
    refused = verify(str(tmp_path / name))
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert str(tmp_path / name) in refused.stderr
