"""How many lines one source may write to the log in a second: what comes beyond is counted, and the number is said."""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Self, TextIO

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from syncsvc.observe.line_writer import LineWriter

MOST_LINES = 5
"""Of one source in a second."""
TELL_AFTER_S = 1.0
"""From the first line that was left out, where nobody speaks."""
_OF_SOMEBODY = ("stream %s", "group %s", "%s ", "%s:")
"""How templates begin whose first argument says whom they are about; there are as many as the configuration names."""


class Speaker(NamedTuple):
    """Who speaks: a line of our code, about a stream, a group or nobody in particular."""

    logger: str
    template: str
    subject: str

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self:
        """That of a record."""
        template, arguments = str(record.msg), record.args
        if isinstance(arguments, tuple) and arguments and template.startswith(_OF_SOMEBODY):
            return cls(record.name, template, str(arguments[0]))
        return cls(record.name, template, "")


@dataclass(slots=True)
class _Second:
    since_ns: int
    lines: int = 0
    untold: int = 0
    last: logging.LogRecord | None = None


class LogLimit:
    """Which records are written; pure.

    Guarantees: of each source at most ``MOST_LINES`` in a second; every record is written, or in a number that is.
    """

    def __init__(self) -> None:
        self._seconds: dict[Speaker, _Second] = {}

    def admits(self, record: logging.LogRecord, now_ns: int) -> bool:
        """Whether a record may be written now (monotonic); else it is counted. Ask for what is ``due`` before."""
        source = Speaker.of(record)
        second = self._seconds.get(source)
        if second is None or now_ns >= second.since_ns + NS_PER_S:
            second = self._seconds[source] = _Second(now_ns)
        if second.lines < MOST_LINES:
            second.lines += 1
            return True
        second.untold += 1
        second.last = record
        return False

    def due(self, now_ns: int | None = None) -> list[tuple[logging.LogRecord, int]]:
        """Of each source that was cut short in a second that is over now: its last record, and how many there were.

        Without a time, of all that were cut short.
        """
        told = []
        for second in self._seconds.values():
            if second.last is not None and (now_ns is None or now_ns >= second.since_ns + NS_PER_S):
                told.append((second.last, second.untold))
                second.untold, second.last = 0, None
        return told

    @property
    def has_more(self) -> bool:
        """Whether something is yet to be told."""
        return any(second.untold for second in self._seconds.values())


class LimitedHandler(logging.Handler):
    """Writes records, within the limit; what was left out is told when its second is over, or shortly after.

    It waits for no reader: what nobody reads is counted, and the number is said where somebody reads again.
    """

    def __init__(self, stream: TextIO, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self.stream = stream
        self._limit, self._clock, self._writer = LogLimit(), clock, LineWriter(stream)
        self._timer: threading.Timer | None = None
        self._unread = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it."""
        now_ns = self._clock.monotonic_ns()
        self._tell(now_ns)
        if self._limit.admits(record, now_ns):
            self._write(record)
        elif self._timer is None:
            timer = threading.Timer(TELL_AFTER_S, self._on_time)
            timer.daemon = True
            with suppress(RuntimeError):  # no room for a thread: the next line tells it
                timer.start()
                self._timer = timer

    def say(self, line: str) -> None:
        """Write a line that is no record, whatever the limit."""
        with self.lock or threading.RLock():
            self._put(line)

    def _write(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):  # of who is shown
            self.handleError(record)
            return
        if self._unread:
            text = "%d lines are missing here: nobody read this log"
            lost = logging.LogRecord(__name__, logging.WARNING, "", 0, text, (self._unread,), None)
            if self._writer.write(self.format(lost) + "\n"):
                self._unread = 0
        self._put(line)

    def _put(self, line: str) -> None:
        if not self._writer.write(line + "\n"):
            self._unread += 1

    def _on_time(self) -> None:
        with self.lock or threading.RLock():
            self._timer = None
            self._tell(None)

    def _tell(self, now_ns: int | None) -> None:
        for record, count in self._limit.due(now_ns):
            told = logging.makeLogRecord(record.__dict__)
            told.msg, told.args = f"{count:,} more lines in a second, the last of them: %s", (_text_of(record),)
            self._write(told)

    def close(self) -> None:
        """Tell what is untold, and end."""
        with self.lock or threading.RLock():
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._tell(None)
            self._writer.close()
        super().close()


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (LookupError, TypeError, ValueError):  # the formatter tells of such a record without what is in it
        return str(record.msg)
