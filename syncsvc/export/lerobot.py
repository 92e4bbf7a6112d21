"""A recording as a LeRobot data set, codebase version v3.0: its sets on a grid, their true times as features."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import NotExported
from syncsvc.export.export_tally import ExportTally
from syncsvc.export.lerobot_folder import LeRobotFolder
from syncsvc.export.new_place import appearing, require_new
from syncsvc.export.recorded_sets import FoundFrame, RecordedSets, SetPictures
from syncsvc.export.row_files import require_tables
from syncsvc.export.set_grid import SetGrid, SetPlace, grid_of


@dataclass(frozen=True, slots=True)
class LeRobotWish:
    """What somebody asks for: ``fps`` None is the rate of the sets; ``task`` says in words what is seen."""

    fps: int | None = None
    task: str = ""


def export_lerobot(
    sets: RecordedSets, path: Path, wish: LeRobotWish, on_progress: Callable[[ExportTally], None]
) -> ExportTally:
    """Write the sets of a group into a folder.

    A set is taken if it has a picture of every stream and is the nearest to its place on the grid; an episode ends
    where none is. A picture of another size than the first one of its stream is scaled to that.

    Args:
        sets: which.
        path: the folder, which is not there yet.
        wish: how.
        on_progress: called with the account after each set; what it raises ends the export.

    Raises:
        UsageError: something is there, no folder is around it, pyarrow is missing, or the sets fit no such grid.
        NotExported: there is no set that is whole, or the disk is full; nothing is left then.
    """
    require_new(path)
    require_tables()
    tally = ExportTally(sets.group, sets.counted())
    grid = _grid(sets, wish.fps, tally)
    tally.fps, tally.rate_hz = grid.fps, grid.rate_hz
    with appearing(path) as hidden, ExitStack() as files:
        try:
            _write(sets, LeRobotFolder(hidden, sets.streams, grid.fps, wish.task, files), grid, tally, on_progress)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise NotExported(str(path), f"cannot be coded: {error}; nothing is left of it") from error
    return tally


def _grid(sets: RecordedSets, fps: int | None, tally: ExportTally) -> SetGrid:
    """Where the sets lie that have every stream."""
    times_ns, breaks, is_apart = list[int](), set[int](), False
    for one in sets:
        is_apart = is_apart or one.is_apart
        if not one.frames.missing:
            if is_apart:
                breaks.add(len(times_ns))
            times_ns.append(one.time_ns)
            is_apart = False
    tally.incomplete = tally.left_out["incomplete"] = tally.recorded - len(times_ns)
    sets.require(bool(times_ns), f"each of its {tally.recorded} sets lacks a stream")
    return grid_of(times_ns, frozenset(breaks), fps)


def _write(
    sets: RecordedSets,
    made: LeRobotFolder,
    grid: SetGrid,
    tally: ExportTally,
    on_progress: Callable[[ExportTally], None],
) -> None:
    must_begin = True
    with SetPictures(sets) as pictures:
        for one, place in zip((one for one in sets if not one.frames.missing), grid.places, strict=True):
            if place is SetPlace.OFF_GRID:
                tally.left_out["off_grid"] += 1
                continue
            found = pictures.each(one.frames, partial(_picture, made))
            shown = {name: picture for name, picture in found.items() if isinstance(picture, _Picture)}
            if len(shown) < len(found):
                for name, cause in found.items():
                    if isinstance(cause, str):
                        tally.streams[name].unshown[cause] += 1
                tally.left_out["no_picture"] += 1
                must_begin = True
                continue
            if must_begin or place is SetPlace.BEGINS:
                made.begin_episode()
                must_begin = False
            made.add(one, {name: picture.bgr for name, picture in shown.items()}, pictures.together)
            for name, picture in shown.items():
                tally.streams[name].take(picture.bgr.shape[1::-1], picture.size)
            tally.sets, tally.episodes = tally.sets + 1, made.episodes
            on_progress(tally)
    sets.require(tally.sets > 0, "none of its sets has a picture of every stream that can be shown")
    made.finish()
    tally.files = made.files


class _Picture(NamedTuple):
    """A picture as it goes into the data set, and the size that it was recorded in."""

    bgr: NDArray[np.uint8]
    size: tuple[int, int]


def _picture(made: LeRobotFolder, one: FoundFrame) -> _Picture:
    return _Picture(one.bgr(made.begin_camera(one.frame.stream, one.size)), one.size)
