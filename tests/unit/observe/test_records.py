"""What a reader takes for an observation log, what it passes over, and what it refuses in one line."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from syncsvc.errors import LogError
from syncsvc.layout import Layout
from syncsvc.model import Frame
from syncsvc.observe.events import AnyEvent, Draining, Drop, End, Expect, GroupRules, Jump, Open, Reconfigure
from syncsvc.observe.log_reader import read
from syncsvc.observe.records import (
    MAX_LINE_BYTES,
    AnyRecord,
    GroupRecord,
    LostRecords,
    ObsRecord,
    Record,
    RunRecord,
    SessionRecord,
    StreamSettings,
    UtcRecord,
    decode,
)
from tests.logs import lines_of

RUN = RunRecord(v=1, run_id="x", epoch=5, utc_ns=7, mono_ns=8, streams={}, groups={})
OBS = ObsRecord(
    stream="north", seq=3, arrival_mono_ns=4, start_mono_ns=None, pts_ns=-5, ntp_ns=None, sr=(2**64 - 1, 2**32 - 1),
    stamp_ns=None, kind="", doubt_ns=0, key=True,
)  # fmt: skip
SESSION = SessionRecord(stream="north", mono_ns=9)
SETTINGS = StreamSettings("rtsp", "auto", None, 1, 1, 1)
FULL = LostRecords(count=4)
CUT = b'{"t":"obs","s":"no'


def records(path: Path, *parts: bytes) -> list[Record]:
    path.write_bytes(b"".join(parts))
    return [record for _, record in read(path)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    utc = UtcRecord(mono_ns=2**62 - 1, utc_ns=-1, rate=-4.25e-4, epoch=1)
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


NOW = 1_767_225_600 * 10**9
RULES = GroupRules(("north",), 10**9, 0, 10**9, None)
BEGUN = Open(RULES, epoch=1, first_window=NOW // 10**9, first_seq=0, is_patient=False)
FRAME = Frame("north", 0, NOW, 5, "pts", NOW, True, Layout("gray8", 32, 18), None)


def told(event: AnyEvent, now_ns: int = NOW, clock_epoch: int = 0, group: str = "all") -> GroupRecord:
    return GroupRecord(group=group, now_ns=now_ns, clock_epoch=clock_epoch, event=event)


def opened(**change: Any) -> GroupRecord:
    return told(replace(BEGUN, **change))


def came(**change: Any) -> GroupRecord:
    return told(replace(FRAME, **change))


OPEN, ADD = opened(), came()
DAY = 86_400 * 10**9
LATER = NOW + DAY + 1


@pytest.mark.parametrize(
    ("record", "place"),
    [
        (came(uncertainty_ns=10**18 * 5), "uncertainty_ns"),
        (came(time_ns=-(2**62)), "time_ns"),
        (came(seq=-1), "seq"),
        (came(layout=Layout("gray8", 2**60, 18)), "layout.width"),
        (came(stream="../north"), "regex"),
        (told(FRAME, group="all\n"), "regex"),
        (opened(rules=replace(RULES, window_ns=1)), "window_ns"),
        (replace(RUN, streams={"a" * 65: SETTINGS}), "regex"),
        (told(Drop("north", "x", 2**62)), "count"),
    ],
)
def test_numbers_and_names_that_no_service_writes_are_refused(record: AnyRecord, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        decode(lines_of([record])[0])
    with pytest.raises(ValueError, match="uncertainty_ns"):
        decode(lines_of([ADD])[0].replace(b'"uncertainty_ns":5', b'"uncertainty_ns":' + b"9" * 30))


def at(now_ns: int, clock_epoch: int = 0, time_ns: int | None = None) -> GroupRecord:
    return told(replace(FRAME, time_ns=now_ns if time_ns is None else time_ns), now_ns, clock_epoch)


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        ([at(LATER)], "its time is 1 days beyond"),
        ([at(NOW, time_ns=LATER)], "a frame's time"),
        ([told(Expect("north", LATER))], "a frame's time"),
        ([UtcRecord(mono_ns=0, utc_ns=LATER, rate=0.0, epoch=0)], "its time"),
        ([opened(first_window=0)], "its time"),
        ([opened(is_patient=True), at(NOW, time_ns=LATER)], "a frame's time"),
        ([opened(is_patient=True, first_window=LATER // 10**9 + 1)], "its first window"),
        ([told(End(), LATER, 1)], "its time"),
        (
            [
                told(Draining()),
                told(Jump(2, DAY), LATER, 1),
            ],
            "its time",
        ),
        (
            [
                told(Reconfigure(replace(RULES, window_ns=10**6)))
            ],
            "cannot change",
        ),
    ],
)  # fmt: skip
def test_a_log_whose_times_run_away_is_refused(tmp_path: Path, last: list[AnyRecord], problem: str) -> None:
    path = tmp_path / "log"
    with pytest.raises(LogError, match=problem) as caught:
        records(path, *lines_of([RUN, OPEN, ADD, *last]))
    assert caught.value.line == 3 + len(last)


@pytest.mark.parametrize(
    "last",
    [
        [at(NOW + DAY), at(NOW + 2 * DAY)],
        [at(LATER, 1), told(Jump(2, DAY), LATER, 1), at(LATER, 1)],
        [UtcRecord(mono_ns=0, utc_ns=LATER, rate=0.0, epoch=1)],
        [opened(is_patient=True), at(LATER)],
        [LostRecords(count=1), at(LATER)],
        [RUN, told(replace(BEGUN, first_window=LATER // 10**9), LATER)],
    ],
    ids=["days", "jump", "utc", "patient", "lost", "run"],
)
def test_a_clock_that_jumped_and_recordings_that_waited_are_no_running_away(
    tmp_path: Path, last: list[AnyRecord]
) -> None:
    assert lines_of(records(tmp_path / "log", *lines_of([RUN, OPEN, ADD, *last])))[3:] == lines_of(last)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(LogError, match=problem):
            list(read(path))
