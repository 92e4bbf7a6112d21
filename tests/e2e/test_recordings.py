"""Four real cameras with recorded capture times: every frame once, and the recorder's own sets, at both paces."""

import csv
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import pytest

from tests.e2e.harness import PATIENCE, History, Service, find_data

NAMES = ("cam_0", "cam_1", "cam_2", "cam_3")


def reference_sets(folder: Path) -> list[dict[str, int]]:
    with (folder / "reference-sets.csv").open() as file:
        return [{name: int(row[name]) for name in NAMES} for row in csv.DictReader(file)]


def streams(folder: Path, pace: str, timestamps: Path) -> dict[str, object]:
    return {
        name: {"url": f"file:{folder / name}.mp4", "pace": pace, "timestamps": str(timestamps), "clock": "pts"}
        for name in NAMES
    }


Sets = set[frozenset[tuple[str, int]]]


def play_in(tmp_path: Path, cameras: dict[str, object], groups: dict[str, dict[str, object]]) -> list[History]:
    """Run the daemon to the end of the recordings; the history of every group."""
    rules = {name: {"streams": list(NAMES), "max_skew_ms": 60, **PATIENCE, **rule} for name, rule in groups.items()}
    # The subscriptions must be there before the recordings start: wait_for sees to that.
    with Service(tmp_path, cameras, groups=rules, publish={"wait_for": len(rules)}) as service, ExitStack() as stack:
        histories = [stack.enter_context(service.follow(name)) for name in rules]
        for history in histories:
            history.read_to_the_end()
        assert service.process.wait(30) == 0, service.log
    for history in histories:
        history.check()
    return list(histories)


def sets_of(history: History) -> Sets:
    """The sets as frame numbers."""
    sets = [
        frozenset((name, frame.seq) for name, frame in one.frames.items()) for b in history.batches for one in b.sets
    ]
    assert len(sets) == len(set(sets))
    return set(sets)


def play(tmp_path: Path, cameras: dict[str, object], **rule: object) -> tuple[History, Sets]:
    """The same of one group, and its sets."""
    (history,) = play_in(tmp_path, cameras, {"rig": rule})
    return history, sets_of(history)


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_every_frame_comes_once_and_the_sets_are_the_recorders_in_windows_and_without(
    tmp_path: Path, pace: str
) -> None:
    folder = find_data("four-cameras")
    cameras = streams(folder, pace, folder / "timestamps.csv")
    windows, sets = play_in(tmp_path, cameras, {"windows": {}, "sets": {"window_ms": None}})
    for history in (windows, sets):
        for name in NAMES:
            assert [frame.seq for frame in history.frames(name)] == list(range(48))
            assert {frame.clock for frame in history.frames(name)} == {"pts"}
        assert sets_of(history) == {frozenset(one.items()) for one in reference_sets(folder)}
    assert [len(batch.sets) for batch in sets.batches].count(1) == 48


def without_some_frames(folder: Path, target: Path, seed: int) -> dict[str, list[int]]:
    """Copies of the recordings without 8 % of each camera's frames; returns the numbers that are left, by camera."""
    random = Random(seed)
    left = {name: sorted(random.sample(range(48), 44)) for name in NAMES}
    with (folder / "timestamps.csv").open() as file:
        times = {(row["stream"], int(row["frame"])): row["time_s"] for row in csv.DictReader(file)}
    lines = ["stream,frame,time_s"]
    for name in NAMES:
        with av.open(str(folder / f"{name}.mp4")) as source, av.open(str(target / f"{name}.mp4"), "w") as sink:
            out = sink.add_stream("mpeg4", rate=6)
            out.width, out.height, out.pix_fmt = 320, 180, "yuv420p"
            for index, frame in enumerate(source.decode(video=0)):
                if index in left[name]:
                    small = frame.reformat(320, 180, "yuv420p")
                    small.pts, small.time_base, small.pict_type = left[name].index(index), Fraction(1, 6), 0
                    sink.mux(out.encode(small))
            sink.mux(out.encode(None))
        lines += [f"{name},{place},{times[name, index]}" for place, index in enumerate(left[name])]
    (target / "timestamps.csv").write_text("\n".join(lines) + "\n")
    return left


@pytest.mark.parametrize("seed", [1, 2])
def test_sets_are_exact_when_frames_are_missing(tmp_path: Path, seed: int) -> None:
    folder = find_data("four-cameras")
    left = without_some_frames(folder, tmp_path, seed)
    history, sets = play(tmp_path, streams(tmp_path, "asap", tmp_path / "timestamps.csv"), reference="cam_0")
    place = {name: {index: at for at, index in enumerate(left[name])} for name in NAMES}
    expected = [
        frozenset((name, place[name][index]) for name, index in one.items() if index in place[name])
        for one in reference_sets(folder)
        if one["cam_0"] in place["cam_0"]
    ]
    assert sets == {one for one in expected if len(one) > 1}
    for batch in history.batches:
        for one in batch.sets:
            assert set(one.missing) == set(NAMES) - set(one.frames)
    assert sum(history.total(name, "delivered") for name in NAMES) == sum(map(len, left.values()))
