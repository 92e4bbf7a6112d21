"""A FrameBatch to and from ZeroMQ parts.

Encoding makes the header only and never touches ``frame.payload``: the publisher sends the payloads itself, in the
order of the header's rows. Decoding trusts nothing: whatever is not a valid message becomes a WireError, and no number
inside a message decides how much memory is taken.
"""

from collections.abc import Mapping, Sequence
from operator import le, lt
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from syncsvc.errors import WireError
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame, FrameBatch, FrameSet, LateFrame, Payload
from syncsvc.wire.header import CodecMap, CountsMap, FrameRow, Header, Look, ReceivedHeader, StreamMap, unpack
from syncsvc.wire.shown import shown_as, shown_of
from syncsvc.wire.topics import BATCH_PREFIX, CODED_PREFIX, HEAD_PREFIX, LATE_PREFIX

KEY_FRAME = 1  # bit 0 of a row's flags

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ReceivedHeader)


def encode_batch(
    batch: FrameBatch,
    layouts: Mapping[str, Layout],
    clocks: Mapping[str, str],
    *,
    emitted_ns: int,
    since_ns: int | None = None,
) -> bytes:
    """The header of a batch; the message is ``[batch_topic(group), header, *payloads]``.

    Payloads go in the order of the header's rows: stream by stream in the group's order, each by capture time, that is
    ``[frame for frames in batch.frames.values() for frame in frames]``.

    Args:
        batch: its ``frames`` has an entry for every stream of the group; every frame of its sets is in there.
        layouts: the last layout of a stream, for streams that have no frame in this batch; may lack unknown ones.
        clocks: the clock class of a stream, likewise.
        emitted_ns: UTC, read just before the first part is sent; ``batch.emitted_ns`` is not used.
        since_ns: of the first batch of an epoch, the end of the last window that was emitted before, if any was.
    """
    rows: list[FrameRow] = []
    streams: dict[str, StreamMap] = {}
    index: dict[str, dict[int, int]] = {}
    for name, frames in batch.frames.items():
        first = len(rows)
        streams[name] = _stream_map(frames, first, batch.counts.get(name), layouts.get(name), clocks.get(name))
        rows += _rows(frames, first)
        index[name] = {frame.seq: row for row, frame in enumerate(frames, first)}
    header = Header(
        v=1,
        group=batch.group,
        run_id=batch.run_id,
        epoch=batch.epoch,
        seq=batch.seq,
        late_ns=batch.late_ns,
        since_ns=UNSET if since_ns is None else since_ns,
        window=(batch.window_start_ns, batch.window_end_ns),
        emitted_ns=emitted_ns,
        complete=batch.complete,
        missing=dict(batch.missing),
        streams=streams,
        counts=_account(sum(batch.counts.values(), Counts())),
        frames=rows,
        sets=[
            (one.spread_ns, [at[one.frames[name].seq] if name in one.frames else -1 for name, at in index.items()])
            for one in batch.sets
        ],
    )
    return _encoder.encode(header)


def encode_late(late: LateFrame, *, run_id: str, emitted_ns: int) -> bytes:
    """The header of a late frame; the message is ``[late_topic(group), header, payload]``.

    It is that of a batch of itself, of the closed window, and nobody else.
    """
    name = late.frame.stream
    alone = FrameBatch(
        late.group, late.seq, late.epoch, late.window_start_ns, late.window_end_ns, 0, {}, {name: [late.frame]}, (),
        {name: Counts(captured=1, late=1)}, run_id,
    )  # fmt: skip
    return encode_batch(alone, {}, {}, emitted_ns=emitted_ns)


def _rows(frames: Sequence[Frame], first_row: int) -> list[FrameRow]:
    """A stream's rows; their parts are numbered as they are."""
    return [
        (
            frame.stream, frame.seq, frame.time_ns, frame.uncertainty_ns, frame.arrival_ns,
            KEY_FRAME if frame.keyframe else 0, row,
        )
        for row, frame in enumerate(frames, first_row)
    ]  # fmt: skip


def _codec_map(codec: Codec | None) -> CodecMap | UnsetType:
    return UNSET if codec is None else CodecMap(codec.name, codec.extradata)


def _stream_map(
    frames: Sequence[Frame], first_row: int, counts: Counts | None, layout: Layout | None, clock: Any
) -> StreamMap:
    account = _account(counts or Counts())
    if frames:
        layout, clock = frames[0].layout, frames[0].clock
    if layout is None:
        return StreamMap(None, None, None, None, None, clock, account)
    return StreamMap(
        layout.format, layout.width, layout.height, layout.range, layout.matrix, clock, account,
        _codec_map(layout.codec), layout.rotation or UNSET, _changes(frames, first_row) or UNSET,
    )  # fmt: skip


