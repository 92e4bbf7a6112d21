"""Where recorded batches come to lie in one run of a service, round after round; pure.

Nothing but constants is added: to all times of a round, to the numbers of a stream's frames from one recorded run to
the next, and to epochs. So sets, distances and accounts are those of the live run.
"""

from collections.abc import Iterable, Mapping
from math import lcm
from typing import NamedTuple

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import FrameBatch
from syncsvc.wire import GroupTerms

LONGEST_WAIT_NS = 60 * NS_PER_S
"""The longest window that there is: nobody waits longer for the edge at which a replay begins."""


class ReplayPlace(NamedTuple):
    """Of one batch: its numbers, and what is added to its times and to its frames' numbers, by stream."""

    epoch: int
    seq: int
    shift_ns: int
    offsets: Mapping[str, int]


def grain_ns(groups: Iterable[GroupTerms]) -> int:
    """What times may be shifted by: a whole number of every group's windows; whole seconds where there are none."""
    windows_ms = [terms.window_ms for terms in groups if terms.window_ms is not None]
    return lcm(*windows_ms) * NS_PER_MS if windows_ms else NS_PER_S


def shift_to(now_ns: int, recorded_ns: int, grain: int) -> int:
    """What brings a recorded moment to now, or to the next edge after it.

    Where several groups' windows seldom end together, it is the edge before it: times are those of a while ago.
    """
    later_ns = -(-(now_ns - recorded_ns) // grain) * grain
    return later_ns if recorded_ns + later_ns - now_ns <= LONGEST_WAIT_NS else later_ns - grain


class ReplayCourse:
    """All rounds of a replay, batch by batch in the order in which they are played.

    Guarantees: epochs rise, and within one a group's batches are numbered as recorded, from the second round on from
    0; numbers of a stream's frames rise over all rounds and recorded runs, and leave a hole before a frame that refers
    to another one than the last.

    Args:
        epoch: the first.
        shift_ns: added to the times of the first round.
        grain: see ``grain_ns``.
        is_moving: later rounds follow the first in time; otherwise all have the same times.
    """

    def __init__(self, epoch: int, shift_ns: int, grain: int, *, is_moving: bool) -> None:
        self.shift_ns, self._grain, self._is_moving = shift_ns, grain, is_moving
        self._epoch, self._next_epoch, self._round = epoch - 1, epoch, 0
        self._epochs: dict[tuple[str, int], int] = {}
        self._first_recorded = 0
        self._first_seqs: dict[str, tuple[int, int]] = {}
        self._runs: dict[str, str] = {}
        self._offsets: dict[str, int] = {}
        self._highest: dict[str, int] = {}
        self._lowest: dict[str, tuple[int, bool]] = {}
        self._bounds_ns: tuple[int, int] | None = None

    def next_round(self) -> None:
        """What follows is the recording from its beginning, once more."""
        if self._is_moving and self._bounds_ns is not None:
            start_ns, end_ns = self._bounds_ns
            self.shift_ns += max(1, -(-(end_ns - start_ns) // self._grain)) * self._grain
        self._round += 1
        self._next_epoch = self._epoch + 1
        self._epochs, self._first_seqs, self._runs = {}, {}, {}

    def place(self, batch: FrameBatch) -> ReplayPlace:
        """The place of the next batch."""
        key = batch.run_id, batch.epoch
        if key not in self._epochs:
            if not self._epochs:
                self._first_recorded = batch.epoch
            self._epoch = max(self._epoch + 1, self._next_epoch + batch.epoch - self._first_recorded)
            self._epochs[key] = self._epoch
        epoch = self._epochs[key]
        first_epoch, first_seq = self._first_seqs.setdefault(batch.group, (epoch, batch.seq))
        seq = batch.seq - first_seq if self._round and epoch == first_epoch else batch.seq
        for name, frames in batch.frames.items():
            if frames:
                self._number(name, batch.run_id, [(frame.seq, frame.keyframe) for frame in frames])
        start_ns, end_ns = self._bounds_ns or (batch.window_start_ns, batch.window_end_ns)
        self._bounds_ns = min(start_ns, batch.window_start_ns), max(end_ns, batch.window_end_ns)
        return ReplayPlace(epoch, seq, self.shift_ns, {name: self._offsets.get(name, 0) for name in batch.frames})

    def _number(self, stream: str, run_id: str, frames: list[tuple[int, bool]]) -> None:
        """Let the numbers of a stream go on where another run or round begins."""
        lowest, is_key = min(frames)
        if self._runs.get(stream) != run_id:
            if stream in self._highest:
                first, is_whole = self._lowest[stream] if self._round and stream not in self._runs else (0, False)
                self._offsets[stream] = self._highest[stream] + (1 if is_whole else 2) - first
            self._runs[stream] = run_id
        if not self._round:
            self._lowest[stream] = min(self._lowest.get(stream, (lowest, is_key)), (lowest, is_key))
        highest = max(frames)[0] + self._offsets.get(stream, 0)
        self._highest[stream] = max(self._highest.get(stream, highest), highest)
