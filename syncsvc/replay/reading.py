"""A recording read ahead of what is played: batches at their places, pixels decoded where somebody wants them."""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import FrameUndecodable, SyncsvcError
from syncsvc.layout import RAW_FORMATS
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch
from syncsvc.publish.publisher import Publisher
from syncsvc.recording.contents import StoredBatch, StoredPicture, StoredRecording, StoredSegment
from syncsvc.recording.stream_pictures import DAMAGED, NOT_RECORDED, StreamPictures
from syncsvc.replay.course import ReplayCourse
from syncsvc.replay.played_payload import PlayedPayload
from syncsvc.replay.replayed_group import Looks
from syncsvc.replay.retold import retold
from syncsvc.replay.span import ReplaySpan
from syncsvc.transport.payload import CodedPart
from syncsvc.wire import GroupTerms, batch_topic

AHEAD_BYTES = 256 << 20
"""Of payloads that were read and not sent yet, before another batch is read."""
AHEAD_BATCHES = 4
MOST_WORKERS = 16
"""Streams that are decoded at a time; libav takes no turn of the interpreter meanwhile."""
LOOK_S = 0.2

log = logging.getLogger(__name__)


_PayloadsOf = Callable[[Sequence[Frame], bytes], list[tuple[tuple[str, int], PlayedPayload | str]]]


class Room:
    """What payloads may take before the next batch is read: as much as there is, and one batch."""

    def __init__(self, most_bytes: int = AHEAD_BYTES) -> None:
        self._most, self._held = most_bytes, 0
        self._changed = threading.Condition()

    def take(self, size_bytes: int) -> Callable[[], None]:
        """Note a payload; returns what is called when it was sent."""
        with self._changed:
            self._held += size_bytes
        return partial(self._give_back, size_bytes)

    def _give_back(self, size_bytes: int) -> None:
        with self._changed:
            self._held -= size_bytes
            self._changed.notify_all()

    def wait(self, stop: StopToken) -> None:
        """Wait until there is some, or for the stop."""
        with self._changed:
            while self._held >= self._most and not stop.is_set:
                self._changed.wait(LOOK_S)


class Read(NamedTuple):
    """A batch that is ready to be played; ``due_ns`` is when it left in the live run, at its place.

    ``lost``: so many of its frames have no picture.
    """

    batch: FrameBatch
    looks: Looks
    due_ns: int
    lost: int


