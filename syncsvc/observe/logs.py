"""Log lines that stay lines and hold no password, whoever wrote the message and whatever was in it."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from syncsvc.config.urls import MASK, redact_text

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
        return f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()} {self._process}: {shown}"


def configure(process: str, secrets: Iterable[str] = (), level: int = logging.INFO) -> None:
    """Send the log of this process to stderr, as ``HH:MM:SS level process: message``, one line per record.

    May be called again, on a reload for example: handlers are replaced, known secrets are kept.

    Args:
        process: what the lines call this process.
        secrets: values that must never show, such as ``Config.secrets``.
        level: the lowest level that is printed.
    """
    global _redactor
    _redactor = _redactor.also(secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.raiseExceptions = False  # a report of a line that cannot be sent would show what is in it
