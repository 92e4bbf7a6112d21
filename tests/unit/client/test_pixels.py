"""One array per batch, and frames as arrays for those who want no copy."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import stack, wire
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from tests.batches import MS, T0, VECTORS, batch, frame, message_of, together

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
    assert colours(three_sets(), missing="fill") == [[10, 20, 0], [11, 0, 31], [12, 22, 0]]


def test_the_older_word_for_it_is_understood() -> None:
    assert colours(three_sets(), missing="zeros") == colours(three_sets(), missing="fill")


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
    with pytest.raises(ValueError, match="allowed are 'skip' and 'fill'"):
        colours(three_sets(), missing="guess")


def test_pictures_of_any_size_are_scaled_to_the_one_asked_for() -> None:
    one = three_sets(south=Layout("bgr24", 2, 6))
    array = stack(one, ["north", "south"], size=(8, 3))
    assert array.shape == (2, 2, 3, 8, 3)
    assert array.dtype == np.uint8
    assert [[int(picture.min()), int(picture.max())] for picture in array.reshape(4, -1)] == [
        [10, 10], [20, 20], [12, 12], [22, 22],
    ]  # fmt: skip
    assert np.array_equal(stack(one, ["north"], size=(4, 2)), stack(one, ["north"])), "nothing to scale"
    assert stack(one, ["south", "east"], size=(8, 3)).shape == (0, 2, 3, 8, 3)
    assert stack(one, missing="fill", size=(8, 3)).shape == (3, 3, 3, 8, 3)


def test_scaling_keeps_what_a_picture_shows_where_it_was() -> None:
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8), 8 * 3).reshape(16, 8, 3)
    one = wire.decode_batch(message_of(batch(frames={"a": [made := frame("a", 0, layout=Layout("bgr24", 8, 16),
        payload=ramp.tobytes())], "b": [other := frame("b", 0, layout=Layout("bgr24", 8, 16), payload=ramp.tobytes())]},
        sets=[together(made, other, group=("a", "b"))])))  # fmt: skip
    assert stack(one, size=(4, 8))[0, 1, :, 0, 0].tolist() == [5, 25, 45, 65, 85, 105, 125, 145], "means of what it was"
    larger = stack(one, size=(16, 32))[0, 0, :, 0, 0].astype(int)
    assert sorted(larger) == list(larger)
    assert (larger[0], larger[-1]) == (0, 150)


@pytest.mark.parametrize("size", [(0, 3), (8, -1), (8,), (8, 3, 3), 8, "ab", (8.5, 3), (70_000, 3)])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size .*: allowed are a width and a height of 1 to 65535 pixels"):
        stack(three_sets(), size=size)


@given(
    st.lists(st.sets(st.sampled_from("abcd"), min_size=2), max_size=4),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
    st.sampled_from(["skip", "fill"]), st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
)  # fmt: skip
def test_every_cell_of_a_stack_is_its_frame_or_black(
    there: list[set[str]], names: list[str], missing: Any, size: tuple[int, int] | None
) -> None:
    frames = {name: [of_colour(name, n, 20 * n + ord(name)) for n in range(len(there))] for name in "abcd"}
    sets = [together(*(frames[name][n] for name in sorted(row)), group="abcd") for n, row in enumerate(there)]
    array = stack(batch(frames=frames, sets=sets), names, missing, size=size)
    rows = [(n, row) for n, row in enumerate(there) if missing == "fill" or row.issuperset(names)]
    width, height = size or ((4, 2) if any(row.intersection(names) for _, row in rows) else (0, 0))
    assert array.shape == (len(rows), len(names), height, width, 3)
    for cells, (n, row) in zip(array, rows, strict=True):
        for picture, name in zip(cells, names, strict=True):
            assert np.all(picture == (20 * n + ord(name) if name in row else 0))


RAW = st.builds(Layout, st.sampled_from(["i420", "bgr24", "gray8"]), st.integers(1, 9), st.integers(1, 9))


def shaped(layout: Layout) -> tuple[int, ...]:
    """What the documents say of ``from_dlpack``."""
    width, height = layout.width, layout.height
    if layout.format == "bgr24":
        return height, width, 3
    if layout.format == "gray8":
        return height, width
    return (layout.size_bytes,) if width % 2 or height % 2 else (height * 3 // 2, width)


@given(RAW)
def test_every_raw_frame_is_a_dlpack_array_in_its_shape(layout: Layout) -> None:
    one = frame("north", 3, layout=layout)
    array = np.from_dlpack(one)
    assert array.shape == one.shape == shaped(layout)
    assert array.tobytes() == one.payload


@given(RAW)
def test_planes_are_the_payload_in_order(layout: Layout) -> None:
    one = frame("north", 3, layout=layout)
    planes = one.planes()
    assert b"".join(plane.tobytes() for plane in planes) == one.payload
    assert not any(plane.flags.writeable for plane in planes)
    assert all(np.shares_memory(plane, one.pixels) for plane in planes)
    size, half = (layout.height, layout.width), ((layout.height + 1) // 2, (layout.width + 1) // 2)
    shapes = {"i420": [size, half, half], "bgr24": [(*size, 3)], "gray8": [size]}
    assert [plane.shape for plane in planes] == shapes[layout.format]
    assert all(np.array_equal(np.from_dlpack(plane), plane) for plane in planes)


@given(RAW)
def test_rgb_is_bgr_the_other_way_round(layout: Layout) -> None:
    one = frame("north", 3, layout=layout)
    rgb = one.to_rgb()
    assert np.array_equal(rgb, one.to_bgr()[:, :, ::-1])
    assert rgb.flags.writeable
    assert rgb.flags.c_contiguous
    rgb[:] = 0
    assert one.payload == frame("north", 3, layout=layout).payload


def test_coded_payloads_are_bytes_without_planes() -> None:
    frames = wire.decode_batch(VECTORS["coded-streams"]()).frames
    for one in (frames["north"][0], frames["south"][0]):
        assert one.shape == (one.pixels.size,) == np.from_dlpack(one).shape
        with pytest.raises(ValueError, match=f"a {one.format} payload has no planes before it is decoded"):
            one.planes()
    assert frames["south"][0].to_rgb().shape == (8, 8, 3)


def test_a_payload_that_does_not_fit_its_layout_has_no_planes() -> None:
    with pytest.raises(ValueError, match="a bgr24 payload of 4x2 has 24 bytes, not 3"):
        frame("north", 0, layout=SIZE, payload=bytes(3)).planes()


def shared() -> tuple[bytearray, Frame]:
    """A received frame, and the memory that it lies in."""
    parts = message_of(batch(frames={"north": [frame("north", 0, layout=SIZE)]}))
    memory = bytearray(parts[2])
    return memory, wire.decode_batch([*parts[:2], memory]).frames["north"][0]


def test_a_received_frame_is_a_dlpack_and_a_numpy_array_without_a_copy() -> None:
    memory, got = shared()
    views = [np.from_dlpack(got), np.asarray(got), got.pixels]
    memory[3] = 77
    assert [int(view.reshape(-1)[3]) for view in views] == [77, 77, 77]
    assert [view.shape for view in views] == [(2, 4, 3), (24,), (24,)]
    assert all(view.dtype == np.uint8 for view in views)
    assert int(np.array(got, copy=True)[3]) == 77
    assert not any(view.flags.writeable for view in views)


class Consumer:
    """Hands on a capsule that is asked for with these words, whatever NumPy would ask."""

    def __init__(self, one: Frame, **options: Any) -> None:
        self.capsule = one.__dlpack__(**options)

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


@pytest.mark.parametrize(
    "options", [{}, {"stream": None}, {"max_version": None}, {"max_version": (0, 8)}, {"copy": True}]
)
def test_who_cannot_be_told_that_memory_is_read_only_gets_a_copy(options: dict[str, Any]) -> None:
    memory, got = shared()
    array = np.from_dlpack(Consumer(got, **options))
    before = bytes(memory)
    memory[:] = bytes(24)
    assert array.shape == (2, 4, 3)
    assert array.tobytes() == before


def test_who_can_be_told_gets_the_memory_itself_or_a_copy_as_it_asks() -> None:
    memory, got = shared()
    itself, copied = (np.from_dlpack(Consumer(got, max_version=(1, 0), copy=copy)) for copy in (False, True))
    memory[3] ^= 255
    assert not itself.flags.writeable
    assert [int(array.reshape(-1)[3]) == memory[3] for array in (itself, copied)] == [True, False]


def test_what_cannot_be_had_is_a_buffer_error() -> None:
    _, got = shared()
    with pytest.raises(BufferError, match="only a copy can be had"):
        got.__dlpack__(copy=False)
    for version in (None, (1, 0)):
        with pytest.raises(BufferError, match="moved to no device"):
            got.__dlpack__(dl_device=(2, 0), max_version=version)


def test_an_older_numpy_cannot_say_read_only_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, got = shared()
    monkeypatch.setattr("syncsvc.pictures._NUMPY_SAYS_READ_ONLY", False)
    array = np.from_dlpack(Consumer(got, max_version=(1, 0)))
    memory[:] = bytes(24)
    assert array.any()


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
    tensor = torch.from_dlpack(got)
    assert tuple(tensor.shape) == got.shape == (2, 4)
    assert tensor.flatten().tolist() == list(got.payload)


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
