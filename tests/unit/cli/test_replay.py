"""``syncsvc replay``: what it refuses, each in one line, before it binds anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from syncsvc.cli import main
from tests.recordings import recording, write_segments


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("nowhere",), "found nothing; allowed: a folder", 2),
        ((".", "--live", "tcp://10.0.0.1:5555"), "--live: found 'tcp://10.0.0.1:5555', which is off loopback", 2),
        ((".", "--control", "udp://127.0.0.1:1"), "--control: found 'udp://127.0.0.1:1'", 2),
        ((".", "--speed", "fast"), "'fast' is neither max nor a number", 2),
        ((".", "--speed", "0"), "'0' is neither max nor a number", 2),
        ((".", "--times", "later"), "later", 2),
        ((".", "--wait-for", "-1"), "-1", 2),
        ((".", "--from", "noon"), "--from: found 'noon'; allowed: seconds after the beginning", 2),
        ((".", "--from", "9"), "nothing was recorded from 9 to the end", 2),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str, code: int
) -> None:
    write_segments(tmp_path, recording())
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, ["replay", *words])
    assert refused.exit_code == code
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_file_that_is_missing_is_named_and_the_others_are_played(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    (tmp_path / "000001" / "west.mp4").unlink()
    words = ["replay", str(tmp_path), "--live", "tcp://127.0.0.1:0", "--control", "tcp://127.0.0.1:0", "--speed", "max"]
    short = CliRunner().invoke(main, words)
    assert short.exit_code == 1
    _, missing, played = short.stderr.splitlines()
    assert f"{tmp_path / '000001' / 'west.mp4'}: is not there: the frames in it are left out" in missing
    assert "frames are not in it" in played


def test_what_can_be_read_is_played_and_then_told_where_it_broke(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    path = tmp_path / "000001" / "batches.jsonl"
    path.write_text(path.read_text().replace('"seq":4', '"seq":-4'))
    words = ["replay", str(tmp_path), "--live", "tcp://127.0.0.1:0", "--control", "tcp://127.0.0.1:0", "--speed", "max"]
    broken = CliRunner().invoke(main, words)
    assert broken.exit_code == 1
    ready, played, error = broken.stderr.splitlines()
    assert ready.startswith("syncsvc: ready live=tcp://127.0.0.1:")
    assert played == f"syncsvc: played 1 batches, 15 frames, 5 sets of {tmp_path}"
    assert f"{path}:2: neither a header nor a gap" in error
