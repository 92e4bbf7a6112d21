"""The files of a LeRobot data set, codebase version v3.0: rows, pictures, and what is known of its episodes.

Source: huggingface.co/docs/lerobot/lerobot-dataset-v3, and what its library 0.4.4 reads.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from syncsvc.export.film_files import FILE_MB, FILES_PER_CHUNK, FilmFiles, Lot
from syncsvc.export.recorded_sets import RecordedSet
from syncsvc.export.row_files import RowFile, write_table
from syncsvc.export.statistics import PictureLevels, Statistics, of_values, together

TABLE_MB: Final = 100
_DATA_PATH: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO_PATH: Final = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_OWN: Final = {"time_ns": "int64", "spread_ns": "int64"}
_COMMON: Final = {
    "timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64",
}  # fmt: skip
_STREAM_TIMES: Final = "stream_time_ns"
"""Named without "image": the library takes a feature with that in its name for one."""


Together = Callable[[Sequence[Callable[[], None]]], object]


@dataclass(slots=True)
class _Camera:
    """A stream of the data set: ``films`` and what the pictures of the episode under way are like."""

    films: FilmFiles
    size: tuple[int, int]
    levels: PictureLevels = field(default_factory=PictureLevels)
    begun_s: float = 0.0

    def add(self, bgr: NDArray[np.uint8]) -> None:
        """The next picture."""
        self.levels.look(bgr)
        self.films.add(bgr)


class LeRobotFolder:
    """The folder while it is written; ``close`` what is open in any case, ``finish`` when all is in.

    Args:
        folder: where.
        streams: the cameras, in their order.
        fps: the grid.
        task: of every episode.
        files: what is closed at the end, however that comes.
    """

    def __init__(self, folder: Path, streams: Sequence[str], fps: int, task: str, files: ExitStack) -> None:
        self._folder, self._streams, self._fps, self._task, self._open = folder, streams, fps, task, files
        self._cameras: dict[str, _Camera] = {}
        self._columns = {**_OWN, _STREAM_TIMES: f"int64[{len(streams)}]", **_COMMON}
        self._rows: dict[str, list[Any]] = {name: [] for name in self._columns}
        self._table: RowFile | None = None
        self._lot, self._tables = Lot(), 0
        self._frames = 0
        self._episodes: list[dict[str, Any]] = []
        self._statistics: list[dict[str, Statistics]] = []

    @property
    def episodes(self) -> int:
        """How many there are, with the one under way."""
        return len(self._episodes) + bool(self._rows["index"])

    @property
    def files(self) -> int:
        """Of pictures and rows."""
        return sum(camera.films.files for camera in self._cameras.values()) + self._tables

    def begin_camera(self, stream: str, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a stream's pictures: that of its first one, without an odd row or column."""
        if stream not in self._cameras:
            even = max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)
            films = FilmFiles(self._folder / "videos" / _key(stream), self._fps, even)
            self._open.callback(films.close)
            self._cameras[stream] = _Camera(films, even)
        return self._cameras[stream].size

    def begin_episode(self) -> None:
        """End the one under way, and begin another."""
        self._end_episode()
        for camera in self._cameras.values():
            camera.films.begin_episode()
            camera.levels, camera.begun_s = PictureLevels(), camera.films.at_s

    def add(self, one: RecordedSet, shown: Mapping[str, NDArray[np.uint8]], together: Together) -> None:
        """The next set of an episode.

        Args:
            one: the set.
            shown: its pictures by stream, ``(height, width, 3)`` uint8, BGR.
            together: calls all of some functions, at the same time if it can.
        """
        together([partial(self._cameras[name].add, bgr) for name, bgr in shown.items()])
        number = len(self._rows["index"])
        row = {
            "time_ns": one.time_ns,
            "spread_ns": one.frames.spread_ns,
            _STREAM_TIMES: [one.frames.frames[name].time_ns for name in self._streams],
            "timestamp": number / self._fps,
            "frame_index": number,
            "episode_index": len(self._episodes),
            "index": self._frames + number,
            "task_index": 0,
        }
        for name, value in row.items():
            self._rows[name].append(value)

    def _end_episode(self) -> None:
        length = len(self._rows["index"])
        if not length:
            return
        if self._table is not None and self._table.size_bytes >= TABLE_MB << 20:
            self._table.close()
            self._table, self._lot = None, self._lot.following
        if self._table is None:
            self._table = RowFile(self._folder / "data" / f"{self._lot.place}.parquet", self._columns)
            self._open.callback(self._table.close)
            self._tables += 1
        self._table.add(self._rows)
        found = {name: of_values(np.array(values).reshape(length, -1)) for name, values in self._rows.items()}
        found |= {_key(name): self._cameras[name].levels.statistics() for name in self._streams}
        self._statistics.append(found)
        self._episodes.append(self._episode(length))
        self._frames += length
        for values in self._rows.values():
            values.clear()

    def _episode(self, length: int) -> dict[str, Any]:
        """A row of what is known of the episodes, but for the statistics."""
        row: dict[str, Any] = {
            "episode_index": len(self._episodes),
            "tasks": [self._task],
            "length": length,
            "data/chunk_index": self._lot.chunk,
            "data/file_index": self._lot.file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
        }
        for name in self._streams:
            camera = self._cameras[name]
            row |= {
                f"videos/{_key(name)}/chunk_index": camera.films.lot.chunk,
                f"videos/{_key(name)}/file_index": camera.films.lot.file,
                f"videos/{_key(name)}/from_timestamp": camera.begun_s,
                f"videos/{_key(name)}/to_timestamp": camera.begun_s + length / self._fps,
            }
        return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

    def finish(self) -> None:
        """Nothing more comes."""
        self._end_episode()
        self._open.close()
        meta = self._folder / "meta"
        columns = {name: [one[name] for one in self._episodes] for name in self._episodes[0]}
        for feature, first in self._statistics[0].items():
            for name in first:
                columns[f"stats/{feature}/{name}"] = [one[feature][name].tolist() for one in self._statistics]
        write_table(meta / "episodes" / f"{Lot().place}.parquet", columns)
        write_table(meta / "tasks.parquet", {"task_index": [0], "task": [self._task]}, index="task")
        whole = {name: together([one[name] for one in self._statistics]) for name in self._statistics[0]}
        plain = {name: {kind: value.tolist() for kind, value in one.items()} for name, one in whole.items()}
        (meta / "stats.json").write_text(json.dumps(plain, indent=4))
        (meta / "info.json").write_text(json.dumps(self._info(), indent=4))

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": "v3.0",
            "robot_type": None,
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": TABLE_MB,
            "video_files_size_in_mb": FILE_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": _DATA_PATH,
            "video_path": _VIDEO_PATH,
            "features": self._features(),
        }

    def _features(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._streams:
            width, height = self._cameras[name].size
            found[_key(name)] = {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": "yuv420p",
                    "video.is_depth_map": False,
                    "video.fps": self._fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
        for name, kind in self._columns.items():
            scalar, _, length = kind.partition("[")
            names = list(self._streams) if length else None
            found[name] = {"dtype": scalar, "shape": [len(names) if names else 1], "names": names}
        return found


def _key(stream: str) -> str:
    """The feature that holds a stream's pictures."""
    return f"observation.images.{stream}"
