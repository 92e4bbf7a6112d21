"""Batches by windows: what a group with ``window_ms`` decides; the sibling of ``sets.py``."""

from collections.abc import Callable

from syncsvc.align.buckets import WindowBuckets
from syncsvc.align.decider import GroupDecider, Now
from syncsvc.align.watermark import StreamWatermark, group_passed
from syncsvc.align.window_aligner import WindowAligner
from syncsvc.clock import NS_PER_MS
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.events import GroupRules, Jump, Open
from syncsvc.pairing.policy import Policy

LOOK_AHEAD_NS = 100 * NS_PER_MS
"""How long before a window can close its pairing may be done."""


class GroupWindows(GroupDecider[WindowAligner]):
    """One group's buckets, and when the oldest open window closes."""

    def __init__(
        self,
        group: str,
        opening: Open,
        make_policy: Callable[[GroupRules], Policy],
        window_ns: int,
        clock_epoch: int,
    ) -> None:
        """Open the windows from the first one on."""
        self._window_ns, streams = window_ns, opening.rules.streams
        self._buckets = {name: WindowBuckets(window_ns, opening.first_window * window_ns) for name in streams}
        aligner = WindowAligner(group, opening, make_policy, window_ns, self._buckets)
        super().__init__(aligner, {name: StreamWatermark() for name in streams}, opening, clock_epoch)
        self._newest_ns = self._foreseen_ns = 0
        self._latest: dict[str, tuple[int, int]] = {}

    def _queue(self, frame: Frame) -> bool:
        is_taken = self._buckets[frame.stream].put(frame)
        if is_taken:
            self._newest_ns = max(self._newest_ns, frame.time_ns)
            self._look_ahead(frame)
        return is_taken

    def _look_ahead(self, frame: Frame) -> None:
        """Let the pairing be done before the frame comes that closes the window, if all that is paired seems here."""
        before_ns, _ = self._latest.get(frame.stream, (frame.time_ns, 0))
        self._latest[frame.stream] = frame.time_ns, frame.time_ns - before_ns
        horizon_ns = self._aligner.horizon_ns
        if frame.time_ns < horizon_ns:
            self._foreseen_ns = 0
        if frame.time_ns + LOOK_AHEAD_NS < horizon_ns or self._foreseen_ns == horizon_ns:
            return
        if all(time_ns + period_ns + period_ns // 8 >= horizon_ns for time_ns, period_ns in self._latest.values()):
            self._foreseen_ns = horizon_ns
            self._aligner.foresee()

    def _missed(self, time_ns: int) -> tuple[int, int]:
        start = time_ns // self._window_ns * self._window_ns
        return start, start + self._window_ns

    def _closes(self, now: Now) -> bool:
        if self._is_overdue(now):
            return True
        streams = list(self._watermarks.values())
        if all(stream.state is StreamState.ENDED for stream in streams):
            return self._has_frames()
        return group_passed(streams, self._aligner.horizon_ns, patient=self._is_patient)

    def _close(self, now: Now) -> FrameBatch:
        return self._aligner.close(self._reason)

    def _close_all(self, now: Now) -> list[FrameBatch]:
        """Every open window up to the last frame's and, when draining, up to the present one."""
        batches = []
        while self._has_frames() or self._aligner.window[0] <= self._until_ns(now):
            batches.append(self._aligner.close(self._reason))
        return batches

    def _has_frames(self) -> bool:
        return self._newest_ns >= self._aligner.window[0] or any(len(buckets) for buckets in self._buckets.values())

    def _restart(self, jump: Jump, now: Now) -> None:
        first = now.utc_ns // self._window_ns
        if jump.jump_ns > 0:
            first = max(first, self._aligner.window[0] // self._window_ns)
        self._aligner.restart(jump.epoch, first)
        self._newest_ns = 0
        self._latest.clear()

    def _take_rules(self, rules: GroupRules, gone: list[str]) -> list[Frame]:
        left = [frame for name in gone for frame in self._buckets.pop(name).discard()]
        for name in gone:
            self._latest.pop(name, None)
        for name in rules.streams:
            if name not in self._buckets:
                self._buckets[name] = WindowBuckets(self._window_ns, self._aligner.window[0])
        return left + self._aligner.reconfigure(rules)
