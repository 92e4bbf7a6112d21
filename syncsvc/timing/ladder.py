"""Which clock a frame is stamped by: the best rung whose gate is open, changed only on a window's edge.

Every rung turns an observation into a UTC time and an honest ± (``rungs``). Frames at the start of a session are held
for a better rung as long as the latency budget allows, and stamped retroactively. While a better clock of a camera is
believed, it teaches the clock model the camera's constant latency, so that a demoted stream keeps its times.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from syncsvc.clock import NS_PER_S
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.camera_rungs import MediaRung, SenderReportRung
from syncsvc.timing.lone import LoneTimes
from syncsvc.timing.rungs import ArrivalRung, KernelRung, ModelRung, RecordedRung, Rung
from syncsvc.timing.utc import JUMP_NS, ToUtc

SHARE = 8
"""A frame that must stay before an edge takes this part of the time left: 40 ms have room for over a hundred."""
FUTURE_NS = NS_PER_S
"""A stamp further after its frame's arrival is no time at all: it would hold back the stream's times until then."""
FAR_EDGES = 2
"""A clock that lags by more windows is not changed to: until it caught up, nothing could be told apart."""
FORGIVEN_NS = 60 * NS_PER_S
"""A clock that was caught lying in an earlier session and has said nothing for so long was switched off."""
TEACH_EVERY, LESSONS = 8, 32
"""Every so many frames the model is taught the latency, which is the mean of about so many lessons: ten seconds."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An observation and the conclusion drawn from it; all times UTC nanoseconds."""

    observation: Observation
    time_ns: int
    uncertainty_ns: int
    clock: ClockClass
    arrival_ns: int


class Standing(NamedTuple):
    """What others want to know of a stream's clock."""

    clock: ClockClass | None
    """The rung in use; None while frames are held for a better one."""
    is_doubtful: bool
    """Whether it was caught lying and its stamps are a guess now: it must not lead others."""
    lies: tuple[ClockClass, ...]
    """The rungs above the one in use that evidence refuses, or refused in an earlier session."""


def rungs_for(clock: str, kind: str, latency_ns: int | None, to_utc: ToUtc) -> list[Rung]:
    """The ladder of one stream, best rung first; ``arrival`` always stands at the foot.

    Args:
        clock: the configured clock: ``auto``, ``rtcp``, ``model``, ``pts`` or ``arrival``.
        kind: of the source: ``rtsp``, ``http``, ``file``, ``v4l2`` or ``synthetic``.
        latency_ns: configured constant latency, subtracted from modelled and arrival stamps only; None where nobody
            said what it is.
        to_utc: maps CLOCK_MONOTONIC to UTC.
    """
    rungs: list[Rung] = []
    model = ModelRung(latency_ns, to_utc)
    if clock not in ("arrival", "model"):
        if kind in ("file", "synthetic"):
            rungs.append(RecordedRung())
        if kind == "rtsp":
            rungs.append(SenderReportRung(latency_ns, to_utc, model, is_vouched=clock == "rtcp"))
        if kind == "v4l2":
            rungs.append(KernelRung(to_utc))
        if kind in ("rtsp", "http") and clock == "auto":
            rungs.append(MediaRung(latency_ns))
    if clock != "arrival" and (clock == "model" or kind in ("rtsp", "http", "v4l2")):
        rungs.append(model)
    return [*rungs, ArrivalRung(latency_ns)]


