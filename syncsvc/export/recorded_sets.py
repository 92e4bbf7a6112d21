"""The sets of one group over all segments of a recording, and their pictures: what every format is made of."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import FrameUndecodable, NotExported, RecordingBroken, UsageError
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch, FrameSet, Gap
from syncsvc.recording.contents import StoredPicture, StoredRecording, StoredSegment
from syncsvc.recording.stream_pictures import DAMAGED, NOT_RECORDED, FoundPicture, StreamPictures

T = TypeVar("T")


class RecordedSet(NamedTuple):
    """One set with the batch that it came in; ``is_apart``: batches are missing before it, or another run begins."""

    batch: FrameBatch
    frames: FrameSet
    is_apart: bool

    @property
    def time_ns(self) -> int:
        """The earliest capture time of its frames, UTC nanoseconds."""
        return min(frame.time_ns for frame in self.frames.frames.values())


class RecordedSets:
    """All sets of a group.

    Args:
        recording: where they are.
        group: its name; None is the only one.

    Raises:
        UsageError: there is no such group, or there are several and none was named.
    """

    def __init__(self, recording: StoredRecording, group: str | None) -> None:
        groups = recording.groups
        if group is None and len(groups) == 1:
            group = next(iter(groups))
        if group is None or group not in groups:
            there = ", ".join(groups) or "none: nothing was recorded"
            found = f"no group {group!r}" if group else "several groups" if groups else "no group"
            raise UsageError(f"{recording.place}: found {found}; --group is one of {there}")
        self.place, self.group, self._segments = recording.place, group, recording.segments
        self.streams = groups[group].streams
        self.problems: list[str] = []
        """What could not be read of what should be there."""
        self.notes: list[str] = []
        """What could not be read of what its recorder did not finish."""

    def __iter__(self) -> Iterator[RecordedSet]:
        """In the order of their batches."""
        before: FrameBatch | None = None
        is_apart = False
        for segment in self._segments:
            for item in self._read(segment.batches(), segment):
                if isinstance(item, Gap):
                    is_apart = is_apart or item.group in ("", self.group)
                    continue
                batch = item.batch
                if batch.group != self.group:
                    continue
                is_other = before is not None and (batch.run_id, batch.epoch) != (before.run_id, before.epoch)
                before, is_apart = batch, is_apart or is_other
                for some in batch.sets:
                    yield RecordedSet(batch, some, is_apart)
                    is_apart = False

    def counted(self) -> int:
        """How many there are.

        Raises:
            NotExported: there is none.
        """
        count = sum(1 for _ in self)
        self.require(count > 0, "there is no set in it")
        return count

    def require(self, is_there: bool, problem: str) -> None:
        """Go on if something is there.

        Raises:
            NotExported: nothing is.
        """
        if not is_there:
            raise NotExported(self.place, f"group {self.group}: {problem}")

    def _read(self, items: Iterator[T], segment: StoredSegment) -> Generator[T, None, None]:
        """As much of a segment as can be read; why not more is noted."""
        try:
            yield from items
        except RecordingBroken as error:
            told = self.problems if segment.is_finished else self.notes
            if str(error) not in told:
                told.append(str(error))

    def pictures(self, stream: str) -> Generator[StoredPicture, None, None]:
        """A stream's pictures; closing it closes the file that is open."""
        for segment in self._segments:
            with closing(self._read(segment.pictures(stream), segment)) as readable:
                yield from readable


class FoundFrame(NamedTuple):
    """A frame of a set with its picture."""

    frame: Frame
    found: FoundPicture
    pictures: StreamPictures

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        layout = self.found.stored.layout
        is_lying = layout.rotation in (90, 270)
        return (layout.height, layout.width) if is_lying else (layout.width, layout.height)

    def bgr(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """The picture, ``(height, width, 3)`` uint8, BGR, upright, in its own size or scaled.

        Raises:
            FrameUndecodable: it is damaged, or what it refers to.
        """
        layout = Layout("bgr24", *(size or self.size), "full")
        target = np.empty(layout.size_bytes, np.uint8)
        self.pictures.write(self.found, layout, target)
        return target.reshape(layout.shape)


class SetPictures(ExitStack):
    """Finds and decodes what a set's frames show, each stream in a thread of its own; ask for sets in their order."""

    def __init__(self, sets: RecordedSets) -> None:
        super().__init__()
        self._workers = self.enter_context(ThreadPoolExecutor(len(sets.streams), "exports"))
        self._sources = {
            name: StreamPictures(name, self.enter_context(closing(sets.pictures(name)))) for name in sets.streams
        }

    def each(self, some: FrameSet, make: Callable[[FoundFrame], T]) -> dict[str, T | str]:
        """What ``make`` makes of each frame, by stream; or why its picture cannot be shown."""
        frames = list(some.frames.values())
        made = self.together([partial(self._made, frame, make) for frame in frames])
        return {frame.stream: one for frame, one in zip(frames, made, strict=True)}

    def together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Call all of these, each in a thread; their results in the same order."""
        return list(self._workers.map(lambda call: call(), calls))

    def _made(self, frame: Frame, make: Callable[[FoundFrame], T]) -> T | str:
        source = self._sources[frame.stream]
        found = source.find(frame)
        if found is None:
            return NOT_RECORDED
        if found.problem:
            return found.problem
        try:
            return make(FoundFrame(frame, found, source))
        except FrameUndecodable:
            return DAMAGED
