"""Whatever is sent comes back, and whatever comes in, WireError is the worst that happens."""

import contextlib
import tracemalloc
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncsvc import wire
from syncsvc.errors import WireError
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame, FrameBatch
from tests.batches import VECTORS, batch, frame, message_of, together

NAMES = st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=4, unique=True)
SHAPES = (
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["limited", "full"]),
    st.sampled_from(["bt601", "bt709", "bt2020"]),
)
CODECS = st.builds(Codec, st.sampled_from(["h264", "hevc"]), st.binary(max_size=9))
LAYOUTS = st.builds(Layout, st.sampled_from(["i420", "bgr24", "gray8"]), *SHAPES)
COMPRESSED = st.builds(Layout, st.just("jpeg"), *SHAPES) | st.builds(Layout, st.just("encoded"), *SHAPES, CODECS)
CLOCKS = st.sampled_from(["rtcp", "kernel", "pts", "model", "arrival"])
NUMBERS = st.integers(0, 2**40)
COUNTS = st.builds(Counts, NUMBERS, NUMBERS, NUMBERS, st.dictionaries(st.sampled_from(["ring_full", "x"]), NUMBERS))
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure


def any_frame(draw: st.DrawFn, name: str, seq: int, time_ns: int) -> Frame:
    """Of pixels, or of bytes that only a decoder understands."""
    layout = draw(LAYOUTS | COMPRESSED)
    payload = draw(st.binary(max_size=9)) if layout.format in ("jpeg", "encoded") else None
    return frame(name, seq, time_ns, layout, draw(CLOCKS), draw(st.booleans()), payload)


@st.composite
def batches(draw: st.DrawFn) -> FrameBatch:
    """Any batch that the protocol allows, changes of layout and clock inside the window included."""
    names = draw(NAMES)
    frames: dict[str, list[Frame]] = {}
    for name in names:
        seqs = sorted(draw(st.sets(st.integers(0, 2**62), max_size=4)))
        times = sorted(draw(st.lists(st.integers(-(2**62), 2**62 - 1), min_size=len(seqs), max_size=len(seqs))))
        frames[name] = [any_frame(draw, name, seq, time_ns) for seq, time_ns in zip(seqs, times, strict=True)]
    rows = [[name for name in names if n < len(frames[name]) and draw(st.booleans())] for n in range(4)]
    sets = [together(*(frames[name][n] for name in row), group=names) for n, row in enumerate(rows) if len(row) > 1]
    reasons = st.sampled_from(["deadline", "stalled", "absent", "ended", "starting", "draining"])
    missing = draw(st.dictionaries(st.sampled_from(names), reasons))
    counts = {name: draw(COUNTS) for name in names}
    return batch(draw(NUMBERS) % 10**6, frames=frames, sets=sets, missing=missing, counts=counts)


def _of(one: Frame) -> tuple[Any, ...]:
    stamps = (one.time_ns, one.uncertainty_ns, one.clock, one.arrival_ns)
    return (one.stream, one.seq, *stamps, one.keyframe, one.layout, bytes(one.payload))


@UNHURRIED
@given(batches())
def test_every_batch_comes_back(sent: FrameBatch) -> None:
    got = wire.decode_batch(message_of(sent))
    for key in ("group", "run_id", "epoch", "seq", "window_start_ns", "window_end_ns", "missing", "complete", "counts"):
        assert getattr(got, key) == getattr(sent, key)
    assert list(got.frames) == list(sent.frames)
    for name, frames in sent.frames.items():
        assert [_of(one) for one in got.frames[name]] == [_of(one) for one in frames]
    assert [(one.spread_ns, one.missing) for one in got.sets] == [(one.spread_ns, one.missing) for one in sent.sets]
    for mine, yours in zip(got.sets, sent.sets, strict=True):
        assert {name: _of(one) for name, one in mine.frames.items()} == {
            name: _of(one) for name, one in yours.frames.items()
        }


def _try_all(parts: list[Any]) -> None:
    for decode in (wire.decode_batch, wire.decode_head, wire.decode_late):
        _raises_only_wire_error(decode, parts)
    for part in parts:
        for decode_part in (wire.decode_header, wire.decode_status, wire.decode_control):
            _raises_only_wire_error(decode_part, part)


def _raises_only_wire_error(decode: Any, message: Any) -> None:
    with contextlib.suppress(WireError):
        decode(message)


@UNHURRIED
@given(st.sampled_from(sorted(VECTORS)), st.data())
def test_damaged_bytes_raise_wire_errors_only(name: str, data: st.DataObject) -> None:
    parts = VECTORS[name]()
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(parts) - 1))
        part = bytearray(parts[number])
        at = data.draw(st.integers(0, len(part)))
        part[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
        parts[number] = bytes(part)
    _try_all(parts)


@UNHURRIED
@given(st.sampled_from(["two-cameras", "somebody-missing", "size-changes"]), st.data())
def test_a_header_with_anything_in_any_place_raises_wire_errors_only(name: str, data: st.DataObject) -> None:
    parts = VECTORS[name]()
    header = place = msgspec.msgpack.decode(parts[1])
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JUNK)
            break
        place = place[key]
    parts[1] = msgspec.msgpack.encode(header)
    _try_all(parts)


@UNHURRIED
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_noise_raises_wire_errors_only(parts: list[Any]) -> None:
    _try_all(parts)
    _try_all([b"batch/lobby", *parts])


@UNHURRIED
@given(
    st.sampled_from([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"]), st.integers(2**20, 2**32 - 1), st.integers(0, 40)
)
def test_no_number_in_a_message_decides_how_much_memory_is_taken(kind: bytes, claimed: int, at: int) -> None:
    header = bytes(VECTORS["two-cameras"]()[1])
    lie = header[:at] + kind + claimed.to_bytes(4, "big") + header[at:]
    tracemalloc.start()
    try:
        _try_all([b"batch/lobby", lie])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200_000
