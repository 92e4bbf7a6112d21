"""Which kind of recording somebody means, or wants."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from syncsvc.recording.contents import CheckedRecording
from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.folder_writer import FolderWriter
from syncsvc.recording.mcap_recording import McapRecording, mcaps_of
from syncsvc.recording.mcap_segment import McapSegment
from syncsvc.recording.segment import MCAP, PART, SegmentWriter
from syncsvc.wire import GroupTerms

FormatName = Literal["mp4", "mcap"]
FORMATS: Final = ("mp4", "mcap")
SUFFIXES: Final[Mapping[FormatName, str]] = {"mp4": "", "mcap": MCAP}
"""What the names of segments end with."""


def open_recording(place: str) -> CheckedRecording:
    """The recording at a path: an MCAP, or a folder with some or with films.

    Raises:
        UsageError: there is none.
    """
    path = Path(place)
    return McapRecording(path) if mcaps_of(path) else FolderRecording(path)


def new_segment(
    kind: FormatName, folder: Path, number: int | None, base_ns: int, terms: Mapping[str, GroupTerms]
) -> SegmentWriter:
    """A segment to be written, with a number or the only one; ``base_ns`` and ``terms`` as of ``FolderWriter``."""
    name = f"{number:06d}" if number is not None else "recording"
    if kind == "mcap":
        return McapSegment(folder / f"{name}{MCAP}", folder / f"{name}{MCAP}{PART}", terms)
    if number is None:
        return FolderWriter(folder, folder, base_ns, terms)
    return FolderWriter(folder / name, folder / f"{name}{PART}", base_ns, terms)
