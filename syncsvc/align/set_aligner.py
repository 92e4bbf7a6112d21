"""One batch per set, as soon as nothing that is still to come could change the set: pure, no clock, no thread.

Batches tile the time line: ``window = [end of the previous batch's, reference time + 1 ns)``. Each carries its set and
every frame captured before the window's end that is in no set; a partner after the reference travels with it.

When a set is decided. Take a reference at ``r``, and of another stream two frames ``x < y <= r``. In a set that has
``x``, ``y`` may stand for it and the spread is no wider: the earliest frame gets no earlier, and the latest is at ``r``
or after it. In the same way the first frame at or after ``r`` may stand for any later one. So of each other stream two
frames matter, the last unused one before ``r`` and the first at or after it, and both are here once the stream was
heard up to ``r``: the group waits no longer. (Where ``x`` gives the same spread as ``y`` the earliest is taken; it is
here too.) A stream whose first frame after ``r`` went with an earlier set has none after ``r`` to give.

Neighbours. A frame after the reference may be one that the next reference needs more. Windows pair such references
together; here the next ones are not known yet, and are foreseen (``foresight``): what they need is left to them.

Guarantees (each has a property test):

* windows tile, in the order of the references; ``seq`` rises by one; a batch has at most one set;
* every frame that was put is delivered in exactly one batch, or was refused as late, or is counted as dropped;
* a set's spread is at most ``max_skew_ns``; sets never cross; with a configured reference, each set has a frame of it;
* of the frames that no foreseen reference takes, a set has those of as many streams as the skew allows, then those of
  the least spread, then the earliest;
* the sets, less the frames of doubtful streams, are those of a group that never had these streams;
* ``captured = delivered + late + dropped`` in every batch, for every stream;
* the outcome depends on stamps, not on the order of arrival within the lateness: the same events give the same batches.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from syncsvc.align.batches import BatchMaker, Reason
from syncsvc.align.foresight import claims
from syncsvc.align.stream_queue import StreamQueue
from syncsvc.align.watermark import StreamWatermark
from syncsvc.clock import NS_PER_S
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.attach import Span, attach
from syncsvc.pairing.policy import SetPolicy

SILENCE_NS = NS_PER_S
"""Length of an empty batch's window, where everything is silent; and of the time that the driver is chosen by."""


class _Leaving(NamedTuple):
    """The next batch: where its window ends, and its set."""

    end_ns: int
    chosen: Mapping[str, Frame]


