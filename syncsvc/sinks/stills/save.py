"""``save_stills``: anybody's arrays on the disk, as fast as the machine can, with memory that is bounded."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import StillsNotSaved, UsageError
from syncsvc.model import Frame
from syncsvc.sinks.stills.coding import Coding, coding_of
from syncsvc.sinks.stills.files import PART, require_folder
from syncsvc.sinks.stills.still import Outcome, Still, chunks, picture_of
from syncsvc.sinks.stills.writers import DEFAULT_HOW, How, Writer, check_how, opened

_AHEAD: Final = 2
"""Chunks for each worker that are under way: one in hand, and the next."""
_LOOK_S: Final = 0.5
_DIGITS: Final = 6


def save_stills(
    images: Iterable[NDArray[Any] | Frame],
    folder: "str | os.PathLike[str]",
    how: How = DEFAULT_HOW,
    *,
    format: str = "jpg",
    quality: int | None = None,
    names: Iterable[str] | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Write pictures into a folder, each to a temporary name first and then renamed.

    Args:
        images: any number of arrays, each of any size: ``(h, w)`` or ``(h, w, 1)`` grey, ``(h, w, 3)`` BGR or
            ``(h, w, 4)`` BGRA, uint8; for ``png`` uint16 too. Also a ``Frame``, whose ``jpeg`` is written as it came
            for a ``jpg`` without ``quality``. They are taken some chunks ahead: an endless generator is fine.
        folder: where they go; it is made where it is not there.
        how: ``loop``; ``threads`` or ``processes``, picture by picture; ``chunked_threads`` or ``chunked_processes``,
            some dozens at a time. Processes get pixels in shared memory, and end with the call.
        format: ``jpg``, ``png`` or ``webp``.
        quality: 1 to 100 for ``jpg`` and ``webp``; None is 90.
        names: of the files, without the suffix; None is ``000000``, ``000001`` and so on.
        workers: threads or processes; None takes one for each core that this process may use.

    Returns:
        The files, in the order of the pictures.

    Raises:
        StillsNotSaved: some were not, for reasons that it names one by one; all others were.
        UsageError: a word is not known, a name is none, or the folder cannot be made or written.
        TransportError: a process did not start.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    coding = coding_of(format, quality)
    check_how(how, workers)
    place = require_folder(folder)
    with opened(how, coding, workers) as writer:
        outcomes = save_all(writer, _stills(images, place, coding, names, keeps_jpeg=quality is None))
    paths = [Path(outcome.path) for outcome in outcomes]
    problems = {
        outcome.number: f"{Path(outcome.path).name}: {outcome.problem}" for outcome in outcomes if outcome.cause
    }
    if problems:
        raise StillsNotSaved(os.fspath(folder), paths, problems)
    return paths


def save_all(writer: Writer, stills: Iterable[Still]) -> list[Outcome]:
    """Save them, with a bounded number under way; the outcomes in the order of their numbers."""
    found = list[Outcome]()
    for chunk in chunks(stills, writer.most_stills):
        writer.put(chunk)
        found += writer.take()
        while writer.pending >= _AHEAD * writer.workers:
            found += writer.take(_LOOK_S)
    while writer.pending:
        found += writer.take(_LOOK_S)
    return sorted(found)


def _stills(
    images: Iterable[NDArray[Any] | Frame],
    folder: str,
    coding: Coding,
    names: Iterable[str] | None,
    *,
    keeps_jpeg: bool,
) -> Iterator[Still]:
    keeps_jpeg = keeps_jpeg and coding.suffix == "jpg"
    given = None if names is None else iter(names)
    for number, image in enumerate(images):
        name = f"{number:0{_DIGITS}}" if given is None else _checked(next(given, None), number)
        path = f"{folder}/{name}.{coding.suffix}"
        if isinstance(image, Frame):
            yield frame_still(number, path, image, keeps_jpeg=keeps_jpeg)
        else:
            array = np.asarray(image)
            yield Still(number, path, array, array.nbytes)


def frame_still(number: int, path: str, frame: Frame, *, keeps_jpeg: bool) -> Still:
    """A frame's still; its pixels are made when they are wanted."""
    return Still(number, path, lambda: picture_of(frame, keeps_jpeg), 3 * frame.width * frame.height)


def _checked(name: str | None, number: int) -> str:
    """A name that stays in its folder.

    Raises:
        UsageError: it does not, or there is none.
    """
    if name is None:
        raise UsageError(f"names: there are {number}, and more pictures")
    if not name or name in (".", "..") or "/" in name or "\0" in name or len(os.fsencode(name)) > 255 - 5 - len(PART):
        raise UsageError(f"names: {name!r} is no name of a file")
    return name
