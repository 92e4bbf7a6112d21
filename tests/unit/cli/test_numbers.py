"""Numbers that no comparison refuses are refused all the same."""

import pytest
from click.testing import CliRunner

from syncsvc.cli import main


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("align", "seen.jsonl", "--max-skew-ms"),
        ("align", "seen.jsonl", "--max-latency-ms"),
        ("doctor", "site.yaml", "--seconds"),
        ("bench", "accuracy", "--seconds"),
        ("demo", "--seconds"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(words: tuple[str, ...], number: str) -> None:
    done = CliRunner().invoke(main, [*words, number])
    assert done.exit_code == 2
    assert words[-1] in done.stderr
    assert "Traceback" not in done.stderr
