"""The pictures' word on latency: right where views overlap, silent where they do not."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.content import Comparison, Curve, compare, difference, motion_curve, reduced, suggest_offsets
from syncsvc.doctor.diagnosis import diagnose
from syncsvc.doctor.motion import MotionWatch, content_times, luma_of
from syncsvc.layout import Layout
from syncsvc.model import Counts, Frame, FrameBatch
from tests.unit.doctor.logs import camera, run_of
from tests.unit.doctor.scene import Scene, View

SECONDS = 62.0
SLANTED = View(turn_rad=0.25, scale=0.85)


def curve(scene: Scene, view: View, fps: float = 12.5, late_ms: float = 0.0, seconds: float = SECONDS) -> Curve:
    """What a camera shows whose stamps are late by so much."""
    noise = np.random.default_rng(int(fps * 10))
    times = np.arange(int(seconds * fps)) / fps
    pictures = [scene.seen(at_s, view) + noise.normal(0, 2, (45, 80)).astype(np.float32) for at_s in times]
    moved = [0.0, *(difference(after, before) for before, after in pairwise(pictures))]
    stamps = (times * NS_PER_S).astype(np.int64) + round(late_ms * NS_PER_MS)
    return motion_curve(stamps, np.array(moved), has_own_clock=False)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(4, SECONDS + 1)


@pytest.fixture(scope="module")
def straight(scene: Scene) -> Curve:
    return curve(scene, View())


@pytest.mark.parametrize(("fps", "late_ms"), [(12.5, 120.0), (10.0, -75.0)])
def test_the_lag_of_two_views_of_one_scene_is_found(scene: Scene, straight: Curve, fps: float, late_ms: float) -> None:
    found = compare("one", "other", straight, curve(scene, SLANTED, fps, late_ms))
    assert found.is_accepted, found.why_not
    assert found.lag_ms == pytest.approx(late_ms, abs=6)
    assert found.peak > 0.8
    assert found.ratio > 2


def test_views_without_anything_in_common_suggest_nothing(straight: Curve) -> None:
    found = compare("one", "other", straight, curve(Scene(5, SECONDS + 1), View()))
    assert not found.is_accepted
    assert "too little in common" in found.why_not


def test_less_than_a_minute_is_not_enough(scene: Scene, straight: Curve) -> None:
    found = compare("one", "other", straight, curve(scene, View(), seconds=40.0))
    assert (found.is_accepted, found.lag_ms, found.why_not) == (False, None, "needs 60 s of both")


@pytest.mark.parametrize("late_ms", [4_200.0, -1_350.0])
def test_recordings_that_began_nobody_knows_when_are_compared_further_apart_and_in_less_time(
    scene: Scene, late_ms: float
) -> None:
    one, other = curve(scene, View(), seconds=32.0), curve(scene, SLANTED, late_ms=late_ms, seconds=32.0)
    one, other = replace(one, is_untimed=True), replace(other, is_untimed=True)
    found = compare("one", "other", one, other)
    assert found.is_accepted, found.why_not
    assert found.lag_ms == pytest.approx(late_ms, abs=6)
    assert found.disagreement_ms is None
    assert compare("one", "other", one, replace(other, is_untimed=False)).why_not == "needs 60 s of both"


def test_an_offset_is_how_much_later_a_recording_began_than_the_first() -> None:
    # b shows the same 300 ms later than a, so it began 300 ms earlier; c shows it 200 ms earlier than a.
    seen = (
        Comparison("a", "b", 30.0, 300.0, 0.9, 3.0, (300.0, 300.0)),
        Comparison("a", "c", 30.0, -200.0, 0.8, 3.0, (-200.0, -200.0)),
        Comparison("c", "d", 30.0, 1.0, 0.8, 3.0, (1.0, 1.0), "refused"),
    )
    assert suggest_offsets(seen, ["a", "b", "c", "d"]) == {"a": 300.0, "b": 0.0, "c": 500.0}
    assert suggest_offsets(seen, ["a", "c"]) == {"a": 0.0, "c": 200.0}
    assert suggest_offsets(seen, ["b", "c"]) == {}


def test_a_scene_that_repeats_itself_is_ambiguous() -> None:
    times = (np.arange(70 * 25) * NS_PER_S // 25).astype(np.int64)
    beat = Curve(times, np.sin(times / NS_PER_S * 2 * np.pi / 0.8) + 2, has_own_clock=False)
    found = compare("one", "other", beat, beat)
    assert found.lag_ms == pytest.approx(0, abs=1)
    assert "ambiguous" in found.why_not


def test_halves_that_disagree_are_refused(scene: Scene, straight: Curve) -> None:
    other = curve(scene, SLANTED)
    creeping = replace(other, time_ns=other.time_ns + np.linspace(0, 80, len(other.time_ns)).astype(np.int64) * 10**6)
    found = compare("one", "other", straight, creeping)
    assert found.why_not.startswith("the halves of the time differ by ")


def test_a_still_scene_says_so() -> None:
    times = (np.arange(70 * 25) * NS_PER_S // 25).astype(np.int64)
    still = Curve(times, np.zeros(len(times)), has_own_clock=False)
    assert compare("one", "other", still, still).why_not == "nothing moves"
    nothing = motion_curve(times[:1], np.zeros(1), has_own_clock=False)
    assert compare("one", "other", nothing, still).why_not == "needs 60 s of both"


def test_motion_lies_between_two_pictures_and_not_over_a_hole() -> None:
    times = np.array([0, 40, 80, 200, 240], np.int64) * NS_PER_MS
    made = motion_curve(times, np.array([9.0, 1.0, 2.0, 3.0, 4.0]), has_own_clock=True)
    assert (made.time_ns // NS_PER_MS).tolist() == [20, 60, 220]
    assert made.energy.tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (48, 64), (45, 80), (361, 641)])
def test_pictures_are_reduced_to_about_eighty_by_fortyfive(size: tuple[int, int]) -> None:
    small = reduced(np.full(size, 77, np.uint8))
    assert 40 <= small.shape[0] <= 90
    assert 60 <= small.shape[1] <= 160
    assert np.all(small == 77)


def test_a_change_of_the_light_is_no_motion() -> None:
    picture = np.random.default_rng(1).uniform(0, 200, (45, 80)).astype(np.float32)
    assert difference(picture + 30, picture) == pytest.approx(0, abs=1e-4)
    moved = picture.copy()
    moved[:10, :10] += 50
    assert difference(moved, picture) == pytest.approx(50 * 100 / 3600, rel=0.01)


def frame_of(seq: int, picture: NDArray[Any], pixel_format: str = "gray8") -> Frame:
    height, width = picture.shape
    layout = Layout(pixel_format, width, height, "full")  # type: ignore[arg-type]
    if pixel_format == "bgr24":
        payload = np.repeat(picture[:, :, None], 3, axis=2).tobytes()
    elif pixel_format == "i420":
        payload = picture.tobytes() + bytes(2 * ((height + 1) // 2) * ((width + 1) // 2))
    else:
        payload = picture.tobytes()
    return Frame("cam", seq, seq, 0, "pts", seq, True, layout, payload)


@pytest.mark.parametrize("pixel_format", ["i420", "bgr24", "gray8"])
def test_brightness_is_found_in_every_format(pixel_format: str) -> None:
    picture = np.random.default_rng(2).integers(0, 255, (48, 64), np.uint8)
    assert np.array_equal(luma_of(frame_of(1, picture, pixel_format)), picture)


def test_modelled_streams_take_their_times_from_the_floor_and_others_from_their_stamps() -> None:
    run = run_of(camera("ntp"), camera("model", latency_ms=90.0, jitter_ms=10.0), clocks={"model": "model"})
    ntp, model = run.streams["ntp"], run.streams["model"]
    times, has_own_clock = content_times(ntp)
    assert has_own_clock
    assert np.array_equal(times, ntp.time_ns)
    times, has_own_clock = content_times(model)
    assert not has_own_clock
    assert np.abs(times[50:] - model.time_ns[50:]).max() < 3 * NS_PER_MS  # those too are true but for the latency


def test_an_accepted_comparison_gives_a_mute_stream_its_latency_and_nothing_to_others() -> None:
    run = run_of(camera("ntp"), camera("mute", sr="none"), clocks={"mute": "model"})
    found = Comparison("ntp", "mute", 70.0, 62.3, 0.9, 3.0, (61.0, 63.0))
    told = diagnose(run, None, (found,)).streams
    assert (told["mute"].latency_ms, told["mute"].latency_basis) == (62.3, "content")
    assert told["mute"].proposed_latency_ms == 62.3
    assert told["ntp"].latency_ms == pytest.approx(30, abs=0.5)
    turned = Comparison("mute", "ntp", 70.0, -62.3, 0.9, 3.0, (-61.0, -63.0))
    assert diagnose(run, None, (turned,)).streams["mute"].latency_ms == 62.3
    refused = replace(found, why_not="no")
    assert diagnose(run, None, (refused,)).streams["mute"].latency_ms is None


def test_two_clocks_that_contradict_what_is_seen_are_told() -> None:
    run = run_of(camera("one"), camera("other"))
    found = Comparison("one", "other", 70.0, 40.0, 0.9, 3.0, (39.0, 41.0), "", 40.0)
    one = diagnose(run, None, (found,)).streams["one"]
    assert [finding.text for finding in one.findings] == [
        "other shows the same 40 ms later, by both streams' own clocks: one of them is wrong"
    ]


def test_the_eye_sees_each_frame_once_and_keeps_no_picture() -> None:
    run = run_of(camera("cam"), camera("two"))
    motion, noise = MotionWatch(), np.random.default_rng(3)
    frames = [frame_of(seq, noise.integers(0, 255, (48, 64), np.uint8)) for seq in range(600)]
    for first in range(0, 600, 25):
        some = frames[first : first + 25]
        batch = FrameBatch("all", 0, 1, 0, 1, 2, {}, {"cam": some}, (), {"cam": Counts()})
        motion.take(batch)
        motion.take(batch)  # the same stream in a second group
    assert motion.compare(run) == ()  # of the pair, only one was seen
    motion.take(FrameBatch("all", 0, 1, 0, 1, 2, {}, {"two": frames}, (), {"two": Counts()}))
    (found,) = motion.compare(run)
    assert (found.first, found.second, found.why_not) == ("cam", "two", "needs 60 s of both")
    assert found.seconds == pytest.approx(24, abs=1)
