"""A strict reader of LeRobot data sets, codebase version v3.0: the format's own library needs torch.

It demands what that library (0.4.4) relies on: the columns and their types, episodes that follow each other in rows and
in films, and a picture within 0.1 ms of the time at which each row looks for it, in its 32 bits.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

COMMON = {
    "timestamp": "float",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
KINDS = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")


@dataclass
class LeRobotRead:
    """All of a data set: rows, by camera the luma of the middle of each row's picture, and what the files say."""

    info: dict[str, Any]
    stats: dict[str, Any]
    episodes: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    tasks: list[str]
    lumas: dict[str, list[float]] = field(default_factory=dict)
    pictures: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)


def read(root: Path) -> LeRobotRead:
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert isinstance(info["fps"], int)
    stats = json.loads((root / "meta/stats.json").read_text())
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    files = sorted((root / "data").glob("*/*.parquet"))
    for file in files:
        _check_columns(info, pq.read_schema(file))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]
    found = LeRobotRead(info, stats, episodes, rows, tasks.column("__index_level_0__").to_pylist())
    _check_rows(found, root)
    for key in _cameras(info):
        _check_films(found, root, key)
    _check_statistics(found)
    wanted = {
        root / "meta" / name
        for name in ("info.json", "stats.json", "tasks.parquet", "episodes/chunk-000/file-000.parquet")
    }
    there = {one for one in root.rglob("*") if one.is_file()}
    assert there == wanted | set(files) | {_film(found, root, key, one) for key in _cameras(info) for one in episodes}
    return found


def _cameras(info: dict[str, Any]) -> list[str]:
    return [key for key, one in info["features"].items() if one["dtype"] == "video"]


def _check_columns(info: dict[str, Any], schema: Any) -> None:
    told = {key: one for key, one in info["features"].items() if one["dtype"] != "video"}
    assert schema.names == list(told)
    assert {name: str(schema.field(name).type) for name in COMMON} == COMMON
    for key, one in told.items():
        kind = {"float32": pa.float32(), "int64": pa.int64()}[one["dtype"]]
        assert schema.field(key).type == (kind if one["shape"] == [1] else pa.list_(kind, one["shape"][0]))
        assert one["names"] is None or len(one["names"]) == one["shape"][0]


def _check_rows(found: LeRobotRead, root: Path) -> None:
    info, rows, fps = found.info, found.rows, found.info["fps"]
    assert [row["index"] for row in rows] == list(range(info["total_frames"]))
    assert len(found.episodes) == info["total_episodes"]
    assert info["splits"] == {"train": f"0:{len(found.episodes)}"}
    assert info["total_tasks"] == len(found.tasks)
    at = 0
    for number, one in enumerate(found.episodes):
        assert (one["episode_index"], one["dataset_from_index"]) == (number, at)
        at += one["length"]
        assert one["dataset_to_index"] == at
        assert one["tasks"] == found.tasks
        own = rows[one["dataset_from_index"] : at]
        path = info["data_path"].format(chunk_index=one["data/chunk_index"], file_index=one["data/file_index"])
        assert pq.read_table(root / path, filters=[("episode_index", "=", number)]).num_rows == one["length"]
        assert [row["frame_index"] for row in own] == list(range(one["length"]))
        assert [row["timestamp"] for row in own] == [float(np.float32(index / fps)) for index in range(one["length"])]
        assert {row["episode_index"] for row in own} == {number}
        assert {row["task_index"] for row in own} == {0}
    assert at == len(rows)


def _film(found: LeRobotRead, root: Path, key: str, episode: dict[str, Any]) -> Path:
    place = {"chunk_index": episode[f"videos/{key}/chunk_index"], "file_index": episode[f"videos/{key}/file_index"]}
    return root / str(found.info["video_path"]).format(video_key=key, **place)


def _check_films(found: LeRobotRead, root: Path, key: str) -> None:
    told = found.info["features"][key]
    films: dict[Path, dict[np.float32, NDArray[np.uint8]]] = {}
    for episode in found.episodes:
        path = _film(found, root, key, episode)
        if path not in films:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                assert [stream.height, stream.width, 3] == told["shape"]
                assert stream.codec_context.name == told["info"]["video.codec"]
                assert stream.pix_fmt == told["info"]["video.pix_fmt"]
                assert stream.average_rate == found.info["fps"]
                films[path] = {
                    np.float32(one.pts * one.time_base): one.to_ndarray(format="bgr24")
                    for one in container.decode(video=0)
                }
        begun_s, length_s = episode[f"videos/{key}/from_timestamp"], episode["length"] / found.info["fps"]
        assert episode[f"videos/{key}/to_timestamp"] == begun_s + length_s
        for row in found.rows[episode["dataset_from_index"] : episode["dataset_to_index"]]:
            asked = np.float32(begun_s + row["timestamp"])
            nearest = min(films[path], key=lambda at: abs(at - asked))
            assert abs(nearest - asked) < 1e-4
            picture = films[path][nearest]
            found.pictures.setdefault(key, []).append(picture)
            found.lumas.setdefault(key, []).append(float(picture.mean()))
    assert sum(len(film) for film in films.values()) == len(found.rows)


def _check_statistics(found: LeRobotRead) -> None:
    for key, one in found.info["features"].items():
        shape = (3, 1, 1) if one["dtype"] == "video" else tuple(one["shape"])
        for told in (found.stats[key], *({kind: e[f"stats/{key}/{kind}"] for kind in KINDS} for e in found.episodes)):
            assert set(told) == set(KINDS)
            assert {np.shape(value) for kind, value in told.items() if kind != "count"} == {shape}
            assert np.shape(told["count"]) == (1,)
        assert found.stats[key]["count"] == [found.info["total_frames"]]
