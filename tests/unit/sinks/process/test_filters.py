"""The filters that are built in are Pillow's, and motion is the share of pixels that changed."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameSet
from syncsvc.sinks.process import filters

PILLOWS = {
    "blur": ImageFilter.BLUR, "contour": ImageFilter.CONTOUR, "detail": ImageFilter.DETAIL,
    "edges": ImageFilter.FIND_EDGES, "emboss": ImageFilter.EMBOSS, "sharpen": ImageFilter.SHARPEN,
    "smooth": ImageFilter.SMOOTH, "smooth_more": ImageFilter.SMOOTH_MORE,
}  # fmt: skip
NOISE = np.random.default_rng(2)
PICTURES = {
    "noise": NOISE.integers(0, 256, (61, 47, 3), np.uint8),
    "grey": NOISE.integers(0, 256, (40, 33), np.uint8),
    "ramps": np.add.outer(np.arange(50) * 3, np.arange(70) * 2).astype(np.uint8),
    "black": np.zeros((9, 9, 3), np.uint8),
}


@pytest.mark.parametrize("name", PILLOWS)
def test_a_filter_is_the_one_of_that_name_in_pillow_to_within_one(name: str) -> None:
    for picture in PICTURES.values():
        found = getattr(filters, name)(picture).astype(int)
        expected = np.asarray(Image.fromarray(picture).filter(PILLOWS[name])).astype(int)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1


def test_every_filter_takes_a_frame_too() -> None:
    assert set(filters.BUILT_IN) == {*PILLOWS, "motion"}
    picture = PICTURES["noise"]
    frame = Frame("a", 0, 0, 0, "pts", 0, True, Layout("bgr24", 47, 61, "full"), picture.tobytes())
    assert (filters.sharpen(frame) == filters.sharpen(picture)).all()


def test_motion_is_the_share_of_pixels_that_changed() -> None:
    before = np.full((10, 20), 100, np.uint8)
    after = before.copy()
    after[:5, :4] += 30
    after[5:, :4] += 20
    assert filters.motion(after, before) == {"changed": 0.1}
    assert filters.motion(after, before, threshold=10) == {"changed": 0.2}
    assert filters.motion(after) == {"changed": None}
    assert filters.motion(after, before[1:]) == {"changed": None}
    i420 = [np.concatenate([luma.ravel(), np.full(100, 128, np.uint8)]).tobytes() for luma in (after, before)]
    frames = [Frame("a", 0, 0, 0, "pts", 0, True, Layout("i420", 20, 10), payload) for payload in i420]
    assert filters.motion(*frames) == {"changed": 0.1}
    assert filters.motion(np.dstack([after] * 3), np.dstack([before] * 3)) == {"changed": 0.1}


def test_a_set_gives_a_map_of_streams_and_each_frame_is_compared_with_its_own_streams() -> None:
    layout = Layout("gray8", 20, 10, "full")

    def grey(stream: str, value: int) -> Frame:
        return Frame(stream, 0, 0, 0, "pts", 0, True, layout, bytes([value]) * layout.size_bytes)

    before = FrameSet(0, {"a": grey("a", 10), "b": grey("b", 10)}, ("c",))
    now = FrameSet(0, {name: grey(name, value) for name, value in (("a", 10), ("b", 90), ("c", 90))}, ())
    assert {name: found["changed"] for name, found in filters.motion(now, previous=before).items()} == {
        "a": 0.0, "b": 1.0, "c": None,
    }  # fmt: skip
    assert {name: made.shape for name, made in filters.smooth(before).items()} == {"a": (10, 20, 3), "b": (10, 20, 3)}
