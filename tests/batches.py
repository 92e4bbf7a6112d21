"""Batches to test with, and the ones whose bytes are published in docs/vectors."""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from syncsvc import wire
from syncsvc.layout import Codec, Layout
from syncsvc.model import ClockClass, Counts, Frame, FrameBatch, FrameSet, LateFrame, MissingReason
from syncsvc.wire.result import ResultIdentity, ResultOrigin, encode_result, result_topic

T0 = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
MS = 1_000_000
CONTROL = "tcp://127.0.0.1:5556"
TINY = Layout("gray8", 4, 2)


def pattern(size_bytes: int, start: int = 0) -> bytes:
    return bytes((start + 37 * i) % 256 for i in range(size_bytes))


def frame(
    stream: str,
    seq: int,
    time_ns: int = T0,
    layout: Layout = TINY,
    clock: ClockClass = "pts",
    keyframe: bool = False,
    payload: Any = None,
) -> Frame:
    return Frame(
        stream=stream,
        seq=seq,
        time_ns=time_ns,
        uncertainty_ns=1 * MS,
        clock=clock,
        arrival_ns=time_ns + 60 * MS,
        keyframe=keyframe,
        layout=layout,
        payload=pattern(layout.size_bytes, seq) if payload is None else payload,
    )


def together(*frames: Frame, group: Sequence[str]) -> FrameSet:
    times = [one.time_ns for one in frames]
    members = {one.stream: one for one in frames}
    return FrameSet(max(times) - min(times), members, tuple(name for name in group if name not in members))


def batch(
    seq: int = 0,
    *,
    group: str = "lobby",
    epoch: int = 1_767_225_590_000,
    run_id: str = "run-1",
    frames: Mapping[str, Sequence[Frame]] | None = None,
    sets: Sequence[FrameSet] = (),
    missing: Mapping[str, MissingReason] | None = None,
    counts: Mapping[str, Counts] | None = None,
) -> FrameBatch:
    """One window of a group; by default one tiny frame of one stream, ``north``."""
    start_ns = T0 + seq * 1000 * MS
    frames = {"north": [frame("north", seq, start_ns + 5 * MS)]} if frames is None else frames
    return FrameBatch(
        group=group,
        seq=seq,
        epoch=epoch,
        window_start_ns=start_ns,
        window_end_ns=start_ns + 1000 * MS,
        emitted_ns=start_ns + 1100 * MS,
        missing=missing or {},
        frames=frames,
        sets=sets,
        counts=counts or {name: Counts(len(found), len(found)) for name, found in frames.items()},
        run_id=run_id,
    )


def windows(first: int, last: int) -> tuple[int, int]:
    """Starts of the windows of two batches, as a gap names them."""
    return T0 + first * 1000 * MS, T0 + last * 1000 * MS


def payloads_of(one: FrameBatch) -> list[Any]:
    return [each.payload for found in one.frames.values() for each in found]


def message_of(
    one: FrameBatch,
    layouts: Mapping[str, Layout] | None = None,
    clocks: Mapping[str, str] | None = None,
    since_ns: int | None = None,
) -> list[Any]:
    """The parts that a publisher sends."""
    header = wire.encode_batch(one, layouts or {}, clocks or {}, emitted_ns=one.emitted_ns, since_ns=since_ns)
    return [wire.batch_topic(one.group), header, *payloads_of(one)]


def head_of(parts: Sequence[Any]) -> list[Any]:
    """What of a batch's message is sent to those who want no payloads."""
    return [bytes(parts[0]).replace(wire.BATCH_PREFIX, wire.HEAD_PREFIX), parts[1]]


def late_message(one: Frame, *, group: str = "lobby", seq: int = 8) -> list[Any]:
    late = LateFrame(group, seq, 1_767_225_590_000, *windows(6, 7), one)
    header = wire.encode_late(late, run_id="run-1", emitted_ns=T0 + 7900 * MS)
    return [wire.late_topic(group), header, one.payload]


