"""One batch per set: what a group with ``window_ms: null`` decides; the sibling of ``windows.py``."""

from collections.abc import Callable

from syncsvc.align.decider import GroupDecider, Now
from syncsvc.align.set_aligner import SetAligner
from syncsvc.align.watermark import StreamWatermark
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.events import GroupRules, Jump, Open
from syncsvc.pairing.policy import SetPolicy


class GroupSets(GroupDecider[SetAligner]):
    """One group's watermarks and sets: a batch leaves when its set is decided, or at its deadline."""

    def __init__(
        self, group: str, opening: Open, make_policy: Callable[[GroupRules], SetPolicy], clock_epoch: int
    ) -> None:
        """Open the first batch's window at the opening's nanosecond."""
        watermarks = {name: StreamWatermark() for name in opening.rules.streams}
        super().__init__(SetAligner(group, opening, make_policy, watermarks), watermarks, opening, clock_epoch)

    def _set_state(self, stream: str, state: StreamState) -> None:
        if state not in (StreamState.LIVE, StreamState.DRAINING):
            self._aligner.pause(stream)
        super()._set_state(stream, state)

    def _consider(self) -> None:
        self._aligner.decide()

    def _queue(self, frame: Frame) -> bool:
        return self._aligner.put(frame)

    def _missed(self, time_ns: int) -> tuple[int, int]:
        """All that is known of the closed windows: from the frame until where the last one ended."""
        return time_ns, max(time_ns + 1, self._aligner.end_ns)

    def _closes(self, now: Now) -> bool:
        return self._aligner.is_decided or self._is_overdue(now)

    def _close(self, now: Now) -> FrameBatch:
        batch = self._aligner.close(self._reason)
        self._consider()
        return batch

    def _close_all(self, now: Now) -> list[FrameBatch]:
        """Every set, then whatever is left and, when draining, the time up to the present."""
        batches, until_ns = [], self._until_ns(now)
        while self._aligner.has_frames or self._aligner.end_ns < until_ns:
            batches.append(self._aligner.close_last(self._reason, until_ns))
        return batches

    def _restart(self, jump: Jump, now: Now) -> None:
        """What was taken a maximum latency ago is past its deadline; recordings played ``asap`` know no present."""
        end_ns = self._aligner.end_ns
        start_ns = end_ns if self._is_patient else now.utc_ns - self.rules.max_latency_ns
        if jump.jump_ns > 0:
            start_ns = max(start_ns, end_ns)
        self._aligner.restart(jump.epoch, start_ns)

    def _take_rules(self, rules: GroupRules, gone: list[str]) -> list[Frame]:
        return self._aligner.reconfigure(rules)
