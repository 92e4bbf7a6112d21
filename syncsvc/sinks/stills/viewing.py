"""The first look: one mosaic of the newest set that there is, on the disk as soon as a service has one."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syncsvc.client.subscriber import Subscriber
from syncsvc.client.timeouts import Deadline
from syncsvc.errors import FrameReclaimedError, FrameUndecodable, StillsNotSaved, UsageError
from syncsvc.model import FrameBatch, FrameSet
from syncsvc.sinks.stills.choice import sets_of
from syncsvc.sinks.stills.coding import Coding, coding_of, encode
from syncsvc.sinks.stills.files import require_folder, write_whole
from syncsvc.sinks.stills.mosaic import compose


class Viewed(NamedTuple):
    """A mosaic that was written, and what it shows."""

    path: str
    batch: FrameBatch
    some: FrameSet


def coding_of_file(path: "str | os.PathLike[str]", quality: int | None = None) -> Coding:
    """The format that a file's name asks for, in a folder that is there or can be made.

    Raises:
        UsageError: its suffix is none of a picture, or the folder cannot be made or written.
    """
    suffix = Path(path).suffix.removeprefix(".")
    if not suffix:
        raise UsageError(f"{os.fspath(path)}: a name that ends with .jpg, .png or .webp is wanted")
    coding = coding_of(suffix, quality)
    require_folder(Path(path).parent)
    if Path(path).is_dir():
        raise UsageError(f"{os.fspath(path)}: is a folder")
    return coding


def view(batches: Subscriber[FrameBatch], path: "str | os.PathLike[str]", coding: Coding, timeout_s: float) -> Viewed:
    """Write a mosaic of the newest set; a batch without any, or none that can be shown, is waited out.

    Args:
        batches: a subscriber of one group or of all: the first of whose sets one can be shown is taken.
        path: of the file.
        coding: its format, see ``coding_of_file``.
        timeout_s: how long to wait for a set.

    Raises:
        TimeoutError: no set came in time that can be shown; the message says what came instead.
        StillsNotSaved: it cannot be coded, or the file not written.
        SubscriptionEnded, SubscriberClosed: as ``Subscriber.latest``.
        ImportError: OpenCV, or PyAV for encoded streams, cannot be loaded; the message says what to install.
    """
    deadline, why = Deadline(timeout_s), "no batch came"
    try:
        while True:
            left_ms = deadline.left_ms()
            batch = batches.latest(None if left_ms is None else left_ms / 1000)
            why = "batches came, and none had a set"
            for some in reversed(sets_of(batch)):
                try:
                    picture = compose(some, tuple(batch.frames), batch.missing)
                except (FrameReclaimedError, FrameUndecodable) as error:
                    why = f"a set came that cannot be shown: {error}"
                    continue
                _write(path, picture, coding)
                return Viewed(os.fspath(path), batch, some)
    except TimeoutError:
        raise TimeoutError(f"no set to show came in time: {why}") from None


def _write(path: "str | os.PathLike[str]", picture: NDArray[np.uint8], coding: Coding) -> None:
    try:
        write_whole(os.path.abspath(path), encode(picture, coding))
    except (OSError, ValueError) as error:
        words = (isinstance(error, OSError) and error.strerror) or str(error)
        raise StillsNotSaved(os.fspath(Path(path).parent), [Path(path)], {0: f"{Path(path).name}: {words}"}) from error
