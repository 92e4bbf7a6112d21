"""One line per refusal: file, line, key path, what was found, what is allowed, and never a password."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from syncsvc.config.urls import redact_text, redact_url
from syncsvc.errors import ConfigError

KeyPath = tuple[str | int, ...]

_LONGEST: Final = 72


def one_line(text: str) -> str:
    """The text with control characters escaped and passwords in URLs masked."""
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
    return redact_text(escaped)


def shorten(text: str) -> str:
    """At most 72 characters of the text."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def show(value: Any) -> str:
    """A found value as a message shows it: its type is visible, it is short, and it has no password."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Masked before it is cut: a cut might take away the @ that tells a password.
        safe = redact_url(value) if "@" in value or "//" in value else value
        return "'" + one_line(shorten(safe)) + "'"
    if isinstance(value, Mapping):
        return f"a mapping with {len(value)} keys"
    if isinstance(value, tuple | list):
        if len(value) <= 4 and all(isinstance(item, int | float | bool | None) for item in value):
            return "[" + ", ".join(show(item) for item in value) + "]"
        return f"a list of {len(value)}"
    return shorten(str(value))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the name that was perhaps meant, with a space before it; empty where none is near."""
    close = get_close_matches(name, list(known), 1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def key_path(path: KeyPath) -> str:
    """``("groups", "lobby", "streams", 0)`` as ``groups.lobby.streams[0]``."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{one_line(shorten(redact_url(part)))}"
    return shown.lstrip(".")


def config_error(source_name: str, problem: str, line: int | None = None, path: KeyPath = ()) -> ConfigError:
    """The error for one problem, on one line whatever the file holds."""
    problem = re.sub(r"\s+", " ", one_line(problem))
    return ConfigError(one_line(source_name), problem, line=line, key=key_path(path))
