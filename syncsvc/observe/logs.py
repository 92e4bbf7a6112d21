"""Log lines that stay lines and hold no password, whoever wrote the message and whatever was in it."""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from contextlib import closing
from types import TracebackType
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from syncsvc.clock import SYSTEM_CLOCK, utc_text
from syncsvc.config.urls import MASK, redact_text
from syncsvc.observe.line_writer import LineWriter
from syncsvc.observe.log_limit import LimitedHandler

log = logging.getLogger(__name__)

_SHORTEST_SECRET: Final = 3  # masking every "a" would hide the log, not the secret
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Redactor:
    """Masks known secrets by value, and the userinfo of any URL by form."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secrets)
        forms = {form for secret in self._secrets for form in _forms(secret) if len(form) >= _SHORTEST_SECRET}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        # Case does not matter, for %2f is %2F.
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None

    def also(self, secrets: Iterable[str]) -> "Redactor":
        """A redactor that knows these secrets too."""
        return Redactor(self._secrets.union(secrets))

    def __call__(self, text: str) -> str:
        """The text as it may be shown."""
        return redact_text(self._pattern.sub(MASK, text) if self._pattern else text)


def _forms(secret: str) -> set[str]:
    """How one secret may look: raw, percent-encoded, decoded, inside JSON and inside a Python repr."""
    raw = {secret, unquote(secret)}
    return {
        form
        for text in raw
        for form in (
            text,
            quote(text, safe=""),
            quote(text),
            quote_plus(text),
            json.dumps(text)[1:-1],
            repr(text)[1:-1],
        )
    }


_redactor = Redactor()


def redact(text: str) -> str:
    """The text without the secrets that ``configure`` was told, and without the userinfo of URLs."""
    return _redactor(text)


def one_line(text: str) -> str:
    """The text with line breaks and other control characters escaped."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


class _Formatter(logging.Formatter):
    """A line of the log: a record's message and exception as they may be shown, behind time, level and process."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = one_line(process)

    def format(self, record: logging.LogRecord) -> str:
        try:
            text = super().format(record)
        except (LookupError, TypeError, ValueError) as error:  # arguments that do not fit: logging's report shows them
            text = f"{record.name}, line {record.lineno}: a message that cannot be written ({type(error).__name__})"
        shown = one_line(redact(text))
        time_ns, level = round(record.created * 1e6) * 1000, record.levelname.lower()
        if _is_json():
            return _as_json(time_ns, level, self._process, shown)
        return f"{utc_text(time_ns, 'milliseconds')} {level} {self._process}: {shown}"


LEVEL_VARIABLE: Final = "SYNCSVC_LOG_LEVEL"
FORMAT_VARIABLE: Final = "SYNCSVC_LOG_FORMAT"
"""Of the environment, which every process of a service has from the one that started it."""
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")


def choose(level: str, form: str) -> None:
    """Say how this process and its children log from now on; one of ``LEVELS``, one of ``FORMATS``."""
    os.environ[LEVEL_VARIABLE], os.environ[FORMAT_VARIABLE] = level, form


def configure(process: str, secrets: Iterable[str] = ()) -> None:
    """Send the log of this process to stderr, one line per record, as ``choose`` says: by default info, as text.

    A line of text is ``2026-01-31T12:00:00.123Z level process: message``, one of JSON an object with ``time``,
    ``level``, ``process`` and ``message``. May be called again, on a reload for example: handlers are replaced, known
    secrets are kept. Of one source no more than ``MOST_LINES`` are written in a second, and the number of the others.

    Args:
        process: what the lines call this process.
        secrets: values that must never show, such as ``Config.secrets``.
    """
    global _redactor
    _redactor = _redactor.also(secrets)
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(_Formatter(process))
    level = os.environ.get(LEVEL_VARIABLE, "info")
    logging.basicConfig(level=level.upper() if level in LEVELS else "INFO", handlers=[handler], force=True)
    logging.raiseExceptions = False  # a report of a line that cannot be sent would show what is in it


def configure_child(process: str, secrets: Iterable[str] = ()) -> None:
    """The same for a process of our own, in which libraries may do whatever they do.

    What nobody catches, in any thread and in what libraries call, is a line too: what it was and where. Its traceback
    is shown at level debug.
    """
    configure(process, secrets)
    sys.excepthook = _say_failure
    threading.excepthook = lambda failure: _say_failure(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.unraisablehook = lambda failure: _say_failure(failure.exc_type, failure.exc_value, failure.exc_traceback)


def _say_failure(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    steps = traceback.extract_tb(where)
    place = f" ({os.path.basename(steps[-1].filename)}:{steps[-1].lineno})" if steps else ""
    log.error("failed: %s: %s%s", kind.__name__, error, place)
    log.debug("its way", exc_info=(kind, error or kind(), where))


def said(text: str, level: str = "info") -> str:
    """What a command has to say on stderr, whatever the level: a line of the log's format."""
    text = one_line(redact(text))
    return _as_json(SYSTEM_CLOCK.utc_ns(), level, "syncsvc", text) if _is_json() else f"syncsvc: {text}"


def say(text: str, level: str = "info") -> None:
    """Say it on stderr, in its turn among the lines of the log, and without waiting for a reader, as they do."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LimitedHandler) and handler.stream is sys.stderr:
            handler.say(said(text, level))
            return
    with closing(LineWriter(sys.stderr)) as writer:
        writer.write(said(text, level) + "\n")


def _is_json() -> bool:
    return os.environ.get(FORMAT_VARIABLE) == "json"


def _as_json(time_ns: int, level: str, process: str, message: str) -> str:
    return json.dumps(
        {"time": utc_text(time_ns), "level": level, "process": process, "message": message}, ensure_ascii=False
    )
