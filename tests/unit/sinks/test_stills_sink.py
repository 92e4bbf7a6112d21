"""What the sink does with batches: all that is chosen is written or counted, and little waits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from syncsvc.errors import FrameUndecodable
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from syncsvc.sinks.stills import sink as sinks
from syncsvc.sinks.stills.choice import Choice, StillsWish
from syncsvc.sinks.stills.coding import coding_of
from syncsvc.sinks.stills.mosaic import BAR, compose, title
from syncsvc.sinks.stills.still import Outcome, Still
from syncsvc.sinks.stills.writers import opened
from tests.batches import MS, T0, batch, frame, together

SMALL = Layout("bgr24", 64, 48)
NAMES = ("north", "south", "east")
ALL = StillsWish()


class Slow:
    """A writer that writes when it is told to."""

    def __init__(self, workers: int = 1) -> None:
        self.workers, self.most_stills, self.pending = workers, 1, 0
        self.held: list[Still] = []
        self.done: list[Outcome] = []
        self.looks = 0

    def put(self, chunk: Sequence[Still]) -> None:
        self.held += chunk

    def write(self, number: int) -> None:
        """Finish so many."""
        written, self.held = self.held[:number], self.held[number:]
        self.done += [Outcome(still.number, still.path, 10) for still in written]

    def take(self, timeout_s: float = 0.0) -> list[Outcome]:
        if timeout_s:
            self.looks += 1
            self.write(1)
        done, self.done = self.done, []
        return done


def colour(stream: str, seq: int, time_ns: int, bgr: tuple[int, int, int] = (10, 20, 30)) -> Frame:
    picture = np.full((SMALL.height, SMALL.width, 3), bgr, np.uint8)
    return frame(stream, seq, time_ns, SMALL, payload=picture.tobytes())


def pair(seq: int, number: int = 2) -> FrameBatch:
    """Sets of north and south; the east is missing."""
    at = T0 + seq * 1000 * MS
    north = [colour("north", seq * number + n, at + n * 40 * MS, (255, 0, 0)) for n in range(number)]
    south = [colour("south", seq * number + n, at + (n * 40 + 3) * MS, (0, 255, 0)) for n in range(number)]
    sets = [together(one, other, group=NAMES) for one, other in zip(north, south, strict=True)]
    return batch(seq, frames={"north": north, "south": south, "east": []}, sets=sets, missing={"east": "stalled"})


def sink_of(folder: Path, writer: Any, wish: StillsWish = ALL, when_late: Any = "drop", suffix: str = "png") -> Any:
    return sinks.StillsSink(str(folder), Choice(wish), coding_of(suffix), writer, when_late, keeps_jpeg=True)


@pytest.mark.parametrize("how", ["loop", "chunked_threads", "processes"])
def test_pictures_of_batches_are_files_by_stream_time_and_number(how: Any, tmp_path: Path) -> None:
    with opened(how, coding_of("png"), 2) as writer:
        sink = sink_of(tmp_path, writer)
        sink.take(pair(0))
        sink.take(pair(1))
        sink.finish()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")} == {
        f"{stream}/20260101T00000{seq}.0{ms + late:02}000000Z_{seq * 2 + n}.png"
        for stream, late in (("north", 0), ("south", 3)) for seq in (0, 1) for n, ms in ((0, 0), (1, 40))
    }  # fmt: skip
    found = cv2.imread(str(next((tmp_path / "south").iterdir())))
    assert found is not None
    assert found.shape == (48, 64, 3)
    assert (found == (0, 255, 0)).all()
    told = sink.tally.as_object()
    assert (told["written"], told["batches"], told["dropped"]) == (8, 2, {})
    assert told["bytes"] == sum(path.stat().st_size for path in tmp_path.rglob("*.png"))


def test_a_batch_that_finds_nothing_waiting_is_taken_whole_and_one_that_does_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "MOST_WAITING_BYTES", 6 * 3 * SMALL.width * SMALL.height)
    writer = Slow()
    sink = sink_of(tmp_path, writer)
    sink.take(pair(0, number=10))  # 20 pictures, and room for six
    assert (len(writer.held), sink.tally.lost) == (20, 0)
    writer.write(16)
    sink.take(pair(1, number=10))
    assert (len(writer.held), sink.tally.dropped) == (4 + 2, {"late": 18})
    writer.write(6)
    sink.finish()
    for account in sink.tally.streams.values():
        assert account.chosen == account.written + account.lost
    assert sink.tally.written == 22


def test_who_is_to_wait_drops_nothing_and_waits_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "MOST_WAITING_BYTES", 6 * 3 * SMALL.width * SMALL.height)
    writer = Slow()
    sink = sink_of(tmp_path, writer, when_late="wait")
    sink.take(pair(0, number=10))
    assert (writer.looks, sink.under_way, sink.tally.lost) == (14, 6, 0)
    sink.take(pair(1, number=10), lambda: True)  # somebody asks for the end
    assert (writer.looks, sink.under_way) == (14, 26)
    sink.finish()
    assert sink.tally.written == 40


def test_what_cannot_be_shown_or_written_is_counted_by_cause_and_said_once_a_second(tmp_path: Path) -> None:
    lost = frame("north", 5, T0, Layout("encoded", 16, 16), payload=b"nothing before it")
    wrong = frame("north", 6, T0 + MS, SMALL, payload=b"too short")
    (tmp_path / "south").touch()  # no folder can be made there
    some = batch(0, frames={"north": [lost, wrong], "south": [colour("south", 1, T0), colour("south", 2, T0 + 9)]})
    with opened("threads", coding_of("jpg"), 1) as writer:
        sink = sink_of(tmp_path, writer, suffix="jpg")
        sink.take(some)
        sink.finish()
    assert sink.tally.of("north").dropped == {"undecodable": 1, "refused": 1}
    assert sink.tally.of("south").dropped == {"unwritten": 2}
    said = sink.tally.news(0)
    assert said.startswith(f"{tmp_path}/north/20260101T000000.000000000Z_5.jpg: frame 5 of stream 'north' cannot be")
    assert said.endswith(" (and 3 more)")
    assert sink.tally.news(1) == ""


def test_a_jpeg_stream_is_written_as_it_came_and_coded_anew_where_that_is_wanted(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    some = batch(0, frames={"north": [frame("north", 1, T0, Layout("jpeg", 64, 48), payload=jpeg)]})
    for keeps in (True, False):
        place = tmp_path / str(keeps)
        with opened("loop", coding_of("jpg", 30)) as writer:
            sink = sinks.StillsSink(
                str(place), Choice(StillsWish()), coding_of("jpg", 30), writer, "drop", keeps_jpeg=keeps
            )
            sink.take(some)
            sink.finish()
        (path,) = place.rglob("*.jpg")
        assert (path.read_bytes() == jpeg) is keeps


def test_a_mosaic_has_every_stream_in_its_place_and_shows_who_is_missing(tmp_path: Path) -> None:
    with opened("loop", coding_of("png")) as writer:
        sink = sink_of(tmp_path, writer, StillsWish("mosaics"))
        sink.take(pair(0))
        sink.finish()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "20260101T000000.000000000Z.png", "20260101T000000.040000000Z.png",
    ]  # fmt: skip
    found = cv2.imread(str(tmp_path / "20260101T000000.000000000Z.png"))
    assert found is not None
    height, width = found.shape[:2]
    assert (found[30, width // 4] == (255, 0, 0)).all()  # the north, first row, first column
    assert (found[30, width * 3 // 4] == (0, 255, 0)).all()
    missing = found[48 + BAR + 8 : 2 * 48 + BAR, : width // 2]
    assert (missing == (48, 48, 48)).all(axis=2).mean() > 0.5
    assert (missing.max(axis=2) > 150).any(), "nothing is said of the one that is missing"
    assert height >= 2 * (48 + BAR)


def test_the_title_of_a_mosaic_has_its_time_and_how_close_the_set_is() -> None:
    assert title(pair(0).sets[0], NAMES) == "2026-01-01T00:00:00.000000Z  2 of 3 streams  spread 3.000 ms"


def test_pictures_of_a_mosaic_keep_their_shapes_and_one_that_cannot_be_shown_is_said() -> None:
    tall = frame("north", 1, T0, Layout("gray8", 30, 120, "full"), payload=bytes([200]) * 3600)
    lost = frame("south", 1, T0, Layout("encoded", 16, 16), payload=b"")
    some = together(tall, lost, group=NAMES)
    drawn = compose(some, NAMES, {})
    bright = (drawn == 200).all(axis=2)
    rows, columns = bright.any(axis=1).sum(), bright.any(axis=0).sum()
    assert abs(rows / columns - 4) < 0.5
    with pytest.raises(FrameUndecodable):
        compose(together(lost, lost, group=NAMES), NAMES, {})
