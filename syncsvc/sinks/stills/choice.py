"""Which pictures of a batch become stills, and what their files are called; pure."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from syncsvc.clock import NS_PER_S, utc_text
from syncsvc.errors import UsageError
from syncsvc.model import Frame, FrameBatch, FrameSet

Of = Literal["frames", "sets", "mosaics"]
MOST_PER_SECOND: Final = 1000.0
_REMEMBERED: Final = 4096
"""Names: two groups that share a stream hand the same frame out, some windows apart."""


class Chosen(NamedTuple):
    """One picture to come: its name below the folder, without a suffix, and what it shows."""

    name: str
    stream: str
    """Whose account it is on; empty for a mosaic."""
    shows: Frame | FrameSet


@dataclass(frozen=True, slots=True)
class StillsWish:
    """What somebody wants of the batches.

    ``every`` N takes the first of each N, ``per_second`` at most so many of a second of capture time; of each stream's
    frames, or of the group's sets. Both None take all.
    """

    of: Of = "frames"
    every: int | None = None
    per_second: float | None = None

    def check(self) -> None:
        """Whether it can be fulfilled.

        Raises:
            UsageError: it cannot.
        """
        if self.every is not None and self.per_second is not None:
            raise UsageError("every and per_second are two answers to one question: give one")
        if self.every is not None and self.every < 1:
            raise UsageError(f"every {self.every}: at least 1")
        if self.per_second is not None and not 0 < self.per_second <= MOST_PER_SECOND:
            raise UsageError(f"per_second {self.per_second:g}: more than 0, at most {MOST_PER_SECOND:g}")


class Choice:
    """Fulfils a wish, batch after batch.

    Guarantees:
        * Without ``every`` and ``per_second`` every frame is chosen once (every set, every frame of every set).
        * A frame that comes with several groups is chosen once.
        * No two have one name: a name holds the time in nanoseconds, and the frame's number or its set's place.
        * Names of one stream, and of sets, sort by capture time.
    """

    def __init__(self, wish: StillsWish) -> None:
        """Begin.

        Raises:
            UsageError: the wish cannot be fulfilled.
        """
        wish.check()
        self._wish = wish
        self._passed: dict[str, int] = {}
        self._due_ns: dict[str, int] = {}
        self._names: OrderedDict[str, None] = OrderedDict()
        self._group = ""

    def of(self, batch: FrameBatch) -> Iterator[Chosen]:
        """The pictures that are wanted of a batch.

        Raises:
            UsageError: sets are wanted, and this is not the group that they came from before.
        """
        if self._wish.of == "frames":
            yield from self._frames(batch)
            return
        if self._group and batch.group != self._group:
            raise UsageError(
                f"the service has groups {self._group} and {batch.group}: --group says whose sets are wanted"
            )
        self._group = batch.group
        for some in sets_of(batch):
            if not self._is_wanted("", taken_ns(some)):
                continue
            name = self._free(utc_name(taken_ns(some)))
            if self._wish.of == "mosaics":
                yield Chosen(name, "", some)
            else:
                yield from (Chosen(f"{name}/{stream}", stream, frame) for stream, frame in some.frames.items())

    def _frames(self, batch: FrameBatch) -> Iterator[Chosen]:
        for stream, frames in batch.frames.items():
            for frame in frames:
                name = f"{stream}/{utc_name(frame.time_ns)}_{frame.seq}"
                if name in self._names:
                    continue
                self._remember(name)
                if self._is_wanted(stream, frame.time_ns):
                    yield Chosen(name, stream, frame)

    def _is_wanted(self, stream: str, time_ns: int) -> bool:
        """Whether it is the turn of the next one of a stream (of the group's sets)."""
        if self._wish.every is not None:
            passed = self._passed.get(stream, 0)
            self._passed[stream] = passed + 1
            return passed % self._wish.every == 0
        if self._wish.per_second is None:
            return True
        period_ns = round(NS_PER_S / self._wish.per_second)
        due_ns = self._due_ns.get(stream, time_ns)
        if time_ns < due_ns - period_ns:  # before the last one: the host's clock was set back
            due_ns = time_ns
        if time_ns < due_ns:
            return False
        self._due_ns[stream] = max(due_ns + period_ns, time_ns)
        return True

    def _free(self, name: str) -> str:
        """The name, or it with a number: sets of different streams may begin in one nanosecond."""
        number, found = 1, name
        while found in self._names:
            number += 1
            found = f"{name}_{number}"
        self._remember(found)
        return found

    def _remember(self, name: str) -> None:
        self._names[name] = None
        if len(self._names) > _REMEMBERED:
            self._names.popitem(last=False)


def sets_of(batch: FrameBatch) -> Sequence[FrameSet]:
    """A batch's sets; of a group of one stream, which has none, each frame by itself."""
    if len(batch.frames) != 1:
        return batch.sets
    return [FrameSet(0, {stream: frame}, ()) for stream, frames in batch.frames.items() for frame in frames]


def taken_ns(some: FrameSet) -> int:
    """When the earliest frame of a set was taken, UTC."""
    return min(frame.time_ns for frame in some.frames.values())


def utc_name(time_ns: int) -> str:
    """A moment as names of files have it, ``20260131T120000.123456789Z``: it sorts, and every file system takes it."""
    seconds = utc_text(time_ns, "milliseconds").partition(".")[0]
    return f"{seconds.replace('-', '').replace(':', '')}.{time_ns % NS_PER_S:09}Z"
