"""The only caller of ``time``: everything else takes a Clock, so that tests can turn the hands."""

import time
from datetime import UTC, datetime
from typing import Literal, Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


class Clock(Protocol):
    """Two readings of now, both integer nanoseconds."""

    def utc_ns(self) -> int:
        """UTC as the host has it now; it may step."""
        ...

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC: one clock for all processes of a boot, never backward."""
        ...


class SystemClock:
    """The host's clocks."""

    def utc_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()


SYSTEM_CLOCK = SystemClock()


def cpu_ns() -> int:
    """CPU time of this process, user and system, in nanoseconds (for benchmarks)."""
    return time.process_time_ns()


def cpu_ns_of(pid: int) -> int:
    """CPU time of another process, all its threads, user and system, in nanoseconds (for benchmarks).

    Raises:
        ProcessLookupError: there is no such process (any more).
    """
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)  # clock_getcpuclockid(3) of <time.h>: CPUCLOCK_SCHED of a process
    except OSError as error:
        raise ProcessLookupError(f"process {pid} is gone") from error


def sleep_s(seconds: float) -> None:
    """Pace a producer: wait without a way to be stopped. Loops that live long use ``StopToken.sleep``."""
    time.sleep(max(0.0, seconds))


def utc_text(utc_ns: int, unit: Literal["milliseconds", "microseconds"] = "microseconds") -> str:
    """A moment as ISO 8601 has it, ``2026-01-31T12:00:00.123Z``, cut to the unit.

    Raises:
        ValueError, OverflowError, OSError: no calendar reaches there.
    """
    moment = datetime.fromtimestamp(utc_ns // NS_PER_S, UTC).replace(microsecond=utc_ns % NS_PER_S // NS_PER_US)
    return moment.isoformat(timespec=unit).replace("+00:00", "Z")


def time_of_day(utc_ns: int) -> str:
    """A moment's time of day, ``12:00:00.123Z``."""
    return utc_text(utc_ns, "milliseconds").partition("T")[2]
