"""From batches to calls: each frame or set once, in order, and what cannot be kept up with by a stated policy."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import FrameReclaimedError
from syncsvc.model import Frame, FrameBatch, FrameSet
from syncsvc.pool.frame_pool import FramePool
from syncsvc.sinks.process.answers import Answers
from syncsvc.sinks.process.target import Target
from syncsvc.wire.result import Per, ResultIdentity

WhenLate = Literal["drop", "wait"]
_LOOK_S: Final = 0.1
_LEAST_NS: Final = NS_PER_S // 2
"""Of a batch's own time: groups without windows have batches of no length."""


class Work(NamedTuple):
    """A frame or a set, and where its predecessor is kept."""

    identity: ResultIdentity
    item: Frame | FrameSet
    course: tuple[str, str]


class ProcessSink:
    """Takes batches, hands frames or sets to the pool, and their calls to whoever publishes.

    Guarantees:
        * Each frame, or set, that is taken is handed to the pool in order, or counted with the reason why not.
        * With ``drop`` a batch has its own time, the length of its window, divided by the groups: what is not begun
          then is dropped as ``late``. So results are never older than the queue in the pool and that time.
        * With ``wait`` none is ``late``: what cannot be kept up with is for the subscription to keep, or to lose.
    """

    def __init__(self, pool: FramePool, target: Target, per: Per, when_late: WhenLate, answers: Answers) -> None:
        self.taken, self.handed = 0, 0
        self.batches = 0
        self.dropped: Counter[str] = Counter()
        self._pool, self._target, self._per, self._publishing = pool, target, per, answers
        self._is_patient = when_late == "wait"
        self._groups: set[str] = set()
        self._before: dict[tuple[str, str], Frame | FrameSet] = {}

    def take(self, batch: FrameBatch, is_over: Callable[[], bool] = lambda: False) -> None:
        """Hand over what is in a batch; ``is_over`` ends the wait for a place.

        Raises:
            PoolError: the pool does not work.
        """
        self.batches += 1
        self._groups.add(batch.group)
        length_ns = max(_LEAST_NS, batch.window_end_ns - batch.window_start_ns) // len(self._groups)
        due_ns = SYSTEM_CLOCK.monotonic_ns() + length_ns
        for work in self._works(batch):
            self.taken += 1
            self._hand_over(work, due_ns, is_over)

    def _works(self, batch: FrameBatch) -> Iterator[Work]:
        if self._per == "frame":
            frames = [frame for some in batch.frames.values() for frame in some]
            for frame in sorted(frames, key=lambda one: one.time_ns):
                yield Work(self._identity(batch, [frame], None), frame, (batch.group, frame.stream))
            return
        for index, one in enumerate(batch.sets):
            yield Work(self._identity(batch, list(one.frames.values()), index), one, (batch.group, ""))

    def _identity(self, batch: FrameBatch, frames: list[Frame], index: int | None) -> ResultIdentity:
        return ResultIdentity(
            group=batch.group,
            run_id=batch.run_id,
            epoch=batch.epoch,
            seq=batch.seq,
            window=(batch.window_start_ns, batch.window_end_ns),
            per=self._per,
            set=index,
            frames=[(frame.stream, frame.seq, frame.time_ns) for frame in frames],
        )

    def _hand_over(self, work: Work, due_ns: int, is_over: Callable[[], bool]) -> None:
        extra: dict[str, Any] = {}
        if self._target.wants_previous:
            extra["previous"] = self._before.get(work.course)
            self._before[work.course] = work.item
        while True:
            left_ns = due_ns - SYSTEM_CLOCK.monotonic_ns()
            wait_s = _LOOK_S if self._is_patient else min(_LOOK_S, max(0.0, left_ns / NS_PER_S))
            try:
                call = self._pool.try_apply(self._target.function, (work.item,), extra, wait_s=wait_s)
            except FrameReclaimedError:
                self.dropped["reclaimed"] += 1
                return
            if call is not None:
                self.handed += 1
                self._publishing.put(work.identity, call)
                return
            if is_over() or (left_ns <= 0 and not self._is_patient):
                self.dropped["stopped" if is_over() else "late"] += 1
                return
