"""What a reader takes for an observation log, what it passes over, and what it refuses in one line."""

from pathlib import Path

import pytest

from syncsvc.errors import LogError
from syncsvc.observe.records import (
    MAX_LINE_BYTES,
    LostRecords,
    ObsRecord,
    Record,
    RunRecord,
    SessionRecord,
    UtcRecord,
    decode,
    read,
)
from tests.logs import lines_of

RUN = RunRecord(v=1, run_id="x", epoch=5, utc_ns=7, mono_ns=8, streams={}, groups={})
OBS = ObsRecord(
    stream="north", seq=3, arrival_mono_ns=4, start_mono_ns=None, pts_ns=-5, ntp_ns=None, sr=(2**64 - 1, 2**32 - 1),
    stamp_ns=None, kind="", doubt_ns=0, key=True,
)  # fmt: skip
SESSION = SessionRecord(stream="north", mono_ns=9)
FULL = LostRecords(count=4)
CUT = b'{"t":"obs","s":"no'


def records(path: Path, *parts: bytes) -> list[Record]:
    path.write_bytes(b"".join(parts))
    return [record for _, record in read(path)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    utc = UtcRecord(mono_ns=2**62, utc_ns=-1, rate=-4.25e-4, epoch=1)
    assert records(tmp_path / "log", *lines_of([RUN, utc, SESSION, OBS, FULL])) == [RUN, utc, SESSION, OBS, FULL]


def test_keys_that_a_later_version_adds_are_passed_over() -> None:
    assert decode(b'{"t":"session","s":"north","mono_ns":9,"why":{"new":[1]}}') == SESSION


@pytest.mark.parametrize(
    "after",
    [(), lines_of([RUN]), lines_of([FULL]), [b"\n", *lines_of([RUN])], [CUT + b"\n", *lines_of([FULL])]],
    ids=["end", "run", "full", "blank", "twice"],
)
def test_a_line_that_was_cut_off_for_a_reason_is_passed_over(tmp_path: Path, after: list[bytes]) -> None:
    run, session = lines_of([RUN, SESSION])
    cut = CUT + b"\n" if after else CUT
    assert records(tmp_path / "log", run, session, cut, *after)[:2] == [RUN, SESSION]


@pytest.mark.parametrize(
    ("parts", "line", "problem"),
    [
        ([*lines_of([RUN, SESSION]), CUT + b"\n", *lines_of([SESSION])], 3, "JSON is malformed"),
        ([*lines_of([RUN]), CUT + b"\n", CUT], 2, "JSON is malformed"),
        ([*lines_of([RUN]), b'{"t":"session","s":"north"}\n', *lines_of([SESSION])], 2, "mono_ns"),
        ([*lines_of([RUN]), b'{"t":"group","e":"sing"}\n', *lines_of([SESSION])], 2, "'group sing' is not known"),
        (lines_of([SESSION]), 1, "is no observation log"),
        ([b'{"t":"run","v":2,"run_id":"x"}\n'], 1, "is no observation log"),
        ([b"streams:\n  north: {}\n"], 1, "is no observation log"),
        ([bytes(2 * MAX_LINE_BYTES)], 1, "is no observation log"),
        ([b"\xff\xfe\x00"], 1, "is no observation log"),
        ([], None, "is empty"),
    ],
)
def test_what_is_no_log_is_refused_with_its_place(
    tmp_path: Path, parts: list[bytes], line: int | None, problem: str
) -> None:
    path = tmp_path / "log"
    with pytest.raises(LogError) as caught:
        records(path, *parts)
    assert caught.value.line == line
    assert str(caught.value).startswith(str(path))
    assert problem in caught.value.problem


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(LogError, match=problem):
            list(read(path))
