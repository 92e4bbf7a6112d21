"""A recording as a WebDataset: a tar file in which each set is a sample.

A sample is files that have their name up to the first dot in common: ``000000041.north.jpg`` for each stream and
``000000041.json``. Source: the WebDataset format, github.com/webdataset/webdataset.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from syncsvc.clock import NS_PER_S
from syncsvc.export.export_tally import ExportTally
from syncsvc.export.new_place import appearing, require_new
from syncsvc.export.recorded_sets import FoundFrame, RecordedSet, RecordedSets, SetPictures
from syncsvc.model import Frame
from syncsvc.sinks.stills.coding import coding_of, encode

QUALITY = 95
_CODING = coding_of("jpg", QUALITY)
_MOST_MTIME = 8**11 - 1
"""Of a tar's entries."""


class _Jpeg(NamedTuple):
    """A picture as a file, and its width and height."""

    data: bytes
    size: tuple[int, int]


def export_web_dataset(sets: RecordedSets, path: Path, on_progress: Callable[[ExportTally], None]) -> ExportTally:
    """Write all sets of a group into a tar file.

    Every set with a picture is a sample, also one that lacks a stream: its ``missing`` says which. A picture of a
    ``jpeg`` stream is written as it was recorded, others as JPEG of quality ``QUALITY``.

    Args:
        sets: which.
        path: the file, which is not there yet.
        on_progress: called with the account after each set; what it raises ends the export.

    Raises:
        UsageError: something is there, or no folder is around it.
        NotExported: there is no set, or the disk is full; nothing is left then.
    """
    require_new(path)
    tally = ExportTally(sets.group, sets.counted(), files=1)
    with (
        appearing(path) as hidden,
        closing(tarfile.open(hidden, "w", format=tarfile.USTAR_FORMAT)) as tar,
        SetPictures(sets) as pictures,
    ):
        for number, one in enumerate(sets):
            _add(tar, number, one, pictures.each(one.frames, _jpeg), tally)
            on_progress(tally)
        sets.require(tally.sets > 0, "no picture of its sets can be shown")
    return tally


def _add(
    tar: tarfile.TarFile, number: int, one: RecordedSet, found: Mapping[str, _Jpeg | str], tally: ExportTally
) -> None:
    """Append a sample."""
    shown = {name: picture for name, picture in found.items() if isinstance(picture, _Jpeg)}
    unshown = {name: cause for name, cause in found.items() if isinstance(cause, str)}
    for name, cause in unshown.items():
        tally.streams[name].unshown[cause] += 1
    if not shown:
        tally.left_out["no_picture"] += 1
        return
    for name, picture in shown.items():
        tally.streams[name].take(picture.size, picture.size)
        _append(tar, f"{number:09}.{name}.jpg", picture.data, one.time_ns)
    tally.sets, tally.incomplete = tally.sets + 1, tally.incomplete + bool(one.frames.missing)
    _append(tar, f"{number:09}.json", json.dumps(_facts(number, one, shown, unshown)).encode(), one.time_ns)


def _facts(number: int, one: RecordedSet, shown: Mapping[str, _Jpeg], unshown: Mapping[str, str]) -> dict[str, Any]:
    """What a sample says of itself; times in nanoseconds, UTC."""
    batch = one.batch
    return {
        "set": number,
        "time_ns": one.time_ns,
        "spread_ns": one.frames.spread_ns,
        "missing": list(one.frames.missing),
        "unshown": dict(unshown),
        "is_apart": one.is_apart,
        "group": batch.group,
        "run_id": batch.run_id,
        "epoch": batch.epoch,
        "batch": batch.seq,
        "window_start_ns": batch.window_start_ns,
        "frames": {name: _frame_facts(one.frames.frames[name], picture.size) for name, picture in shown.items()},
    }


def _frame_facts(frame: Frame, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "time_ns": frame.time_ns,
        "uncertainty_ns": frame.uncertainty_ns,
        "clock": frame.clock,
        "arrival_ns": frame.arrival_ns,
        "seq": frame.seq,
        "width": size[0],
        "height": size[1],
    }


def _append(tar: tarfile.TarFile, name: str, data: bytes, time_ns: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), max(0, min(time_ns // NS_PER_S, _MOST_MTIME)), 0o644
    tar.addfile(entry, io.BytesIO(data))


def _jpeg(one: FoundFrame) -> _Jpeg:
    """A frame's picture as a file."""
    stored = one.found.stored
    if one.frame.format == "jpeg" and not stored.is_ours and not stored.layout.rotation:
        return _Jpeg(stored.data, one.size)
    return _Jpeg(encode(one.bgr(), _CODING).tobytes(), one.size)
