"""Cameras whose own clocks bear each other out, and such that do not."""

from dataclasses import replace

import numpy as np
import pytest

from syncsvc.bench.simulated_cameras import SimulatedCamera
from syncsvc.clock import NS_PER_MS
from syncsvc.config.loader import loads
from syncsvc.doctor.content import Comparison
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.rendering import _remarks, as_object, snippet
from tests.unit.doctor.logs import camera, run_of


def seen_one_way(*cameras: SimulatedCamera, content: tuple[Comparison, ...] | None = None) -> Diagnosis:
    """As the service sees them whom nobody vouches for: ± 101 ms."""
    run = run_of(*cameras)
    streams = {
        name: replace(one, uncertainty_ns=np.full_like(one.uncertainty_ns, 101 * NS_PER_MS))
        for name, one in run.streams.items()
    }
    return diagnose(replace(run, streams=streams), None, content)


def test_cameras_that_agree_are_to_be_vouched_for_with_the_evidence() -> None:
    found = seen_one_way(camera("north"), camera("south", latency_ms=55.0, drift_ppm=20.0))
    assert found.agreement is not None
    assert found.agreement.cameras == found.to_vouch_for == ("north", "south")
    assert found.agreement.least_ms == pytest.approx(30, abs=1)
    assert found.agreement.most_ms == pytest.approx(55, abs=1)
    text = "\n".join(snippet(found))
    assert "    clock: rtcp  # 2 cameras agree: packets come 30." in text
    assert "steady to " in text
    names = "streams:\n  north: {url: 'rtsp://h/1'}\n  south: {url: 'rtsp://h/2'}\n"
    assert loads(names, "own").streams["north"].clock == "auto"
    pasted = text.replace("  north:\n", "  north:\n    url: rtsp://h/1\n").replace(
        "  south:\n", "  south:\n    url: rtsp://h/2\n"
    )
    pasted = pasted.replace("  all:\n", "  all:\n    streams: [north, south]\n")
    assert {one.clock for one in loads(pasted, "pasted").streams.values()} == {"rtcp"}
    told = as_object(found)
    assert told["agreement"]["cameras"] == ("north", "south")
    assert told["streams"]["north"]["proposed_clock"] == "rtcp"


def test_beside_the_wide_doubt_stands_what_is_measured_and_what_nobody_can_know() -> None:
    lines = [line for line in _remarks(seen_one_way(camera("north"), camera("south"))) if "measured: " in line]
    assert len(lines) == 2
    assert "packets come 30." in lines[0]
    assert "unknowable one way, hence ± 101 ms" in lines[0]
    assert not [line for line in _remarks(diagnose(run_of(camera("north")))) if "measured: " in line], "vouched for"


@pytest.mark.parametrize(
    "other",
    [
        camera("south", latency_ms=120.0),
        camera("south", ntp_offset_ms=-90.0),
        camera("south", ntp_offset_ms=10_000.0),
        camera("south", sr="none"),
    ],
    ids=["much slower", "clock behind", "clock ahead", "no reports"],
)
def test_one_camera_that_stands_out_is_enough_for_no_proposal(other: SimulatedCamera) -> None:
    found = seen_one_way(camera("north"), other)
    assert found.agreement is None
    assert found.to_vouch_for == ()
    assert "clock: rtcp" not in "\n".join(snippet(found))


def test_one_camera_alone_agrees_with_nobody() -> None:
    assert seen_one_way(camera("north")).agreement is None


def test_pictures_that_contradict_the_clocks_are_believed_before_them() -> None:
    seen = Comparison("north", "south", 70.0, 40.0, 0.9, 3.0, (39.0, 41.0), "", 40.0)
    assert seen_one_way(camera("north"), camera("south"), content=(seen,)).agreement is None


def test_what_is_vouched_for_already_is_not_proposed_again() -> None:
    found = diagnose(run_of(camera("north"), camera("south")))
    assert found.agreement is not None
    assert found.to_vouch_for == ()