def two_cameras() -> list[Any]:
    """Odd-sized i420 beside bgr24; the second set's partner lies across the window's edge."""
    i420 = Layout("i420", 5, 3, "limited", "bt601")
    bgr = Layout("bgr24", 2, 2, "full", "bt709")
    north = [
        frame("north", 41, T0 + 10 * MS, i420, "rtcp", keyframe=True),
        frame("north", 42, T0 + 990 * MS, i420, "rtcp"),
    ]
    south = [frame("south", 7, T0 + 12 * MS, bgr, "arrival"), frame("south", 8, T0 + 1003 * MS, bgr, "arrival")]
    names = ("north", "south")
    sets = [together(north[0], south[0], group=names), together(north[1], south[1], group=names)]
    counts = {"north": Counts(3, 2, 0, {"ring_full": 1}), "south": Counts(2, 2)}
    return message_of(batch(0, frames={"north": north, "south": south}, sets=sets, counts=counts))


def somebody_missing() -> list[Any]:
    """One stream stalled, one never seen, one alone; what became known since the last batch is in the counts."""
    porch = [frame("porch", 2**40, T0 + 3500 * MS, Layout("gray8", 4, 2, "full", "bt601"), "model")]
    one = batch(
        3,
        group="yard_2",
        frames={"gate": [], "porch": porch, "attic": []},
        missing={"gate": "stalled", "attic": "absent"},
        counts={
            "gate": Counts(5, 0, 2, {"capture_died": 2, "decode_error": 1}, skipped=4),
            "porch": Counts(1, 1),
            "attic": Counts(),
        },
    )
    return message_of(one, {"gate": Layout("i420", 1920, 1080, "limited", "bt709")}, {"gate": "kernel"})


def size_changes() -> list[Any]:
    """A camera changes its size, its colours and its clock inside the window; one set lacks a stream."""
    before, after = Layout("i420", 4, 2, "full", "bt601"), Layout("i420", 2, 2, "limited", "bt709")
    at = T0 + 7000 * MS
    north = [frame("north", 1, at, before, "arrival"), frame("north", 2, at + 40 * MS, after, "rtcp", keyframe=True)]
    south = [frame("south", 5, at + 1 * MS, before), frame("south", 6, at + 40 * MS, before)]
    east = [frame("east", 9, at + 38 * MS, Layout("gray8", 1, 1, "full"))]
    names = ("north", "south", "east")
    sets = [together(north[0], south[0], group=names), together(north[1], south[1], east[0], group=names)]
    return message_of(batch(7, frames={"north": north, "south": south, "east": east}, sets=sets))


def late_frame() -> list[Any]:
    """One frame that came after its window had closed."""
    return late_message(frame("north", 40, T0 + 6990 * MS, Layout("bgr24", 3, 1, "full"), "rtcp"))


def after_a_restart() -> list[Any]:
    """The first batch of an epoch, which leaves late; nobody emitted the two windows before it."""
    at = T0 + 12_000 * MS
    one = batch(12, epoch=1_767_225_611_000, frames={"north": [frame("north", 90, at + 3 * MS)]})
    one = replace(one, seq=0, emitted_ns=one.emitted_ns + 1593 * MS, late_ns=1093 * MS)
    return message_of(one, since_ns=at - 2000 * MS)


def coded_beside() -> list[Any]:
    """The pictures of a camera as it coded them, and one of another camera that hands none on."""
    h264 = Layout("encoded", 16, 16, "limited", "bt709", Codec("h264", PARAMETER_SETS))
    at = T0 + 8000 * MS
    north = [
        frame("north", 3, at + 10 * MS, h264, "rtcp", keyframe=True, payload=PARAMETER_SETS + KEY_PICTURE),
        frame("north", 4, at + 50 * MS, h264, "rtcp", payload=NEXT_PICTURE),
    ]
    south = [frame("south", 7, at + 12 * MS, Layout("i420", 640, 360), payload=b"")]
    sets = [together(north[0], south[0], group=("north", "south"))]
    _, header, *payloads = message_of(batch(8, frames={"north": north, "south": south}, sets=sets))
    return [wire.coded_topic("lobby"), header, *payloads]


def head_of_two_cameras() -> list[Any]:
    """The header of ``two_cameras``, for who wants no pixels."""
    return head_of(two_cameras())


def status_ended() -> list[Any]:
    """The last word of a service that played recordings."""
    return [
        b"status",
        wire.encode_status("run-1", 1_767_225_590_000, "ended", emitted_ns=T0 + 9000 * MS, control=CONTROL),
    ]


