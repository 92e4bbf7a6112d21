"""A LeRobot data set of a recording, read by a strict reader of its layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syncsvc.errors import NotExported, UsageError
from syncsvc.export import film_files, lerobot_folder
from syncsvc.export.export_tally import ExportTally
from syncsvc.export.lerobot import LeRobotWish, export_lerobot
from syncsvc.export.recorded_sets import RecordedSets
from syncsvc.model import Gap
from tests.batches import MS, T0
from tests.lerobot_reader import LeRobotRead, read
from tests.recordings import NAMES, MemoryRecording, grey_of, recording, time_of
from tests.unit.export.jpegs import jpeg_recording

LOST = (7, 9)
"""Of a stream each, so that their sets lack it."""
KEYS = [f"observation.images.{name}" for name in NAMES]


def export(ours: MemoryRecording, path: Path, **wish: Any) -> tuple[LeRobotRead, ExportTally]:
    tally = export_lerobot(RecordedSets(ours, None), path, LeRobotWish(**wish), lambda _: None)
    return read(path), tally


def luma(number: int) -> float:
    """What a picture of limited range becomes on a screen."""
    return (grey_of(number) - 16) * 255 / 219


def seqs_of(found: LeRobotRead) -> list[int]:
    return [round((row["time_ns"] - T0) / 40 / MS) for row in found.rows]


def test_each_whole_set_is_a_row_with_its_pictures_and_true_times_and_an_episode_ends_at_a_gap(tmp_path: Path) -> None:
    found, tally = export(recording(6), tmp_path / "data", task="sort the parts")
    taken = [seq for seq in range(30) if seq not in LOST]
    assert seqs_of(found) == taken
    assert found.tasks == ["sort the parts"]
    assert [one["length"] for one in found.episodes] == [7, 1, 20]
    assert found.info["fps"] == 25
    for row, seq in zip(found.rows, taken, strict=True):
        assert (row["time_ns"], row["spread_ns"]) == (time_of(seq), 2 * MS)
        assert row["stream_time_ns"] == [time_of(seq) + at * MS for at in range(3)]
    assert found.info["features"]["stream_time_ns"]["names"] == list(NAMES)
    for key in (KEYS[0], KEYS[2]):  # of south the recorder coded other pictures
        assert found.lumas[key] == pytest.approx([luma(seq % 15) for seq in taken], abs=6)
    assert (tally.recorded, tally.sets, tally.episodes, tally.incomplete) == (30, 28, 3, 2)
    assert (tally.left_out, tally.fps, tally.rate_hz) == ({"incomplete": 2}, 25, 25.0)
    assert {name: (one.pictures, one.size, one.other_sizes) for name, one in tally.streams.items()} == dict.fromkeys(
        NAMES, (28, (64, 48), 0)
    )


def test_batches_that_never_came_end_an_episode(tmp_path: Path) -> None:
    ours = recording(6)
    ours.segments[1].items = [Gap(6, 6, "lost", "lobby"), *ours.segments[1].items]
    found, _ = export(ours, tmp_path / "data")
    assert [one["length"] for one in found.episodes] == [7, 1, 5, 15]


def test_a_set_whose_picture_nobody_can_show_is_left_out_counted_and_ends_an_episode(tmp_path: Path) -> None:
    ours = recording(6)
    del ours.segments[1].shown["west"][4:6]  # the second is a key frame: those behind it refer to it
    found, tally = export(ours, tmp_path / "data")
    lost = [*LOST, 19, *range(20, 25)]
    assert seqs_of(found) == [seq for seq in range(30) if seq not in lost]
    assert tally.left_out == {"incomplete": 2, "no_picture": 6}
    assert tally.streams["west"].unshown == {"not_recorded": 2, "no_key": 4}
    assert [one["length"] for one in found.episodes] == [7, 1, 9, 5]


def test_a_coarser_grid_takes_the_nearest_sets_and_counts_the_others(tmp_path: Path) -> None:
    ours = recording(6)
    found, tally = export(ours, tmp_path / "data", fps=5)
    assert (found.info["fps"], seqs_of(found)) == (5, [0, 5, 10, 15, 20, 25, 29])
    assert tally.left_out == {"incomplete": 2, "off_grid": 21}


def test_pictures_of_another_size_are_scaled_to_the_first_and_odd_rows_and_columns_go(tmp_path: Path) -> None:
    found, tally = export(jpeg_recording([(65, 49), (65, 49), (32, 24)]), tmp_path / "data")
    assert found.info["features"]["observation.images.north"]["shape"] == [48, 64, 3]
    assert [round(one) for one in found.lumas["observation.images.north"]] == pytest.approx([40, 50, 60], abs=3)
    assert tally.streams["north"].size == (64, 48)
    assert tally.streams["north"].other_sizes == 3


def test_colours_stay_what_they_are(tmp_path: Path) -> None:
    found, _ = export(jpeg_recording([(64, 48)], colour=(200, 60, 30)), tmp_path / "data")
    assert found.pictures["observation.images.north"][0].mean(axis=(0, 1)) == pytest.approx([200, 60, 30], abs=4)
    mean = np.ravel(found.stats["observation.images.north"]["mean"])
    assert mean * 255 == pytest.approx([30, 60, 200], abs=4)


def test_files_that_are_full_are_followed_by_others_with_whole_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_files, "FILE_MB", 0)
    monkeypatch.setattr(film_files, "FILES_PER_CHUNK", 2)
    monkeypatch.setattr(lerobot_folder, "TABLE_MB", 0)
    found, tally = export(recording(6), tmp_path / "data")
    places = [(one["data/chunk_index"], one["data/file_index"]) for one in found.episodes]
    assert places == [(0, 0), (0, 1), (1, 0)]
    assert [
        (one[f"videos/{KEYS[0]}/chunk_index"], one[f"videos/{KEYS[0]}/file_index"]) for one in found.episodes
    ] == places
    assert tally.files == 12


def test_what_has_no_whole_set_or_no_picture_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    ours = recording(6)
    for segment in ours.segments:
        segment.shown = {name: some for name, some in segment.shown.items() if name != "west"}
    with pytest.raises(NotExported, match="memory: group lobby: none of its sets has a picture of every stream"):
        export(ours, tmp_path / "data")
    for segment in ours.segments:
        segment.items = []
    with pytest.raises(NotExported, match="memory: group lobby: there is no set in it"):
        export(ours, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_pyarrow_is_told_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"--lerobot needs pyarrow .*: install syncsvc\[export\]"):
        export(recording(6), tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