class StreamClock:
    """One stream's capture times: rising with ``seq``, each with its rung; pure.

    Guarantees: ``time_ns`` rises strictly; the rung changes only where ``time_ns`` passes a multiple of ``edge_ns`` or
    with a new session; nothing is held longer than ``hold_ns`` after its arrival. After a jump of the host's clock
    times may go back with it, and the best rung speaks at once.
    """

    def __init__(
        self, make_rungs: Callable[[], list[Rung]], *, hold_ns: int, edge_ns: int, to_utc: ToUtc, source: str = ""
    ) -> None:
        self._source = source
        self._make_rungs, self.hold_ns, self.edge_ns, self._to_utc = make_rungs, hold_ns, edge_ns, to_utc
        self._stand_on(make_rungs())
        self._current: Rung | None = None
        self._held: deque[Observation] = deque()
        self._last: Stamp | None = None
        self._edge: int | None = None
        self._utc_less_mono_ns: int | None = None
        self._learnt: tuple[int, int] | None = None
        self._lessons = 0
        self._caught: set[ClockClass] = set()
        self._session_mono_ns: int | None = None
        self._is_replaced = False
        self._lone = LoneTimes()

    def tune(self, make_rungs: Callable[[], list[Rung]], hold_ns: int, edge_ns: int, source: str = "") -> None:
        """Other settings: the ladder from the next session on, the rest at once.

        Where ``source`` is another one, what was learnt of the one before is void from the next session on.
        """
        self._is_replaced, self._source = self._is_replaced or source != self._source, source
        self._make_rungs, self.hold_ns, self.edge_ns = make_rungs, hold_ns, edge_ns

    @property
    def clock(self) -> ClockClass | None:
        """The rung in use; None while frames are held for a better one."""
        return self._current.clock if self._current else None

    @property
    def problems(self) -> dict[str, str]:
        """Why each rung above the one in use does not speak."""
        return {rung.clock: rung.problem for rung in self._above()}

    @property
    def standing(self) -> Standing:
        """All that others want to know of it after every frame."""
        current = self._current
        lies = tuple(rung.clock for rung in self._above() if rung.is_lying or rung.clock in self._caught)
        is_guess = current is self.rungs[-1] or (isinstance(current, ModelRung) and not current.is_calibrated)
        return Standing(self.clock, is_guess and bool(lies), lies)

    @property
    def drift_ppm(self) -> float | None:
        """Rate of the source's pts against the host, as modelled; None where there is no model."""
        model = self._model
        return model.model.drift_ppm if model and model.is_settled else None

    @property
    def is_holding(self) -> bool:
        """Whether frames wait for a better stamp."""
        return bool(self._held)

    @property
    def held_since_ns(self) -> int | None:
        """Arrival (UTC) of the oldest frame that waits for a better stamp."""
        return self._to_utc(self._held[0].arrival_mono_ns) if self._held else None

    def new_session(self) -> list[Stamp]:
        """The source was opened anew: what was learnt of its clocks is void; returns what was still held."""
        stamps, before = self.settle(), self._model
        self._stand_on(self._make_rungs())
        self._current = self._edge = self._session_mono_ns = None
        self._lone = LoneTimes()
        after = self._model
        if self._is_replaced:
            self._is_replaced, self._learnt, self._lessons, before = False, None, 0, None
            self._caught.clear()
        if before is not None and after is not None:
            after.take_over(before)
        if after is not None and self._learnt is not None:
            after.learnt_ns, after.learnt_doubt_ns = self._learnt
        return stamps

    def observe(self, seen: Observation) -> list[Stamp]:
        """Take one observation in; returns the frames that have a time now, in order."""
        arrival_ns = self._to_utc(seen.arrival_mono_ns)
        if self._session_mono_ns is None:
            self._session_mono_ns = seen.arrival_mono_ns
        has_jumped = self._notice_jump(arrival_ns - seen.arrival_mono_ns)
        seen, lessons, doubt_ns = self._lone.judge(seen) if self._model is not None else (seen, [seen], 0)
        for lesson in lessons:
            self._learn(lesson, self._session_mono_ns)
        if self._current is None:
            self._held.append(seen)
            top = next(rung for rung in self.rungs if not rung.is_lying)
            return self.settle() if top.is_settled else self.expire(arrival_ns)
        if has_jumped:
            self._current = self._best()
        stamp = self._stamp(seen, arrival_ns)
        return [replace(stamp, uncertainty_ns=stamp.uncertainty_ns + doubt_ns) if doubt_ns else stamp]

    def _learn(self, seen: Observation, session_mono_ns: int) -> None:
        """Feed every rung, whether it is in use or not."""
        arrival_ns = self._to_utc(seen.arrival_mono_ns)
        for rung in self.rungs:
            rung.feed(seen, arrival_ns)
            if rung.is_lying:
                self._caught.add(rung.clock)
            elif rung.is_open or seen.arrival_mono_ns - session_mono_ns > FORGIVEN_NS:
                self._caught.discard(rung.clock)
        self._teach(seen, arrival_ns)

    def expire(self, now_utc_ns: int) -> list[Stamp]:
        """Stamp what was held for as long as the latency budget allows, by the best rung there is."""
        if self._held and now_utc_ns - self._to_utc(self._held[0].arrival_mono_ns) >= self.hold_ns:
            return self.settle()
        return []

    def settle(self) -> list[Stamp]:
        """Stamp what is held by the best rung there is: nobody waits for a better word."""
        if self._current is None:
            self._current = self._best()
        held, doubt_ns = _with_first_pts(list(self._held))
        self._held.clear()
        stamps = [self._stamp(seen, self._to_utc(seen.arrival_mono_ns)) for seen in held]
        if doubt_ns:
            stamps[0] = replace(stamps[0], uncertainty_ns=stamps[0].uncertainty_ns + doubt_ns)
        return stamps

    def _notice_jump(self, utc_less_mono_ns: int) -> bool:
        before, self._utc_less_mono_ns = self._utc_less_mono_ns, utc_less_mono_ns
        if before is None or abs(utc_less_mono_ns - before) <= JUMP_NS // 2:
            return False
        for rung in self.rungs:
            rung.host_jumped()
        self._edge = self._last = None
        return True

    def _teach(self, seen: Observation, arrival_ns: int) -> None:
        """Let the camera's own clock, while it is in use, show the model the latency that no model can see."""
        model, own = self._model, self._current
        if model is None or seen.seq % TEACH_EVERY:
            return
        model.step_doubt_ns = sum([rung.map.step_doubt_ns for rung in self.rungs if isinstance(rung, SenderReportRung)])
        if own is None or own in (model, self.rungs[-1]):  # the model's own times must not jump
            return
        if own.is_open and model.is_settled and seen.pts_ns is not None and (value := own.stamp(seen, arrival_ns)):
            latency_ns = model.earliest_ns(seen.pts_ns) - value[0]
            before_ns, self._lessons = (self._learnt or (latency_ns, 0))[0], min(LESSONS, self._lessons + 1)
            self._learnt = before_ns + (latency_ns - before_ns) // self._lessons, value[1]
            model.learnt_ns, model.learnt_doubt_ns = self._learnt

    def _stand_on(self, rungs: list[Rung]) -> None:
        self.rungs = rungs
        self._model = next((rung for rung in rungs if isinstance(rung, ModelRung)), None)

    def _above(self) -> list[Rung]:
        place = self.rungs.index(self._current) if self._current in self.rungs else len(self.rungs)
        return [rung for rung in self.rungs[:place] if rung.problem]

    def _best(self) -> Rung:
        return next(rung for rung in self.rungs if rung.is_open)  # the foot of the ladder always is

    def _stamp(self, seen: Observation, arrival_ns: int) -> Stamp:
        assert self._current is not None
        next_ns = self._consider_change(seen, arrival_ns)
        rung, foot = self._current, self.rungs[-1]
        if self._edge is not None and not rung.is_open:
            value = self._coast(seen, arrival_ns)
        else:
            value = rung.stamp(seen, arrival_ns)
        if value is not None and value[0] - arrival_ns > FUTURE_NS and not isinstance(rung, RecordedRung):
            value = None  # no picture arrives before it is taken: its pts stepped while it was held, or are garbage
        if value is None:  # the frame lacks what the rung reads, e.g. a pts: the foot of the ladder always speaks
            rung, value = foot, foot.stamp(seen, arrival_ns)
            assert value is not None
        told_ns, uncertainty_ns = value
        time_ns, last_ns = told_ns, self._last.time_ns if self._last else 0
        if self._edge is not None and time_ns >= self._edge:  # the next rung lags behind: wait for it before the edge
            time_ns = next_ns if next_ns > last_ns else last_ns + (self._edge - last_ns) // SHARE
        time_ns = max(time_ns, last_ns + 1)
        self._last = Stamp(seen, time_ns, uncertainty_ns + abs(time_ns - told_ns), rung.clock, arrival_ns)
        return self._last

    def _coast(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The clock in use lies: until the edge, time passes as pts say, or arrivals where pts lie too."""
        last, model, foot = self._last, self._model, self.rungs[-1].stamp(seen, arrival_ns)
        if last is None or foot is None:
            return foot
        before = last.observation
        if model and model.is_open and seen.pts_ns is not None and before.pts_ns is not None:
            return last.time_ns + seen.pts_ns - before.pts_ns, last.uncertainty_ns
        return last.time_ns + arrival_ns - last.arrival_ns, foot[1]

    def _consider_change(self, seen: Observation, arrival_ns: int) -> int:
        """Change to the best rung where it has passed the edge; until then, what it says of this frame (0: nothing)."""
        best = self._best()
        if best is self._current:
            self._edge = None
            return 0
        value = best.stamp(seen, arrival_ns)
        last_ns = self._last.time_ns if self._last else 0
        is_far = value is not None and last_ns - value[0] > FAR_EDGES * self.edge_ns
        if is_far and self._current is not None and self._current.is_open:
            self._edge = None
            return 0
        if self._edge is None:
            self._edge = (last_ns // self.edge_ns + 1) * self.edge_ns
        if value is None or value[0] < self._edge:
            return value[0] if value else 0
        self._current, self._edge = best, None
        return 0


def _with_first_pts(held: list[Observation]) -> tuple[list[Observation], int]:
    """The first picture of an RTSP session comes without a pts (libavformat): give it the one that it must have had.

    Exactly, where a sender report came before it and so it has an NTP time; else as far before the second picture as
    that is before the third, and in doubt by as much.

    Returns:
        The observations, and the doubt about the first one's pts in nanoseconds.
    """
    if len(held) < 2:
        return held, 0
    first, second, *later = held
    if first.pts_ns is not None or second.pts_ns is None:
        return held, 0
    if first.ntp_ns is not None and second.ntp_ns is not None and first.ntp_ns < second.ntp_ns:
        back_ns, doubt_ns = second.ntp_ns - first.ntp_ns, 0
    elif later and later[0].pts_ns is not None and later[0].pts_ns > second.pts_ns:
        back_ns = doubt_ns = later[0].pts_ns - second.pts_ns
    else:
        return held, 0
    return [replace(first, pts_ns=second.pts_ns - back_ns), second, *later], doubt_ns
