"""The host's clocks, and the one with hands."""

import time
from pathlib import Path

import pytest

import syncsvc
from syncsvc.clock import SYSTEM_CLOCK, cpu_ns, sleep_s, time_of_day, utc_text
from syncsvc.testing import MS, T0, ManualClock, ManualStop, S


def test_the_system_clock_reads_the_hosts_clocks() -> None:
    before = time.time_ns(), time.monotonic_ns()
    now = SYSTEM_CLOCK.utc_ns(), SYSTEM_CLOCK.monotonic_ns()
    after = time.time_ns(), time.monotonic_ns()
    assert before[1] <= now[1] <= after[1]
    assert before[0] <= now[0] <= after[0]
    assert cpu_ns() > 0
    sleep_s(-1)


def test_nothing_else_calls_time() -> None:
    root = Path(syncsvc.__file__).parent
    callers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(line.startswith(("import time", "from time ")) for line in path.read_text().splitlines())
    ]
    assert callers == ["clock.py"]


def test_a_manual_clock_moves_only_by_hand() -> None:
    clock = ManualClock(T0, 5 * S)
    assert (clock.utc_ns(), clock.monotonic_ns()) == (T0, 5 * S)
    clock.advance(40 * MS)
    assert (clock.utc_ns(), clock.monotonic_ns()) == (T0 + 40 * MS, 5 * S + 40 * MS)
    clock.step_utc(-S)
    assert (clock.utc_ns(), clock.monotonic_ns()) == (T0 + 40 * MS - S, 5 * S + 40 * MS)
    clock.advance_to_utc(T0)
    assert (clock.utc_ns(), clock.monotonic_ns()) == (T0, 6 * S)
    with pytest.raises(ValueError, match="backward"):
        clock.advance(-1)


def test_a_manual_stop_lets_time_pass_instead_of_waiting() -> None:
    clock = ManualClock()
    stop = ManualStop(clock)
    begin = clock.monotonic_ns()
    assert not stop.sleep(3600)
    assert not stop.sleep(-1)
    stop.set()
    assert stop.sleep(1)
    assert clock.monotonic_ns() - begin == 3601 * S
    assert stop.waits == [3600, -1, 1]


@pytest.mark.parametrize(
    ("utc_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_182_400_123_456_789, "2025-12-31T12:00:00.123456Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment_is_written_with_its_zone_and_cut_to_its_unit(utc_ns: int, text: str) -> None:
    assert utc_text(utc_ns) == text
    assert utc_text(utc_ns, "milliseconds") == f"{text[:-4]}Z"
    assert time_of_day(utc_ns) == f"{text[11:-4]}Z"
