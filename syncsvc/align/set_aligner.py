"""One batch per set, as soon as nothing that is still to come could change the set: pure, no clock, no thread.

Batches tile the time line: ``window = [end of the previous batch's, reference time + 1 ns)``. Each carries its set and
every frame captured before the window's end that is in no set; a partner after the reference travels with it.

When a set is decided. Take a reference at ``r``, and of another stream two frames ``x < y <= r``. In a set that has
``x``, ``y`` may stand for it and the spread is no wider: the earliest frame gets no earlier, and the latest is at ``r``
or after it. In the same way the first frame at or after ``r`` may stand for any later one. So of each other stream two
frames matter, the last unused one before ``r`` and the first at or after it, and both are here once the stream was
heard up to ``r``: the group waits no longer. (Where ``x`` gives the same spread as ``y`` the earliest is taken; it is
here too.) It does not even wait so long for a stream whose pace says that no frame of it can be in reach.

Which set that is. The oldest frame that waits is in the next set, or in none. What is here is paired as a window's
frames are, together with the next ones as far as they are foreseen (``foresight``): so later sets keep what they need.
The set of the oldest frame leaves as soon as everybody was heard up to its reference.

Guarantees (each has a property test):

* windows tile, in the order of the references; ``seq`` rises by one; a batch has at most one set;
* every frame that was put is delivered in exactly one batch, or was refused as late, or is counted as dropped;
* a set has at least ``min_streams`` frames and spreads ``max_skew_ns`` at most; sets never cross; with a configured
  reference, each set has a frame of it;
* where references contest no frame the sets are those of one window over everything;
* the sets, less the frames of doubtful streams, are those of a group that never had these streams;
* ``captured = delivered + late + dropped`` in every batch, for every stream;
* the outcome depends on stamps, not on the order of arrival within the lateness: the same events give the same batches.
  (A frame that comes sooner than its stream's pace allows may be late.)
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from syncsvc.align.batches import BatchMaker, Reason
from syncsvc.align.foresight import Foreseen, foresee
from syncsvc.align.stream_queue import StreamQueue
from syncsvc.align.watermark import StreamWatermark
from syncsvc.clock import NS_PER_S
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.policy import Fixed, SetPolicy, Window

_time_of = itemgetter(1)
SILENCE_NS = NS_PER_S
"""Length of an empty batch's window, where everything is silent; and of the time that tells who leads."""


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
        self._leader: str | None = None
        self._counts: Mapping[str, int] = {}
        """Frames of the last second that is decided."""
        self._used: dict[str, int] = {}
        """Of each stream the last time that a set used."""
        self._raised: dict[int, int] = {}
        """Of the oldest frame, up to when everybody is to be heard, as far as that is known."""
        self._leaving: _Leaving | None = None
        self._unheard = ""
        """The stream that was waited for when somebody was last."""

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
            self._lines[frame.stream].note(frame.time_ns)
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
        self._first_ns = self._leader = self._leaving = None
        self._used, self._counts, self._raised = {}, {}, {}

    def reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Other streams or bounds from the next batch on; returns what streams that left had queued."""
        gone = [self._lines.pop(name) for name in self.rules.streams if name not in rules.streams]
        self._lines = {name: self._lines.get(name) or StreamQueue() for name in rules.streams}
        self._leaving = None
        if self._leader not in rules.streams:
            self._leader = None
        self._adopt(rules)
        self._find_first()
        return [frame for line in gone for frame in line.discard()]

    def decide(self) -> None:
        """Something was told: look at one frame after the other, until there is a set or its time has not come."""
        while self._leaving is None and (first_ns := self._first_ns) is not None:
            if len(self.rules.streams) == 1:
                self._leaving = _Leaving(first_ns + 1, {})
                return
            oldest = self._oldest()
            if self._is_patient:
                past_ns = first_ns + max(self.rules.max_latency_ns, self.rules.max_skew_ns)
                if oldest is None or past_ns < oldest[1]:
                    self._leaving = _Leaving(first_ns + 1, {}) if self._is_past(past_ns) else None
                    return
            if oldest is None or self._is_beginning() or (found := self._set_of(*oldest)) is None:
                return
            self._settle(found)

    def _settle(self, found: _Leaving) -> None:
        """A set leaves; the next frame is looked at where there was none."""
        if found.chosen:
            self._leaving = found
        else:
            self._advance(found.end_ns)

    def close(self, reason: Reason) -> FrameBatch:
        """Make the batch that was decided or, at its deadline, of what there is."""
        return self._close(self._leaving or self._forced(), reason)

    def close_last(self, reason: Reason, until_ns: int) -> FrameBatch:
        """Nothing more will come: make the next set's batch or, after the last, one of the rest, up to ``until_ns``."""
        while self._leaving is None:
            if (found := self._set_of_oldest()) is not None:
                self._settle(found)
            else:
                last_ns = self._last_ns
                self._leaving = _Leaving(until_ns if last_ns is None else max(last_ns + 1, until_ns), {})
        return self._close(self._leaving, reason)

    def _forced(self) -> _Leaving:
        """The oldest frame must leave: with a set that wants it, else without one; or a second was silent."""
        first_ns = self._first_ns
        if first_ns is None or first_ns >= self.end_ns + SILENCE_NS:
            return _Leaving(self.end_ns + SILENCE_NS, {})
        found = self._set_of_oldest()
        if found is not None and any(frame.time_ns <= first_ns for frame in found.chosen.values()):
            return found
        return _Leaving(first_ns + 1, {})

    def _set_of_oldest(self) -> _Leaving | None:
        """What comes of the oldest frame, if nobody is waited for; None where nothing is left."""
        oldest = self._oldest(is_forced=True)
        return None if oldest is None else self._set_of(*oldest, is_forced=True)

    def _close(self, leaving: _Leaving, reason: Reason) -> FrameBatch:
        start_ns, (self.end_ns, chosen) = self.end_ns, leaving
        frames: dict[str, list[Frame]] = {}
        for name, line in self._lines.items():
            frames[name] = line.take(self.end_ns, chosen.get(name))
            line.forget(self.end_ns - SILENCE_NS, self.end_ns)
        self._used |= {name: frame.time_ns for name, frame in chosen.items()}
        last_ns = self.end_ns - 1
        reasons = {
            name: reason(name, last_ns, bool(some), self._lines[name].is_quiet(last_ns))
            for name, some in frames.items()
        }
        self._leaving = None
        self._find_first()
        self._advance(self.end_ns)
        return self._make((start_ns, self.end_ns), reasons, frames, [chosen])

    # Whose frames are looked at.

    def _advance(self, decided_ns: int) -> None:
        """Everything before ``decided_ns`` is decided for all: consider who leads, by the frames of the last second."""
        if decided_ns <= self._decided_ns:
            return
        self._decided_ns, start_ns = decided_ns, decided_ns - SILENCE_NS
        self._counts = {name: line.count(start_ns, decided_ns) for name, line in self._lines.items()}
        counts = {name: self._counts[name] for name in self._trusted()}
        if not any(counts.values()):
            counts = self._counts
        if any(counts.values()):
            steady = [name for name in counts if self._lines[name].is_steady(start_ns)]
            self._leader = self._policy.leader(counts, self._leader, steady)

    def _oldest(self, *, is_forced: bool = False) -> tuple[str, int] | None:
        """The next frame to look at: its stream and time. What was decided over is looked at no more.

        Looked at are those of the reference, else of the trusted streams if there are any: if one of them has a frame
        or, unless it is urgent, may soon have one.
        """
        decided_ns, reference = self._decided_ns, self.rules.reference
        leading = self._trusted() if reference is None else [reference]
        waiting = self._waiting(leading, decided_ns)
        if not waiting and reference is None and (is_forced or not any(map(self._may_come, leading))):
            waiting = self._waiting(self.rules.streams, decided_ns)
        return min(waiting, key=_time_of, default=None)

    def _waiting(self, names: Sequence[str], time_ns: int) -> list[tuple[str, int]]:
        """Those of these streams that have a frame from then on, each with the time of the first."""
        lines = self._lines
        return [(name, time) for name in names if (time := lines[name].waiting_from(time_ns)) is not None]

    def _may_come(self, name: str) -> bool:
        return self._watermarks[name].is_live and self._watermarks[name].passed(self.end_ns - 1)

    def _is_beginning(self) -> bool:
        """Whether nothing is known of the last second, and somebody is to come: it must not matter who is first.

        So the first set of all waits for those that are starting too: recordings begin together.
        """
        if self.rules.reference is not None or self._leader is not None:
            return False
        silent = [name for name, line in self._lines.items() if line.first_ns is None]
        return any(self._is_awaited(name) or self._watermarks[name].state is StreamState.STARTING for name in silent)

    # Who was heard.

    def _is_heard(self, time_ns: int) -> bool:
        """Whether every stream that is waited for was heard up to then, as far as it matters.

        One whose frames wait for their stamps says only after when they were taken: then it is heard when none of them
        can be in reach.
        """
        if self._unheard in self._lines and not self._is_heard_from(self._unheard, time_ns):
            return False  # every frame that comes asks, and it is one stream that all the others wait for
        self._unheard = next((name for name in self._lines if not self._is_heard_from(name, time_ns)), "")
        return not self._unheard

    def _is_heard_from(self, name: str, time_ns: int) -> bool:
        skew_ns = self.rules.max_skew_ns
        return (
            self._lines[name].known(time_ns, skew_ns) is not None
            or not self._is_awaited(name)
            or self._watermarks[name].passed(time_ns + skew_ns + 1)
        )

    def _is_awaited(self, name: str) -> bool:
        return self._watermarks[name].is_awaited(patient=self._is_patient)

    def _is_past(self, time_ns: int) -> bool:
        """Whether everybody was heard up to then, and somebody took a picture since."""
        has_come = any(line.reached(time_ns) is not None for line in self._lines.values())
        return has_come and all(stream.passed(time_ns) for stream in self._watermarks.values())

    # What belongs together.

    def _set_of(self, name: str, time_ns: int, *, is_forced: bool = False) -> _Leaving | None:
        """The set of the oldest frame; without a set, where there is none; None while that is not known.

        It is known when everybody was heard up to the reference. Which frame that is depends on what was heard: so it
        is supposed to be the first driver's in reach, and looked at again where it is a later one.
        """
        raised_ns = self._raised.get(time_ns)
        if not is_forced and not self._is_heard(raised_ns or time_ns):
            return None
        trusted = self._trusted()
        leading = trusted if name in trusted else [other for other in self.rules.streams if other in self._doubtful]
        heard_ns = raised_ns or self._supposed(time_ns, leading)
        while is_forced or self._is_heard(heard_ns):
            found = next((one for one in self._paired(time_ns, heard_ns, leading) if _has(one, name, time_ns)), None)
            if found is None:
                return _Leaving(time_ns + 1, {})
            chosen = {name: frame for name, frame in found.frames.items() if isinstance(frame, Frame)}
            unseen = (frame.time_ns for frame in found.frames.values() if isinstance(frame, Foreseen))
            until_ns = max([found.reference_ns, *unseen])
            if until_ns <= heard_ns:
                return _Leaving(found.reference_ns + 1, chosen)
            heard_ns = until_ns
        self._raised = {time_ns: heard_ns}
        return None

    def _supposed(self, time_ns: int, leading: Sequence[str]) -> int:
        """The reference of the oldest frame's set, if that is the set of the first driver in its reach."""
        if self.rules.reference is not None:
            return time_ns
        for name in sorted(leading, key=lambda name: (name != self._leader, self._counts.get(name, 0))):
            line = self._lines[name]
            known_ns = line.known(time_ns, self.rules.max_skew_ns)
            if known_ns is not None and time_ns <= known_ns <= time_ns + self.rules.max_skew_ns:
                return known_ns
        return time_ns

    def _paired(self, time_ns: int, heard_ns: int, leading: Sequence[str]) -> Sequence[Fixed[Frame | Foreseen]]:
        """The sets with frames up to ``time_ns``, by what waits and what is foreseen where all were heard so far."""
        known = {name: line.known(heard_ns, self.rules.max_skew_ns) for name, line in self._lines.items()}
        heard = {name: time for name in leading if (time := known[name]) is not None}
        horizon_ns, coming = foresee(self._lines, heard, heard_ns, self.rules.max_skew_ns)
        frames: dict[str, list[Frame | Foreseen]] = {
            name: [*line.between(self._decided_ns, known[name] or heard_ns), *coming.get(name, ())]
            for name, line in self._lines.items()
        }
        counts = {name: max(self._counts.get(name, 0), bool(some)) for name, some in frames.items()}
        doubtful, leader = frozenset(self._doubtful), self._leader
        return self._policy.sets(
            Window(self._decided_ns, time_ns + 1, horizon_ns, frames, counts, self._used, doubtful, leader)
        )


def _has(one: Fixed[Frame | Foreseen], name: str, time_ns: int) -> bool:
    return name in one.frames and one.frames[name].time_ns == time_ns
