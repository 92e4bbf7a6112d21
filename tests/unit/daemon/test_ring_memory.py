"""How much memory a configuration takes is known before anything starts."""

import pytest

from syncsvc.capture.probe import Sight
from syncsvc.config.loader import loads
from syncsvc.config.models import Config
from syncsvc.daemon.ring_memory import demands, memory_lines, refuse_what_cannot_fit
from syncsvc.errors import MemoryShortage

MIB = 2**20


def config(**streams: str) -> Config:
    return loads("streams:\n" + "".join(f"  {name}: {{{keys}}}\n" for name, keys in streams.items()), "test")


def test_a_ring_is_reckoned_as_the_capture_will() -> None:
    (one,) = demands(config(a="url: 'synthetic:?fps=25&size=1920x1080'"), {})
    assert (one.slots, one.slot_bytes, one.is_assumed) == (50, 3_110_400, False)
    assert str(one) == "148 MiB = 50 frames of 2.97 MiB (1920x1080 at 25/s)"
    assert one.most_bytes == pytest.approx(2 * one.ring_bytes, rel=0.02), "a window and a second for local subscribers"


def test_what_nobody_knows_is_assumed_and_said_and_what_a_probe_saw_is_not() -> None:
    camera = config(a="url: 'rtsp://h/a'")
    (one,) = demands(camera, {})
    assert "assuming 1920x1080 at 25/s" in str(one)
    (one,) = demands(camera, {"a": Sight(True, "", 50.0, 640, 360)})
    assert (one.slots, one.is_assumed) == (96, False)


def test_the_configured_size_is_what_lies_in_the_ring() -> None:
    (one,) = demands(
        config(a="url: 'rtsp://h/a', size: [64, 32], pixels: gray8"), {"a": Sight(True, "", 25.0, 640, 360)}
    )
    assert one.slot_bytes == 64 * 32


def test_coded_pictures_beside_the_pixels_are_reckoned_with_in_the_size_that_the_camera_sends() -> None:
    seen = {"a": Sight(True, "", 25.0, 1920, 1080)}
    (alone,) = demands(config(a="url: 'rtsp://h/a', size: [640, 360]"), seen)
    (both,) = demands(config(a="url: 'rtsp://h/a', size: [640, 360], coded: true"), seen)
    assert (alone.coded_bytes, both.coded_bytes) == (0, 1920 * 1080 // 8)
    assert both.slot_bytes == alone.slot_bytes + both.coded_bytes
    assert both.ring_bytes == pytest.approx(50 * both.slot_bytes, rel=0.01)
    assert both.most_bytes > 1.7 * alone.most_bytes
    assert both.certain_bytes == alone.certain_bytes, "a camera with B-frames has none to hand on"
    assert str(both) == "29 MiB = 50 frames of 0.58 MiB, 0.25 of it for the coded picture (640x360 at 25/s)"
    assert "in sum 29 MiB" in memory_lines([both], 4096 * MIB)[-1]


def test_who_hands_on_nothing_but_coded_pictures_has_none_beside_them() -> None:
    (coded,) = demands(config(a="url: 'rtsp://h/a', pixels: encoded, coded: true"), {})
    (plain,) = demands(config(a="url: 'rtsp://h/a', pixels: encoded"), {})
    assert coded == plain


def test_the_sum_is_told() -> None:
    some = demands(config(a="url: 'synthetic:?size=1920x1080'", b="url: 'rtsp://h/b'"), {})
    assert memory_lines(some, 4096 * MIB)[-2:] == [
        "  in sum 297 MiB, with subscribers in mode local up to 594 MiB; 4,096 MiB are available",
        "  what is assumed, `check --probe` asks the cameras for",
    ]
    assert memory_lines(some, 4096 * MIB, was_probed=True)[-1] == "  what is assumed, the cameras did not say"
    assert "does not fit" in memory_lines(some, 400 * MIB)[-1]


def test_what_certainly_does_not_fit_is_refused_with_the_numbers() -> None:
    some = demands(config(a="url: 'synthetic:?fps=60&size=8192x4320'", b="url: 'rtsp://h/b'"), {})
    with pytest.raises(MemoryShortage, match=r"need 5,\d\d\d MiB at least \(a 5,\d\d\d MiB\), 4,096 MiB are available"):
        refuse_what_cannot_fit(some, 4096 * MIB)
    refuse_what_cannot_fit(some, 16384 * MIB)


def test_what_is_only_assumed_is_not_refused() -> None:
    refuse_what_cannot_fit(demands(config(a="url: 'rtsp://h/b'"), {}), 100 * MIB)
    slow = demands(config(a="url: 'rtsp://h/b', size: [7680, 4320]"), {})
    refuse_what_cannot_fit(slow, 1024 * MIB)
    with pytest.raises(MemoryShortage):
        refuse_what_cannot_fit(slow, 300 * MIB)
