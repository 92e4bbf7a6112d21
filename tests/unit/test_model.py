"""The values that travel: frozen, and pixels without a copy."""

import dataclasses
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from syncsvc.layout import Layout
from syncsvc.model import Counts, Frame, FrameBatch, FrameSet, Gap, Observation
from syncsvc.testing import T0, S, frame, observation

PIXELS = bytes(range(24))


def pictured() -> Frame:
    return frame("a", 3, T0, layout=Layout("bgr24", 4, 2), payload=PIXELS)


def batch(missing: dict[str, Any]) -> FrameBatch:
    return FrameBatch("g", 0, 1, T0, T0 + S, 0, missing, {}, [], {})


@pytest.mark.parametrize("value", [observation(0, 0), pictured(), Counts(), Gap(1, 2, "lost"), batch({})])
def test_values_are_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_pixels_are_the_payload_read_only_and_not_copied() -> None:
    payload = bytearray(PIXELS)
    one = frame("a", 0, T0, layout=Layout("bgr24", 4, 2), payload=payload)
    assert one.pixels.tolist() == list(PIXELS)
    assert not one.pixels.flags.writeable
    payload[0] = 99
    assert one.pixels[0] == 99
    assert (one.format, one.width, one.height) == ("bgr24", 4, 2)


def test_a_frame_becomes_an_array() -> None:
    one = pictured()
    assert np.asarray(one).tolist() == list(PIXELS)
    assert np.asarray(one, np.float32).dtype == np.float32
    copy = np.array(one, copy=True)
    copy[0] = 1
    assert one.pixels[0] == 0
    assert memoryview(one.__buffer__(0)).nbytes == 24
    assert one.__dlpack_device__() == (1, 0)


def test_the_picture_is_a_copy_in_rows_and_columns() -> None:
    picture = pictured().to_bgr()
    assert picture.shape == (2, 4, 3)
    assert picture.reshape(-1).tolist() == list(PIXELS)
    assert picture.flags.writeable


def test_pixels_are_not_printed() -> None:
    assert repr(pictured()) == "Frame(a #3, 2026-01-01T00:00:00.000000Z ± 1.000 ms by pts, bgr24 4x2, key frame)"
    assert not {"payload", "decoder"} & dict(pictured().__rich_repr__()).keys()


def test_a_frame_is_a_dataclass_to_who_looks_at_it() -> None:
    one = pictured()
    values = {field.name: getattr(one, field.name) for field in fields(one)}
    assert list(values) == [
        "stream", "seq", "time_ns", "uncertainty_ns", "clock", "arrival_ns", "keyframe", "layout", "payload", "decoder",
    ]  # fmt: skip
    assert fields(one)[0].type is str
    later = replace(one, time_ns=T0 + 5)
    assert [getattr(later, name) for name in values] == list((values | {"time_ns": T0 + 5}).values())
    assert (Frame(**values).payload, Frame(*values.values()).decoder) == (PIXELS, None)
    match one:
        case Frame(stream, seq):
            assert (stream, seq) == ("a", 3)
    assert len({one, later, one}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.unheard_of = 1  # type: ignore[attr-defined]


def test_complete_says_that_nobody_is_missing() -> None:
    assert batch({}).complete
    assert not batch({"a": "stalled"}).complete


def test_frames_and_sets_are_compared_by_identity() -> None:
    assert pictured() != pictured()
    assert FrameSet(0, {}, ()) != FrameSet(0, {}, ())
    assert Counts(1, 1) == Counts(1, 1)


def test_an_observation_takes_its_number_and_keeps_everything_else() -> None:
    seen = Observation(-1, 2, 3, 4, "media", True, (5, 6), 7, 8, 9, 10)
    assert seen.numbered(11) == replace(seen, seq=11)
    assert all(getattr(seen, field.name) != field.default for field in fields(Observation)), "a field is not tried"
