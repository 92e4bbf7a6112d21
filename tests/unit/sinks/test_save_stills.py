"""``save_stills``: every way writes the same files, and names what it could not write."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from syncsvc import StillsNotSaved, UsageError, save_stills
from syncsvc.layout import Layout
from syncsvc.model import Frame
from syncsvc.sinks.stills import writers
from syncsvc.sinks.stills.coding import coding_of
from syncsvc.sinks.stills.processes import RemoteSaver
from syncsvc.sinks.stills.save import save_all
from syncsvc.sinks.stills.still import CHUNK_BYTES, CHUNK_STILLS, Still, chunks
from tests.batches import frame


def pictures(number: int = 3) -> list[NDArray[Any]]:
    """Of several sizes and numbers of channels."""
    random = np.random.default_rng(4)
    shapes = [(9, 12), (7, 5, 3), (6, 8, 4), (5, 5, 1), (600, 801, 3)]
    return [random.integers(0, 255, shapes[n % len(shapes)], np.uint8) for n in range(number)]


def read(path: Path) -> NDArray[Any]:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


@pytest.mark.parametrize("how", writers.HOWS)
def test_every_way_writes_every_picture_under_its_number_bit_for_bit(how: writers.How, tmp_path: Path) -> None:
    given = pictures(11)
    paths = save_stills(given, tmp_path / "new" / "folder", how, format="png", workers=2)
    assert paths == [tmp_path / f"new/folder/{number:06}.png" for number in range(11)]
    assert sorted(paths[0].parent.iterdir()) == paths
    for path, picture in zip(paths, given, strict=True):
        assert np.array_equal(read(path), picture[:, :, 0] if picture.shape[2:] == (1,) else picture)


@pytest.mark.parametrize("how", ["loop", "chunked_threads", "chunked_processes"])
def test_pictures_that_cannot_be_written_are_named_and_cost_the_others_nothing(
    how: writers.How, tmp_path: Path
) -> None:
    good = np.zeros((4, 4), np.uint8)
    (tmp_path / "000004.jpg").mkdir()
    given = [good, np.zeros((4, 4)), good, np.zeros((4, 4, 2), np.uint8), good, np.zeros((0, 4), np.uint8), "a word"]
    with pytest.raises(StillsNotSaved) as caught:
        save_stills(given, tmp_path, how, workers=1)  # type: ignore[arg-type]  # what users give all the same
    error = caught.value
    assert sorted(error.problems) == [1, 3, 4, 5, 6]
    assert error.problems[1] == "000001.jpg: a picture of shape (4, 4) and dtype float64: jpg takes uint8"
    assert "allowed are (h, w), (h, w, 1), (h, w, 3) and (h, w, 4)" in error.problems[3]
    assert error.problems[4] == "000004.jpg: Is a directory"
    assert "takes sides of 1 to 65535 pixels" in error.problems[5]
    assert "dtype str" in error.problems[6]
    assert str(error).startswith(f"{tmp_path}: 5 of 7 pictures were not saved: 000001.jpg: ")
    assert str(error).endswith(", and 4 more")
    assert {path.name for path in tmp_path.iterdir()} == {"000000.jpg", "000002.jpg", "000004.jpg"}


def test_png_takes_sixteen_bits_and_the_others_say_that_they_do_not(tmp_path: Path) -> None:
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    for how in ("loop", "processes"):
        (path,) = save_stills([deep], tmp_path / how, how, format="png", workers=1)
        assert read(path).dtype == np.uint16
        assert np.array_equal(read(path), deep)
    with pytest.raises(StillsNotSaved, match=r"dtype uint16: webp takes uint8"):
        save_stills([deep], tmp_path, format="webp")


def test_names_quality_and_format_are_what_was_asked_for(tmp_path: Path) -> None:
    picture = pictures(2)[1]
    (small,) = save_stills([picture], tmp_path, format="jpeg", quality=5, names=["low"])
    (large,) = save_stills([picture], tmp_path, format="jpg", quality=100, names=["high"])
    assert (small.name, large.name) == ("low.jpg", "high.jpg")
    assert small.stat().st_size < large.stat().st_size
    (webp,) = save_stills([picture], tmp_path, format="webp")
    assert webp.read_bytes()[8:12] == b"WEBP"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"how": "fibers"}, "how 'fibers': allowed are loop, threads, processes, chunked_threads, chunked_processes"),
        ({"format": "gif"}, "format 'gif': allowed are jpg, png, webp"),
        ({"format": "png", "quality": 90}, "quality 90: png loses nothing"),
        ({"quality": 0}, "quality 0: allowed are 1 to 100"),
        ({"workers": 0}, "workers 0: allowed are 1 to 64"),
        ({"names": ["../a"]}, "names: '../a' is no name of a file"),
        ({"names": []}, "names: there are 0, and more pictures"),
    ],
)
def test_what_cannot_be_asked_for_is_said(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(").replace("+", r"\+")):
        save_stills(pictures(1), tmp_path / "there", **options)


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file: is there, and no folder"):
        save_stills(pictures(1), tmp_path / "file")


def test_a_frame_is_written_as_what_it_shows_and_a_jpeg_as_it_came(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", pictures(2)[1])[1].tobytes()
    shown = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    given: list[Frame] = [
        frame("north", 1, layout=Layout("jpeg", 5, 7), payload=jpeg),
        frame("north", 2, layout=Layout("bgr24", 4, 2), payload=shown.tobytes()),
    ]
    paths = save_stills(given, tmp_path)
    assert paths[0].read_bytes() == jpeg
    paths = save_stills(given, tmp_path, format="png")
    assert np.array_equal(read(paths[1]), shown)
    assert read(paths[0]).shape == (7, 5, 3)
    again = save_stills(given[:1], tmp_path, quality=20)
    assert again[0].read_bytes() != jpeg


def test_what_is_ahead_of_the_disk_is_bounded_and_a_generator_of_any_length_is_fine(tmp_path: Path) -> None:
    made, written = 0, tmp_path / "stills"

    def endless() -> Iterator[NDArray[Any]]:
        nonlocal made
        for _ in range(40):
            there = len(list(written.glob("*.jpg"))) if written.exists() else 0
            assert made - there <= 8, "more than the chunks under way are held"
            made += 1
            yield np.zeros((600, 1200, 3), np.uint8)  # each is a chunk of its own

    assert len(save_stills(endless(), written, "chunked_threads", workers=2)) == 40


def test_chunks_end_by_number_and_by_size_and_lose_nothing() -> None:
    def stills(*sizes: int) -> list[Still]:
        return [Still(number, "", np.zeros(0), size) for number, size in enumerate(sizes)]

    small = list(chunks(stills(*[10] * (2 * CHUNK_STILLS + 22)), CHUNK_STILLS))
    assert [len(chunk) for chunk in small] == [CHUNK_STILLS, CHUNK_STILLS, 22]
    big = list(chunks(stills(CHUNK_BYTES * 3, 5, CHUNK_BYTES - 5, 1), CHUNK_STILLS))
    assert [[still.number for still in chunk] for chunk in big] == [[0], [1, 2], [3]]
    assert list(chunks([], CHUNK_STILLS)) == []


def test_a_process_that_is_killed_is_replaced_and_its_pictures_are_written(tmp_path: Path) -> None:
    saver = RemoteSaver(coding_of("png"))
    try:
        saver.await_ready()
        first = saver.pid
        os.kill(first, signal.SIGKILL)
        found = saver([Still(3, f"{tmp_path}/a.png", pictures(1)[0], 100)])
        assert [(one.number, one.cause) for one in found] == [(3, "")]
        assert saver.pid != first
        assert np.array_equal(read(tmp_path / "a.png"), pictures(1)[0])
        big = np.full((1100, 1920, 3), 7, np.uint8)  # more than the memory that was there
        assert saver([Still(4, f"{tmp_path}/b.png", big, big.nbytes)])[0].cause == ""
        assert np.array_equal(read(tmp_path / "b.png"), big)
    finally:
        saver.close()


def test_a_writer_is_used_again_and_again(tmp_path: Path) -> None:
    with writers.opened("chunked_threads", coding_of("png"), 2) as writer:
        for turn in range(3):
            stills = [Still(n, f"{tmp_path}/{turn}_{n}.png", one, one.nbytes) for n, one in enumerate(pictures(5))]
            assert [one.number for one in save_all(writer, stills)] == [0, 1, 2, 3, 4]
    assert len(list(tmp_path.iterdir())) == 15


def test_nothing_that_is_half_written_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StillsNotSaved, match=r"000000\.jpg: No space left on device"):
        save_stills(pictures(1), tmp_path, "loop")
    assert list(tmp_path.iterdir()) == []
