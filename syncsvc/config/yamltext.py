"""Strict YAML: the small part of the language that means the same to everybody, read in bounded time and memory.

Works on parser events, never on nodes: an alias is refused before anything is copied, and a million brackets are
refused at the 21st, where composing them would overflow the C stack. Scalars follow the JSON-like core of YAML 1.2, so
``no``, ``on``, ``010`` and ``22:22`` are text. The C parser reads 1 MB in 5 to 250 ms, the pure Python one (used where
libyaml is missing) ten times slower.
"""

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from syncsvc.config.refusals import KeyPath, config_error, show
from syncsvc.errors import ConfigError

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 20
MAX_VALUES: Final = 50_000  # 1000 streams with every key are 10,000

_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_LONGEST_NUMBER: Final = 64


@dataclass(slots=True)
class Document:
    """One parsed file: plain values (sequences are tuples), and where each of them stands."""

    source_name: str
    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    """Scalars that took a value from outside, as the file has them: all that a message may show of them."""

    def error(self, path: KeyPath, problem: str) -> ConfigError:
        """A ConfigError about the value at ``path``, with the line of the nearest key that the file has."""
        nearest = path
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        return config_error(self.source_name, problem, self.lines.get(nearest), path)


def resolve_scalar(text: str) -> Any:
    """What an unquoted scalar means: None, a bool, an int, a float, or the text itself."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def decode(data: bytes, source_name: str) -> str:
    """The text of a file; refused when it is too long, not UTF-8, or holds control characters."""
    if len(data) > MAX_BYTES:
        raise config_error(source_name, f"found more than {MAX_BYTES} bytes; allowed: at most 1 MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise config_error(source_name, f"found byte 0x{data[error.start]:02x}; allowed: UTF-8 text", line) from None


def parse(text: str, source_name: str, expand: Callable[[str], str]) -> Document:
    """Read one document.

    Args:
        text: the file's content.
        source_name: what messages call it.
        expand: replaces variables in a scalar; ``ValueError`` refuses it, with a message that shows no value.

    Raises:
        ConfigError: it is not the YAML that we take; the message has file, line, key path, found and allowed.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise config_error(source_name, f"found more than {MAX_BYTES} bytes; allowed: at most 1 MB")
    if odd := _NOT_TEXT.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise config_error(source_name, f"found control character U+{ord(odd[0]):04X}; allowed: printable text", line)
    return _EventReader(text, source_name, expand).read()


class _EventReader:
    """Turns events into plain values, one level of Python stack per level of nesting, at most MAX_DEPTH."""

    def __init__(self, text: str, source_name: str, expand: Callable[[str], str]) -> None:
        self._document = Document(source_name)
        self._expand = expand
        self._events = self._checked(yaml.parse(text, Loader=_PARSER))

    def read(self) -> Document:
        self._document.value = self._value(next(self._events, None), ())
        for event in self._events:
            self._refuse(event, (), "found a second document; allowed: one document per file")
        return self._document

    def _checked(self, events: Iterator[Any]) -> Iterator[Any]:
        """The events that carry content, with the language's unwelcome parts refused."""
        seen = 0
        while True:
            try:
                event = next(events, None)
            except yaml.MarkedYAMLError as error:
                mark = error.problem_mark or error.context_mark
                # Only the parser's own words: quoted pieces of the file might be pieces of a password.
                words = re.sub(r"'[^']{2,}'", "...", f"{error.context or ''} {error.problem or ''}").strip()
                problem = f"found broken YAML ({words}); allowed: `key: value` lines, indented with spaces"
                raise config_error(self._document.source_name, problem, mark.line + 1 if mark else None) from None
            except (yaml.YAMLError, ValueError, OverflowError):  # the Python parser fails so on \Uffffffff
                problem = "found broken YAML (a character that does not exist); allowed: UTF-8 text"
                raise config_error(self._document.source_name, problem) from None
            if event is None:
                return
            seen += 1
            if seen > MAX_VALUES:
                self._refuse(event, (), f"found more than {MAX_VALUES} values; allowed: at most that many")
            if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
                self._refuse(event, (), "found a % directive; allowed: none, remove that line")
            if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                yield event

    def _refuse(self, event: Any, path: KeyPath, problem: str) -> NoReturn:
        raise config_error(self._document.source_name, problem, event.start_mark.line + 1, path)

    def _value(self, event: Any, path: KeyPath) -> Any:
        if event is None:
            raise config_error(self._document.source_name, "found an empty file; allowed: a mapping with `streams`")
        # No names of anchors and tags here: an unquoted password that begins with & or ! would be one.
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, "found an alias (*); allowed: values in full, or quotes around a text with *")
        if getattr(event, "anchor", None) is not None:
            self._refuse(event, path, "found an anchor (&); allowed: values in full, or quotes around a text with &")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, path, "found a tag (!); allowed: plain values, or quotes around a text with !")
        self._document.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._refuse(event, (), f"found values nested more than {MAX_DEPTH} deep; allowed: at most {MAX_DEPTH}")
        return self._mapping(event, path) if isinstance(event, yaml.MappingStartEvent) else self._sequence(path)

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text: str = event.value
        try:
            expanded = self._expand(text)
        except ValueError as error:
            self._refuse(event, path, str(error))
        if expanded != text:
            self._document.written[path] = text
        return resolve_scalar(expanded) if event.implicit[0] else expanded

    def _sequence(self, path: KeyPath) -> tuple[Any, ...]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return tuple(items)

    def _mapping(self, start: Any, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key in values:
                first = self._document.lines[*path, key]
                self._refuse(
                    event, (*path, key), f"found this key twice (first on line {first}); allowed: each key once"
                )
            values[key] = None
            self._document.lines[*path, key] = event.start_mark.line + 1
            values[key] = self._value(next(self._events), (*path, key))
        return values

    def _key(self, event: Any, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
            self._refuse(event, path, "found a key with structure, alias, anchor or tag; allowed: plain text keys")
        key: Hashable = resolve_scalar(event.value) if event.implicit[0] else event.value
        if key == "<<" and event.implicit[0]:
            self._refuse(event, path, "found a merge key (<<); allowed: values in full")
        if not isinstance(key, str):
            self._refuse(event, path, f"found key {show(key)}; allowed: text keys, quote it if it is meant as text")
        return key