# 16x16, Baseline, BT.709, as x264 codes it.
PARAMETER_SETS = bytes.fromhex("000000016742c00ada7a6a04040280000003008000001947891350" + "0000000168ce0472")
KEY_PICTURE = bytes.fromhex("000000016588843a1183800083385e3800138e0005b0")
NEXT_PICTURE = bytes.fromhex(
    "00000001419a2022bc134500010048a0002009140004012280008024500010048a0002009140004012280008027d80"
)
GREY_JPEG = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQ"
    "YEpRUk//wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJ"
    "ipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AODr/9k="
)


def coded_streams() -> list[Any]:
    """H.264 as its camera sent it, a key frame and one that refers to it, beside a JPEG."""
    h264 = Layout("encoded", 16, 16, "limited", "bt709", Codec("h264", PARAMETER_SETS))
    jpeg = Layout("jpeg", 8, 8, "full", "bt601")
    at = T0 + 8000 * MS
    north = [
        frame("north", 3, at + 10 * MS, h264, "rtcp", keyframe=True, payload=PARAMETER_SETS + KEY_PICTURE),
        frame("north", 4, at + 50 * MS, h264, "rtcp", payload=NEXT_PICTURE),
    ]
    south = [frame("south", 7, at + 12 * MS, jpeg, keyframe=True, payload=GREY_JPEG)]
    sets = [together(north[0], south[0], group=("north", "south"))]
    return message_of(batch(8, frames={"north": north, "south": south}, sets=sets))


def redelivered() -> list[Any]:
    """A batch that a named subscription was sent before."""
    topic, header, *payloads = message_of(batch(7, frames={"north": [frame("north", 3, T0 + 7005 * MS)]}))
    return [topic, wire.as_redelivered(header), *payloads]


def lossless_resumed() -> list[Any]:
    """A subscription to two groups goes on, in one of them behind batch 6."""
    after = wire.Mark("run-1", 1_767_225_590_000, 6, windows(6, 7))
    lobby = wire.Continuation(after, (1_767_225_590_000, 9))
    return [wire.RESUMED_TOPIC, wire.encode_word(wire.Resumed(1, 2, {"lobby": lobby, "yard_2": wire.Continuation()}))]


def lossless_gap() -> list[Any]:
    """The history has passed the batches up to 8."""
    last = wire.Mark("run-1", 1_767_225_590_000, 8, windows(8, 9))
    return [wire.gap_topic("lobby"), wire.encode_word(wire.Missing(1, "lobby", "lost", last))]


VECTORS: dict[str, Callable[[], list[Any]]] = {
    "two-cameras": two_cameras,
    "somebody-missing": somebody_missing,
    "size-changes": size_changes,
    "coded-streams": coded_streams,
    "late-frame": late_frame,
    "after-a-restart": after_a_restart,
    "coded-beside": coded_beside,
    "head-of-two-cameras": head_of_two_cameras,
    "redelivered": redelivered,
    "lossless-resumed": lossless_resumed,
    "lossless-gap": lossless_gap,
    "status-ended": status_ended,
}


RESULT_IDENTITY = ResultIdentity(
    group="lobby",
    run_id="run-1",
    epoch=1_767_225_590_000,
    seq=7,
    window=(T0 + 7000 * MS, T0 + 8000 * MS),
    per="set",
    set=1,
    frames=[("north", 41, T0 + 7050 * MS), ("south", 9, T0 + 7053 * MS)],
)
RESULT_ORIGIN = ResultOrigin(target="motion", pool_id="pool-1", number=41, spent_ns=3 * MS, emitted_ns=T0 + 8200 * MS)


def result_message(value: Any, error: str | None = None) -> list[Any]:
    """A message of ``result/lobby``."""
    header, payloads = encode_result(RESULT_IDENTITY, RESULT_ORIGIN, value, error)
    return [result_topic("lobby"), header, *payloads]


def result_of_a_set() -> list[Any]:
    """What a detector may have found in a set: plain data, and arrays in it."""
    mask = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    scores = np.array([0.5, -2.25], "<f4")
    return result_message({"mask": mask, "boxes": [{"label": "car", "at": [1, -2]}], "scores": scores, "sure": True})


def vector_bytes(parts: Sequence[Any]) -> bytes:
    """What a vector's file holds: each part behind its length, four bytes, big-endian."""
    return b"".join(len(bytes(part)).to_bytes(4, "big") + bytes(part) for part in parts)