class ReadAhead:
    """Reads all rounds of a recording in a thread of its own; ``next`` from another.

    Args:
        recording: what is played.
        span: which part of it.
        publisher: knows who wants pixels.
    """

    def __init__(self, recording: StoredRecording, span: ReplaySpan, publisher: Publisher) -> None:
        self._recording, self._span, self._publisher = recording, span, publisher
        self._room = Room()
        self._ready: queue.Queue[Read | None] = queue.Queue(AHEAD_BATCHES)
        self.problem: SyncsvcError | None = None
        """Why the recording could not be read to its end."""

    def run(self, course: ReplayCourse, stop: StopToken, *, is_endless: bool) -> None:
        """Read until the end, or until the stop.

        ``course`` is where it all comes to lie; ``is_endless``: begin again at the end.
        """
        try:
            for read in self._rounds(course, is_endless=is_endless):
                self._put(read, stop)
                self._room.wait(stop)
                if stop.is_set:
                    return
        except SyncsvcError as error:
            self.problem = error
        self._put(None, stop)

    def _put(self, item: Read | None, stop: StopToken) -> None:
        while not stop.is_set:
            try:
                return self._ready.put(item, timeout=LOOK_S)
            except queue.Full:
                continue

    def next(self, stop: StopToken) -> Read | None:
        """The next batch; None at the end, and when the stop comes."""
        while not stop.is_set:
            try:
                return self._ready.get(timeout=LOOK_S)
            except queue.Empty:
                continue
        return None

    def _rounds(self, course: ReplayCourse, *, is_endless: bool) -> Iterator[Read]:
        yield from self._round(course)
        while is_endless:
            course.next_round()
            yield from self._round(course)

    def _round(self, course: ReplayCourse) -> Iterator[Read]:
        segments, groups = self._span.segments(self._recording.segments), self._recording.groups
        with ExitStack() as running:
            sources = running.enter_context(_Sources(segments, groups))
            workers = running.enter_context(ThreadPoolExecutor(MOST_WORKERS, "decodes"))
            for segment in segments:
                for item in segment.batches():
                    if isinstance(item, StoredBatch) and item.batch.group in groups and self._span.has(item.batch):
                        sources.prepare(item.batch)
                        yield self._read(item, partial(self._payloads, sources), workers, course)

    def _read(
        self, stored: StoredBatch, payloads_of: _PayloadsOf, workers: ThreadPoolExecutor, course: ReplayCourse
    ) -> Read:
        """A batch with its payloads; each stream's are made in a thread of its own, in their order."""
        batch = stored.batch
        topics = [batch_topic(batch.group)] * len(batch.frames)
        found = dict(chain.from_iterable(workers.map(payloads_of, batch.frames.values(), topics)))
        place = course.place(batch)
        lost = sum(isinstance(one, str) for one in found.values())
        looks = stored.layouts, stored.clocks
        return Read(retold(batch, place, found), looks, batch.emitted_ns + place.shift_ns, lost)

    def _payloads(
        self, sources: "_Sources", frames: Sequence[Frame], topic: bytes
    ) -> list[tuple[tuple[str, int], PlayedPayload | str]]:
        return [((one.stream, one.seq), self._payload(one, sources.of(one.stream), topic)) for one in frames]

    def _payload(self, frame: Frame, source: StreamPictures, topic: bytes) -> PlayedPayload | str:
        """A frame's payload, made already where somebody wants it; or why it has none."""
        found = source.find(frame)
        if found is None:
            return NOT_RECORDED
        stored = found.stored
        if frame.format not in RAW_FORMATS:
            size, layout = len(stored.data), frame.layout if _is_of(stored, frame) else stored.layout
            is_key = frame.keyframe or (frame.format == "encoded" and stored.is_key)
            return PlayedPayload(size, layout, is_key, partial(_copy, stored.data), None, b"", self._room.take(size))
        if found.problem:
            return found.problem
        size, write = frame.layout.size_bytes, partial(source.write, found, frame.layout)
        coded = None if stored.is_ours else CodedPart(stored.layout, len(stored.data))
        payload = PlayedPayload(size, frame.layout, frame.keyframe, write, coded, stored.data, self._room.take(size))
        try:
            self._publisher.take_early(payload, [topic])
        except FrameUndecodable as error:
            log.warning("%s", str(error))
            payload.release()
            return DAMAGED
        return payload


class _Sources(ExitStack):
    """The pictures of every stream that a round comes across; at its end the files are closed that are open."""

    def __init__(self, segments: Sequence[StoredSegment], groups: Mapping[str, GroupTerms]) -> None:
        super().__init__()
        self._segments = segments
        self._users = Counter(name for terms in groups.values() for name in terms.streams)
        self._found: dict[str, StreamPictures] = {}

    def prepare(self, batch: FrameBatch) -> None:
        """Have a batch's streams at hand."""
        for name in batch.frames:
            if name not in self._found:
                pictures = self.enter_context(closing(_pictures(self._segments, name)))
                self._found[name] = StreamPictures(name, pictures, max(1, self._users[name]))

    def of(self, stream: str) -> StreamPictures:
        """Those of one; from any thread, one at a time."""
        return self._found[stream]


def _pictures(segments: Sequence[StoredSegment], stream: str) -> Generator[StoredPicture, None, None]:
    """Those of a stream over several segments; closing it closes the file that is open."""
    for segment in segments:
        yield from segment.pictures(stream)


def _is_of(stored: StoredPicture, frame: Frame) -> bool:
    """Whether a coded picture is the camera's own, and not one that the recorder made of it."""
    named, kept = frame.layout.codec, stored.layout.codec
    return named is None or kept is None or named.name == kept.name


def _copy(data: bytes, target: NDArray[np.uint8]) -> None:
    target[:] = np.frombuffer(data, np.uint8)
