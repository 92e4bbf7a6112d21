"""One array per batch, and frames as arrays for those who want no copy."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from syncsvc import stack, wire
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from tests.batches import MS, T0, batch, frame, message_of, together

SIZE = Layout("bgr24", 4, 2)


def of_colour(stream: str, seq: int, colour: int, layout: Layout = SIZE) -> Frame:
    return frame(stream, seq, T0 + seq * 40 * MS, layout, payload=bytes([colour]) * layout.size_bytes)


def three_sets(*, south: Layout = SIZE) -> FrameBatch:
    """Sets 0 and 2 are whole, set 1 lacks the south; received like any batch."""
    names = ("north", "south")
    north = [of_colour("north", n, 10 + n) for n in range(3)]
    there = {n: of_colour("south", n, 20 + n, south) for n in (0, 2)}
    east = {n: of_colour("east", n, 30 + n) for n in (1,)}
    sets = [together(north[n], *(s[n] for s in (there, east) if n in s), group=(*names, "east")) for n in range(3)]
    frames = {"north": north, "south": list(there.values()), "east": list(east.values())}
    return wire.decode_batch(message_of(batch(frames=frames, sets=sets)))


def colours(one: FrameBatch, streams: Sequence[str] | None = None, **options: str) -> list[list[int]]:
    array = stack(one, streams, **options)  # type: ignore[arg-type]  # tests hand wrong words in, too
    assert array.dtype == np.uint8
    assert (array == array[:, :, :1, :1, :1]).all()
    return [[int(value) for value in row] for row in array[:, :, 0, 0, 0]]


def test_only_whole_sets_by_default() -> None:
    assert stack(three_sets(), ["north", "south"]).shape == (2, 2, 2, 4, 3)
    assert colours(three_sets(), ["north", "south"]) == [[10, 20], [12, 22]]


def test_streams_come_in_the_order_asked_for() -> None:
    assert colours(three_sets(), ["south", "north"]) == [[20, 10], [22, 12]]
    assert colours(three_sets(), ["north"]) == [[10], [11], [12]]


def test_missing_frames_are_black_where_asked_for() -> None:
    assert colours(three_sets(), missing="zeros") == [[10, 20, 0], [11, 0, 31], [12, 22, 0]]


def test_no_whole_set_gives_an_empty_array() -> None:
    assert stack(three_sets()).shape == (0, 3, 0, 0, 3)
    assert stack(wire.decode_batch(message_of(batch()))).shape == (0, 1, 0, 0, 3)


def test_the_array_is_writable_and_its_own() -> None:
    one = three_sets()
    stack(one, ["north"])[:] = 0
    assert one.frames["north"][0].pixels[0] == 10


def test_sizes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match="north 4x2, south 2x2"):
        stack(three_sets(south=Layout("bgr24", 2, 2)), ["north", "south"])
    assert colours(three_sets(south=Layout("bgr24", 2, 2)), ["south"]) == [[20], [22]]


def test_words_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="'west' is not in group 'lobby': north, south, east"):
        stack(three_sets(), ["west"])
    with pytest.raises(ValueError, match="allowed are 'skip' and 'zeros'"):
        colours(three_sets(), missing="guess")


def test_a_received_frame_is_a_dlpack_and_a_numpy_array_without_a_copy() -> None:
    parts = message_of(batch())
    memory = bytearray(parts[2])
    parts[2] = memory
    got = wire.decode_batch(parts).frames["north"][0]
    views = [np.from_dlpack(got), np.asarray(got), got.pixels]
    memory[3] = 77
    assert [int(view[3]) for view in views] == [77, 77, 77]
    assert all(view.shape == (8,) and view.dtype == np.uint8 for view in views)
    assert int(np.array(got, copy=True)[3]) == 77
    assert not any(view.flags.writeable for view in views)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes offer buffers from Python 3.12 on (PEP 688)")
def test_a_received_frame_is_a_buffer() -> None:
    got = wire.decode_batch(message_of(batch())).frames["north"][0]
    view = memoryview(got)  # type: ignore[arg-type]
    assert view.readonly
    assert bytes(view) == bytes(got.payload)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_takes_a_frame() -> None:
    torch = importlib.import_module("torch")
    got = wire.decode_batch(message_of(batch())).frames["north"][0]
    assert torch.from_dlpack(got).tolist() == list(got.payload)


def test_the_client_is_light_until_pixels_are_converted() -> None:
    code = """
import sys
from syncsvc import AsyncSubscriber, Frame, FrameBatch, Gap, Subscriber, stack
heavy = {"cv2", "pydantic", "yaml", "av", "click", "rich", "prometheus_client"} & set(sys.modules)
assert not heavy, heavy
from syncsvc.layout import Layout
from syncsvc.pictures import to_bgr
to_bgr(bytes(6), Layout("i420", 2, 2))
assert "cv2" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
