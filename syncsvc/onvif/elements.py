"""XML from strangers as a small tree: no entities, no document types, and never more than was agreed to.

Names are local ones: who answers in another namespace than ONVIF's would only fool itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from syncsvc.errors import OnvifError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 40
MAX_ELEMENTS: Final = 20_000
_BETWEEN: Final = "\n"
"""Between namespace and name: no namespace has one, since parsers make a space of it."""


@dataclass(slots=True)
class Element:
    """One element: its local name, its attributes by local name, its text without the outer white space."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def at(self, *path: str) -> "Element | None":
        """The first element down a path of children; None where there is none."""
        found: Element | None = self
        for name in path:
            found = next((child for child in found.children if child.name == name), None) if found else None
        return found

    def text_at(self, *path: str) -> str:
        """The text of the first element down a path; empty where there is none."""
        found = self.at(*path)
        return found.text if found else ""

    def every(self, name: str) -> Iterator["Element"]:
        """All elements of a name below this one, in the order of the document."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.every(name)


class _Builder:
    def __init__(self) -> None:
        self.root = Element("")
        self._open = [self.root]
        self._texts: list[list[str]] = [[]]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise OnvifError(f"an answer has more than {MAX_ELEMENTS} elements, or is nested deeper than {MAX_DEPTH}")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()

    def characters(self, text: str) -> None:
        self._texts[-1].append(text)

    def refuse(self, *_: object) -> None:
        raise OnvifError("an answer has a document type, which no answer needs")


def _local(name: str) -> str:
    return name.rpartition(_BETWEEN)[2]


def parse(data: bytes) -> Element:
    """Read a document; the element above its root, so that paths begin with the root's name.

    Raises:
        OnvifError: it is no XML, or more than ``MAX_BYTES``, ``MAX_DEPTH`` or ``MAX_ELEMENTS``, or has a DTD.
    """
    if len(data) > MAX_BYTES:
        raise OnvifError(f"an answer has {len(data)} bytes, at most {MAX_BYTES} are read")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two: an encoding that nobody knows
        raise OnvifError(f"an answer is no XML: {error}") from error
    return builder.root
