"""The real recordings of four cameras, as capture times alone: the reference sets come out, whatever is removed."""

import csv
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from syncsvc.capture.sidecar import read_sidecar
from syncsvc.model import StreamState
from syncsvc.testing import T0, GroupBench, frame

CAMERAS = ("cam_0", "cam_1", "cam_2", "cam_3")
SKEW_MS = 60

Sets = list[dict[str, int]]


@pytest.fixture(scope="module")
def times(shared_data: Path) -> dict[str, list[int]]:
    """Capture times by camera and frame, moved to begin with a window."""
    path = shared_data / "four-cameras" / "timestamps.csv"
    recorded = {name: [time for time in read_sidecar(path, name) if time is not None] for name in CAMERAS}
    first = min(some[0] for some in recorded.values())
    return {name: [T0 + time - first for time in some] for name, some in recorded.items()}


@pytest.fixture(scope="module")
def wanted(shared_data: Path) -> Sets:
    """The reference sets: frame numbers by camera."""
    with (shared_data / "four-cameras" / "reference-sets.csv").open(newline="") as file:
        return [{name: int(number) for name, number in row.items() if number} for row in csv.DictReader(file)]


def sets_of(
    times: dict[str, list[int]], kept: dict[str, list[int]], reference: str | None, window_ms: int | None = 1000
) -> list[tuple[dict[str, int], tuple[str, ...]]]:
    bench = GroupBench(CAMERAS, window_ms=window_ms, max_skew_ms=SKEW_MS, reference=reference, is_patient=True)
    order = sorted((times[name][number], name, number) for name, some in kept.items() for number in some)
    bench.add(*(frame(name, number, time) for time, name, number in order))
    bench.states(StreamState.ENDED)
    batches = bench.finish()
    assert sum(len(some) for one in batches for some in one.frames.values()) == len(order)
    return [({name: f.seq for name, f in s.frames.items()}, s.missing) for one in batches for s in one.sets]


@pytest.mark.parametrize("window_ms", [1000, None])
def test_all_frames_give_the_reference_sets_exactly(
    times: dict[str, list[int]], wanted: Sets, window_ms: int | None
) -> None:
    assert len(wanted) == 48
    kept = {name: list(range(len(some))) for name, some in times.items()}
    assert sets_of(times, kept, None, window_ms) == [(one, ()) for one in wanted]


@pytest.mark.parametrize("reference", CAMERAS)
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("window_ms", [1000, None])
def test_with_frames_removed_each_set_comes_out_whose_reference_exists(
    times: dict[str, list[int]], wanted: Sets, reference: str, seed: int, window_ms: int | None
) -> None:
    random = Random(seed)
    kept = {name: sorted(random.sample(range(len(some)), round(len(some) * 0.92))) for name, some in times.items()}
    left: dict[str, set[int]] = defaultdict(set, {name: set(some) for name, some in kept.items()})
    expected = [{name: number for name, number in one.items() if number in left[name]} for one in wanted]
    expected = [one for one in expected if reference in one and len(one) > 1]
    found = sets_of(times, kept, reference, window_ms)
    assert [one for one, _ in found] == expected
    assert all(set(missing) == set(CAMERAS) - one.keys() for one, missing in found)
