"""What of a recording is taken away, and when: the oldest finished segments, and never what is being written."""

import os
from pathlib import Path

import pytest

from syncsvc.clock import NS_PER_S
from syncsvc.errors import UsageError
from syncsvc.sinks.record.recorder import check_folder
from syncsvc.sinks.record.shelf import Shelf

BYTES = 1000


def segments(folder: Path, *ended_s: int) -> list[Path]:
    """Finished segments of ``BYTES`` each, by when they ended, and beside them what is none."""
    made = []
    for number, end_s in enumerate(ended_s, 1):
        made.append(folder / f"{number:06}")
        made[-1].mkdir()
        (made[-1] / "a.mp4").write_bytes(bytes(BYTES))
        os.utime(made[-1] / "a.mp4", (end_s, end_s))
    for name in ("000099.part", "notes"):
        (folder / name).mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.isdigit())


def test_what_ended_longer_ago_than_is_kept_goes(tmp_path: Path) -> None:
    segments(tmp_path, 100, 200, 300)
    shelf = Shelf(tmp_path, keep_s=150, max_bytes=None)
    shelf.tidy(250 * NS_PER_S, 0)
    assert (names(tmp_path), shelf.removed) == (["000001", "000002", "000003"], 0)
    shelf.tidy(351 * NS_PER_S, 0)
    assert (names(tmp_path), shelf.removed) == (["000003"], 2)
    assert {"000099.part", "notes"} <= {path.name for path in tmp_path.iterdir()}


def test_the_oldest_go_until_all_with_what_is_written_now_fits(tmp_path: Path) -> None:
    segments(tmp_path, 100, 200, 300)
    shelf = Shelf(tmp_path, keep_s=None, max_bytes=3 * BYTES)
    shelf.tidy(400 * NS_PER_S, 0)
    assert names(tmp_path) == ["000001", "000002", "000003"]
    shelf.tidy(400 * NS_PER_S, 1)
    assert names(tmp_path) == ["000002", "000003"]
    shelf.tidy(400 * NS_PER_S, 4 * BYTES)
    assert (names(tmp_path), shelf.removed) == ([], 3)


def test_a_segment_that_was_finished_meanwhile_counts_too(tmp_path: Path) -> None:
    segments(tmp_path, 100)
    shelf = Shelf(tmp_path, keep_s=None, max_bytes=BYTES)
    shelf.tidy(400 * NS_PER_S, 0)
    (tmp_path / "000002").mkdir()
    (tmp_path / "000002" / "a.mp4").write_bytes(bytes(BYTES))
    shelf.look_again()
    shelf.tidy(400 * NS_PER_S, 0)
    assert names(tmp_path) == ["000002"]


def test_without_a_bound_everything_stays(tmp_path: Path) -> None:
    segments(tmp_path, 1, 2)
    Shelf(tmp_path, keep_s=None, max_bytes=None).tidy(10**9 * NS_PER_S, 10**15)
    assert names(tmp_path) == ["000001", "000002"]


def test_files_are_taken_away_as_folders_are(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        path = tmp_path / f"{number:06}.mcap"
        path.write_bytes(bytes(BYTES))
        os.utime(path, (100 * number, 100 * number))
    (tmp_path / "000004.mcap.part").write_bytes(bytes(BYTES))
    shelf = Shelf(tmp_path, keep_s=150, max_bytes=2 * BYTES)
    shelf.tidy(300 * NS_PER_S, BYTES)
    assert (sorted(one.name for one in tmp_path.iterdir()), shelf.removed) == (["000003.mcap", "000004.mcap.part"], 2)


def test_segments_of_another_format_are_in_the_way_and_those_of_the_same_are_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "000001.mcap").touch()
    (tmp_path / "000002.mcap.part").touch()
    check_folder(tmp_path, ".mcap")
    with pytest.raises(UsageError, match="is not empty"):
        check_folder(tmp_path, "")
    with pytest.raises(UsageError, match="go on there with --segment"):
        check_folder(tmp_path)