class SetAligner(BatchMaker[SetPolicy]):
    """One group's sets, one after the other.

    ``decide`` decides what can be decided without a deadline; a batch then waits to be closed. ``close`` before that
    takes the deadline as passed.
    """

    def __init__(
        self,
        group: str,
        opening: Open,
        make_policy: Callable[[GroupRules], SetPolicy],
        watermarks: Mapping[str, StreamWatermark],
    ) -> None:
        """Start with the opening's nanosecond as the beginning of the first batch's window.

        Where it is patient, nothing has a deadline; a frame without a set leaves when everybody was heard
        ``max_latency_ns`` past it, so that the rings never fill up with such frames. ``watermarks`` are the caller's,
        who keeps them.
        """
        super().__init__(group, opening, make_policy)
        self._watermarks, self._is_patient = watermarks, opening.is_patient
        self.end_ns = self._decided_ns = opening.first_window
        """Where the last batch's window ended: what was captured before is late."""
        self._lines = {name: StreamQueue() for name in self.rules.streams}
        self._first_ns: int | None = None
        """The oldest waiting frame's time: it is asked for with every frame that comes."""
        self._driver: str | None = None
        self._leaving: _Leaving | None = None

    @property
    def is_decided(self) -> bool:
        """Whether a batch waits to be closed."""
        return self._leaving is not None

    @property
    def has_frames(self) -> bool:
        """Whether any frame waits."""
        return self._first_ns is not None

    @property
    def deadline_ns(self) -> int:
        """When the next batch leaves at the latest, UTC: for the oldest frame, or for a time of silence."""
        first_ns, silent_ns = self._first_ns, self.end_ns + SILENCE_NS
        return (silent_ns if first_ns is None else min(first_ns, silent_ns)) + self.rules.max_latency_ns

    def _find_first(self) -> None:
        self._first_ns = min(
            (line.first_ns for line in self._lines.values() if line.first_ns is not None), default=None
        )

    @property
    def _last_ns(self) -> int | None:
        return max((line.last_ns for line in self._lines.values() if line.last_ns is not None), default=None)

    def put(self, frame: Frame) -> bool:
        """Queue a frame; false when a batch has closed its time, so that it is late."""
        if frame.time_ns < self.end_ns:
            return False
        self._lines[frame.stream].put(frame)
        if self._first_ns is None or frame.time_ns < self._first_ns:
            self._first_ns = frame.time_ns
        return True

    def pause(self, stream: str) -> None:
        """The stream's frames do not come any more, for a while or for ever."""
        self._lines[stream].pause()

    def restart(self, epoch: int, start_ns: int) -> None:
        """A new epoch: numbers begin again. The next window begins at ``start_ns``, which may be an earlier time."""
        self.epoch, self.seq = epoch, 0
        self.end_ns = self._decided_ns = start_ns
        self._lines = {name: StreamQueue() for name in self.rules.streams}
        self._first_ns = self._driver = self._leaving = None

    def reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Other streams or bounds from the next batch on; returns what streams that left had queued."""
        gone = [self._lines.pop(name) for name in self.rules.streams if name not in rules.streams]
        self._lines = {name: self._lines.get(name) or StreamQueue() for name in rules.streams}
        self._leaving = None
        if self._driver not in rules.streams:
            self._driver = None
        self._adopt(rules)
        self._find_first()
        return [frame for line in gone for frame in line.discard()]

    def decide(self) -> None:
        """Something was told: look at one reference after the other, until one has a set or its time has not come."""
        while self._leaving is None:
            driver, reference = self._next()
            first_ns = self._first_ns
            if self._is_patient and first_ns is not None:
                past_ns = first_ns + max(self.rules.max_latency_ns, self.rules.max_skew_ns)
                if reference is None or past_ns < reference:
                    self._leaving = _Leaving(first_ns + 1, {}) if self._is_past(past_ns) else None
                    return
            if driver is None or reference is None or not self._is_heard(reference):
                return
            self._try(driver, reference)

    def _next(self, *, is_forced: bool = False) -> tuple[str | None, int | None]:
        """The stream that drives, and the next reference."""
        driver = self._lead(is_forced=is_forced)
        return driver, None if driver is None else self._reference_of(driver)

    def close(self, reason: Reason) -> FrameBatch:
        """Make the batch that was decided or, at its deadline, of what there is."""
        return self._close(self._leaving or self._forced(), reason)

    def close_last(self, reason: Reason, until_ns: int) -> FrameBatch:
        """Nothing more will come: make the next set's batch or, after the last, one of the rest, up to ``until_ns``."""
        while self._leaving is None:
            driver, reference = self._next(is_forced=True)
            if driver is None or reference is None:
                last_ns = self._last_ns
                self._leaving = _Leaving(until_ns if last_ns is None else max(last_ns + 1, until_ns), {})
            else:
                self._try(driver, reference)
        return self._close(self._leaving, reason)

    def _try(self, driver: str, reference: int) -> None:
        chosen = self._set_of(driver, reference)
        if len(chosen) > 1:
            self._leaving = _Leaving(reference + 1, chosen)
        else:
            self._advance(reference + 1)

    def _advance(self, decided_ns: int) -> None:
        """Everything before ``decided_ns`` is decided for all: consider who drives."""
        if decided_ns > self._decided_ns:
            self._decided_ns = decided_ns
            self._driver = self._choose(self._driver, self._candidates())

    def _forced(self) -> _Leaving:
        """The oldest frame must leave: with a set that wants it, else without one; or a second was silent."""
        first_ns = self._first_ns
        if first_ns is None or first_ns >= self.end_ns + SILENCE_NS:
            return _Leaving(self.end_ns + SILENCE_NS, {})
        driver, reference = self._next(is_forced=True)
        if driver is not None and reference is not None:
            chosen = self._set_of(driver, reference)
            if len(chosen) > 1 and min(frame.time_ns for frame in chosen.values()) <= first_ns:
                return _Leaving(reference + 1, chosen)
        return _Leaving(first_ns + 1, {})

    def _close(self, leaving: _Leaving, reason: Reason) -> FrameBatch:
        start_ns, (self.end_ns, chosen) = self.end_ns, leaving
        frames: dict[str, list[Frame]] = {}
        for name, line in self._lines.items():
            frames[name] = line.take(self.end_ns, chosen.get(name))
            line.forget(self.end_ns - SILENCE_NS, self.end_ns)
        reasons = {name: reason(name, self.end_ns - 1, bool(some)) for name, some in frames.items()}
        self._leaving = None
        self._find_first()
        self._advance(self.end_ns)
        return self._make((start_ns, self.end_ns), reasons, frames, [chosen])

    # Who drives.

    def _lead(self, *, is_forced: bool = False) -> str | None:
        """The stream whose next frame is the next reference.

        When a frame must leave, a driver that has said nothing until then is replaced by one that has.
        """
        if self.rules.reference is not None:
            return self.rules.reference
        driver = self._driver
        if driver is not None and driver not in self._doubtful and self._may_drive(driver, is_forced=is_forced):
            return driver
        candidates = self._candidates(is_forced=is_forced)
        if candidates and driver not in candidates:
            self._driver = self._choose(None, candidates, is_forced=is_forced)
        return self._driver if is_forced or self._driver in candidates else None

    def _candidates(self, *, is_forced: bool = False) -> list[str]:
        """Those that may drive: of the trusted streams if there are any."""
        able = [name for name in self.rules.streams if self._may_drive(name, is_forced=is_forced)]
        return [name for name in self._trusted() if name in able] or able

    def _may_drive(self, name: str, *, is_forced: bool) -> bool:
        """Whether it has a reference to give or, unless it is urgent, may soon have one."""
        if self._reference_of(name) is not None:
            return True
        return not is_forced and self._watermarks[name].is_live and self._watermarks[name].passed(self.end_ns - 1)

    def _choose(self, current: str | None, candidates: list[str], *, is_forced: bool = False) -> str | None:
        """Who drives by the frames of the last second that is decided."""
        start_ns = self._decided_ns - SILENCE_NS
        counts = {name: self._lines[name].count(start_ns, self._decided_ns) for name in candidates}
        if not any(counts.values()):
            return current if current in candidates else self._first_to_come(candidates, is_forced=is_forced)
        return self._policy.driver(counts, current, [name for name in counts if self._lines[name].is_steady(start_ns)])

    def _reference_of(self, name: str) -> int | None:
        """The stream's next reference; what was decided over is none any more, whoever drove."""
        return self._lines[name].waiting_from(self._decided_ns)

    def _first_to_come(self, candidates: list[str], *, is_forced: bool) -> str | None:
        """Who drives where nothing is known of the last second: it must not depend on whose frames come first.

        So the first set of all waits for those that are starting too: recordings begin together.
        """
        silent = [name for name, line in self._lines.items() if line.first_ns is None]
        if not is_forced and any(
            self._is_awaited(name) or self._watermarks[name].state is StreamState.STARTING for name in silent
        ):
            return None
        return next((name for name in candidates if self._reference_of(name) is not None), None)

    # What belongs together.

    def _is_heard(self, reference: int) -> bool:
        """Whether every stream that is waited for was heard up to the reference.

        One whose frames wait for their stamps says only after when they were taken: then it is heard when none of them
        can be in reach.
        """
        beyond = reference + self.rules.max_skew_ns + 1
        return all(
            line.reached(reference) is not None or not self._is_awaited(name) or self._watermarks[name].passed(beyond)
            for name, line in self._lines.items()
        )

    def _is_awaited(self, name: str) -> bool:
        return self._watermarks[name].is_awaited(patient=self._is_patient)

    def _is_past(self, time_ns: int) -> bool:
        """Whether everybody was heard up to then, and somebody took a picture since."""
        has_come = any(line.reached(time_ns) is not None for line in self._lines.values())
        return has_come and all(stream.passed(time_ns) for stream in self._watermarks.values())

    def _set_of(self, driver: str, reference: int) -> dict[str, Frame]:
        """The set of a reference; that frame alone where there is none.

        Frames before an earlier reference without a set are out of reach: else it would have one. That one itself is
        left alone too, whoever drives now.
        """
        start_ns = self._decided_ns
        waiting = {
            name: line.between(start_ns, line.reached(reference) or reference) for name, line in self._lines.items()
        }
        trusted = self._trusted()
        leading = trusted if driver in trusted else [name for name in waiting if name in self._doubtful]
        policy, times = self._policy, {name: list(waiting[name]) for name in leading}
        others = {name: some for name, some in times.items() if name != driver}
        partners = policy.best(others, reference)
        if max(partners.values(), default=reference) > reference:  # frames before it are nobody else's
            claimed = claims(self._lines, policy, driver, reference, times)
            if not claimed.isdisjoint(partners.items()):
                left = {name: [time for time in some if (name, time) not in claimed] for name, some in others.items()}
                partners = policy.best(left, reference)
        chosen = {driver: reference, **partners}
        for name in self.rules.streams:
            if name not in leading:
                span = Span(reference, min(chosen.values()), max(chosen.values()))
                [time] = attach([span], list(waiting[name]), self.rules.max_skew_ns)
                if time is not None:
                    chosen[name] = time
        return {name: waiting[name][time] for name, time in chosen.items()}