def _changes(frames: Sequence[Frame], first_row: int) -> list[tuple[int, Look]]:
    """The rows of frames that do not look like the one before them."""
    changes: list[tuple[int, Look]] = []
    before = frames[0] if frames else None
    for row, frame in enumerate(frames, first_row):
        if before is None or (frame.layout is before.layout and frame.clock == before.clock):
            continue
        if (frame.layout, frame.clock) != (before.layout, before.clock):
            look = frame.layout
            shape = look.format, look.width, look.height, look.range, look.matrix
            changes.append((row, Look(*shape, frame.clock, _codec_map(look.codec), look.rotation or UNSET)))
        before = frame
    return changes


def _account(counts: Counts) -> CountsMap:
    return CountsMap(counts.captured, counts.delivered, counts.late, dict(counts.dropped), counts.skipped)


def decode_batch(parts: Sequence[Any]) -> FrameBatch:
    """A batch from the parts of its message.

    Args:
        parts: ``[topic, header, *payloads]``, each any readable buffer, a payload also a ``Payload``; frames keep
            read-only views of the payloads.

    Raises:
        WireError: the message is not what the protocol says; the text names the place.
    """
    return _decode(parts, BATCH_PREFIX)


def decode_coded(parts: Sequence[Any]) -> FrameBatch:
    """A batch with the coded pictures of its frames; one that has none has no payload.

    Raises:
        WireError: the message is not what the protocol says.
    """
    return _decode(parts, CODED_PREFIX)


def decode_head(parts: Sequence[Any]) -> FrameBatch:
    """A batch from its header alone, ``[topic, header]``: its frames have no payload.

    Raises:
        WireError: the message is not what the protocol says.
    """
    return _decode(parts, HEAD_PREFIX)


def decode_late(parts: Sequence[Any]) -> LateFrame:
    """A late frame from the parts of its message.

    Raises:
        WireError: the message is not what the protocol says.
    """
    alone = _decode(parts, LATE_PREFIX)
    frames = [frame for some in alone.frames.values() for frame in some]
    if len(frames) != 1:
        raise WireError(f"message: {len(frames)} late frames, not 1")
    return LateFrame(
        alone.group, alone.seq, alone.epoch, alone.window_start_ns, alone.window_end_ns, frames[0], alone.emitted_ns,
        alone.run_id,
    )  # fmt: skip


def decode_header(data: Any) -> dict[str, Any]:
    """The header as plain maps, lists, strings and integers: the keys of the protocol, without unknown ones.

    Raises:
        WireError: it is not a header. What only the payloads can tell is not checked.
    """
    plain: dict[str, Any] = msgspec.msgpack.decode(_encoder.encode(unpack(_decoder, data, "header")))
    return plain


def _decode(parts: Sequence[Any], prefix: bytes) -> FrameBatch:
    if len(parts) < 2:
        raise WireError(f"message: {len(parts)} parts; a topic and a header are the least")
    header = unpack(_decoder, parts[1], "header")
    if memoryview(parts[0]) != prefix + header.group.encode():
        raise WireError(f"message: its topic is not that of group {header.group!r}")
    _check_header(header)
    courses = {name: _Course(name, stream) for name, stream in header.streams.items()}
    rows = _frames(header, courses, parts[2:], prefix)
    return FrameBatch(
        group=header.group,
        seq=header.seq,
        epoch=header.epoch,
        window_start_ns=header.window[0],
        window_end_ns=header.window[1],
        emitted_ns=header.emitted_ns,
        missing=header.missing,
        frames={name: course.close() for name, course in courses.items()},
        sets=_sets(header, rows),
        counts={name: _counts(stream.counts) for name, stream in header.streams.items()},
        run_id=header.run_id,
        late_ns=header.late_ns,
        redelivered=header.redelivered is True,
    )


def _counts(account: CountsMap) -> Counts:
    return Counts(account.captured, account.delivered, account.late, account.dropped, account.skipped)


def _check_header(header: Header) -> None:
    if header.window[1] < header.window[0]:
        raise WireError("header: the window ends before it starts")
    if header.complete == bool(header.missing):
        raise WireError("header: complete and missing contradict each other")
    for name in header.missing:
        if name not in header.streams:
            raise WireError(f"header: missing names {name!r}, which is not among the streams")
    for name, stream in header.streams.items():
        unknown = (stream.format, stream.width, stream.height, stream.range, stream.matrix).count(None)
        if unknown not in (0, 5):
            raise WireError(f"header: stream {name!r} has half a layout")
        looks = [stream, *(() if stream.changes is UNSET else (look for _, look in stream.changes))]
        for look in looks:
            if (look.format == "encoded") != (look.codec is not UNSET):
                raise WireError(f"header: stream {name!r} has a codec exactly where it is encoded, or should")


