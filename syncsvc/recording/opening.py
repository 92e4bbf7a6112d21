"""Which kind of recording somebody means."""

from pathlib import Path

from syncsvc.recording.contents import StoredRecording
from syncsvc.recording.folder import FolderRecording


def open_recording(place: str) -> StoredRecording:
    """The recording at a path.

    Raises:
        UsageError: there is none.
    """
    return FolderRecording(Path(place))