class _Course:
    """One stream's frames while they are read, and how they look."""

    __slots__ = ("changes", "frames", "name", "shown")

    def __init__(self, name: str, stream: StreamMap) -> None:
        self.name, self.frames = name, list[Frame]()
        self.shown = shown_as(stream)
        rows = () if stream.changes is UNSET else stream.changes
        self.changes = {row: shown_of(look) for row, look in rows}
        if len(self.changes) != len(rows):
            raise WireError(f"header: stream {name!r} changes twice at one row")

    def close(self) -> list[Frame]:
        """All of them, which is the time to look at them together."""
        if self.changes:
            raise WireError(f"header: stream {self.name!r} changes at a row that is not its frame's")
        seqs, times = [frame.seq for frame in self.frames], [frame.time_ns for frame in self.frames]
        if not all(map(lt, seqs, seqs[1:])) or not all(map(le, times, times[1:])):
            raise WireError(f"frames: stream {self.name!r} goes back in seq or in time")
        return self.frames


def _frames(header: Header, courses: Mapping[str, _Course], payloads: Sequence[Any], prefix: bytes) -> list[Frame]:
    """The frames of all rows, in their order, each noted in its stream's course too."""
    number, is_head, is_coded = len(header.frames), prefix == HEAD_PREFIX, prefix == CODED_PREFIX
    if len(payloads) != (0 if is_head else number):
        raise WireError(f"message: {len(payloads)} payload parts for {number} frames{' of a header' * is_head}")
    if sorted([row[6] for row in header.frames]) != list(range(number)):
        raise WireError("frames: a part is not there, or named twice")
    frames: list[Frame] = []
    course: _Course | None = None
    for row, (name, seq, time_ns, uncertainty_ns, arrival_ns, flags, part) in enumerate(header.frames):
        if course is None or name != course.name:
            course = courses.get(name)
            if course is None:
                raise WireError(f"frames[{row}]: stream {name!r:.80} is not among the streams")
        if row in course.changes:
            course.shown = course.changes.pop(row)
        if course.shown is None:
            raise WireError(f"frames[{row}]: stream {name!r} has no layout or no clock")
        clock, layout, size_bytes = course.shown
        has_none = is_head or (is_coded and not memoryview(payloads[part]).nbytes)
        payload = None if has_none else _readonly(payloads[part], size_bytes, row)
        is_key = flags & KEY_FRAME != 0
        frame = Frame(course.name, seq, time_ns, uncertainty_ns, clock, arrival_ns, is_key, layout, payload)
        frames.append(frame)
        course.frames.append(frame)
    return frames


def _readonly(payload: Any, size_bytes: int | None, row: int) -> Any:
    if not isinstance(payload, Payload):
        payload = memoryview(payload).toreadonly()
    if size_bytes is not None and payload.nbytes != size_bytes:
        raise WireError(f"frames[{row}]: {payload.nbytes} payload bytes, its layout has {size_bytes}")
    return payload


def _sets(header: Header, frames: Sequence[Frame]) -> list[FrameSet]:
    streams = list(header.streams)
    used: set[int] = set()
    sets: list[FrameSet] = []
    for number, (spread_ns, members) in enumerate(header.sets):
        if len(members) != len(streams):
            raise WireError(f"sets[{number}]: {len(members)} entries for {len(streams)} streams")
        names, chosen = streams, members
        missing: tuple[str, ...] = ()
        if -1 in members:
            names = [name for name, index in zip(streams, members, strict=True) if index >= 0]
            chosen = [index for index in members if index >= 0]
            missing = tuple(name for name, index in zip(streams, members, strict=True) if index < 0)
        if len(chosen) < 2 or not used.isdisjoint(chosen):
            raise WireError(f"sets[{number}]: fewer than two frames, or one that is in a set already")
        used.update(chosen)
        if max(chosen) >= len(frames):
            raise WireError(f"sets[{number}]: {max(chosen)} is not among the frames")
        together = [frames[index] for index in chosen]
        if [frame.stream for frame in together] != names:
            raise WireError(f"sets[{number}]: its frames are not of the streams in whose places they are")
        times = [frame.time_ns for frame in together]
        if max(times) - min(times) != spread_ns:
            raise WireError(f"sets[{number}]: its spread is {max(times) - min(times)} ns, not {spread_ns}")
        sets.append(FrameSet(spread_ns, dict(zip(names, together, strict=True)), missing))
    return sets
