"""Lets every rule loose on the same frames, simulated or seen, and scores what each makes of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from syncsvc.bench import rules
from syncsvc.bench.rules import Rule, RuleSet, Stamped
from syncsvc.bench.scenarios import Case
from syncsvc.bench.score import Errors, Judge, Score
from syncsvc.bench.simulated_cameras import UTC_NS, Sighting
from syncsvc.bench.simulated_service import WINDOW_NS, SimulatedRun, serve, sight, true_ns
from syncsvc.clock import NS_PER_S
from syncsvc.demo.comparison import Truth, readable, sets_in, truth_of
from syncsvc.demo.history import History
from syncsvc.pairing.policy import Window

OURS: Final = "syncsvc"
ORACLE: Final = "oracle"
WARM_UP_S: Final = 10.0
"""What the first seconds bring is not judged: a clock model needs them."""
TAIL_S: Final = 1.5
"""Nor what may be cut off by the end."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A frame that reached us: when it was truly taken, when it came, the camera's NTP time if any; UTC nanoseconds."""

    number: int
    taken_ns: int
    arrival_ns: int
    ntp_ns: int | None


@dataclass(frozen=True, slots=True)
class Contestant:
    """A rule and the stamps that it is given: when frames came, the camera's NTP times, or the true times."""

    name: str
    stamp_ns: Callable[[_Known], int | None]
    make_rule: Callable[[int], Rule]


_ARRIVAL, _NTP, _TRUE = attrgetter("arrival_ns"), attrgetter("ntp_ns"), attrgetter("taken_ns")
CONTESTANTS: Final = (
    Contestant("arrival+position", _ARRIVAL, rules.SecondAndPosition),
    Contestant("true+position", _TRUE, rules.SecondAndPosition),
    Contestant("arrival+nearest", _ARRIVAL, rules.NearestToReference),
    Contestant("arrival+ROS", _ARRIVAL, rules.ApproximateTime),
    Contestant("NTP+ROS", _NTP, rules.ApproximateTime),
    Contestant("NTP+savant", _NTP, rules.SavantWindow),
)
NAMES: Final = (*(contestant.name for contestant in CONTESTANTS), OURS, ORACLE)


@dataclass(frozen=True, slots=True)
class TournamentResult:
    """The scores by rule; one that lacks its stamps is left out. ``served`` is what the service did, if simulated."""

    scores: Mapping[str, Score]
    judge: Judge
    served: SimulatedRun | None = None


_Frames = Mapping[str, Sequence[_Known]]


def contest(case: Case, others: Sequence[Contestant] = CONTESTANTS) -> TournamentResult:
    """Run a simulated case: the service's classes, and ``others`` on the same observations."""
    setup = case.setup
    sightings = sight(setup.cameras, setup.seconds)
    served = serve(setup, sightings)
    frames = {  # what the others see is a host whose clock nobody sets
        name: [_Known(one.seen.seq, one.taken_ns, true_ns(one.seen.arrival_mono_ns), one.seen.ntp_ns) for one in some]
        for name, some in sightings.items()
    }
    truth = Truth(
        {name: {frame.number: frame.taken_ns for frame in some} for name, some in frames.items()},
        setup.rules.max_skew_ns,
        WINDOW_NS,
        UTC_NS + round(WARM_UP_S * NS_PER_S),
        UTC_NS + round((setup.seconds - TAIL_S) * NS_PER_S),
    )
    judge = Judge(truth, case.honest)
    scores = _scores(others, judge, frames, served.sets(), _served_errors(truth, served))
    if case.guest is not None:
        apart = _apart(case, others, judge, frames, sightings)
        together = _sets(others, judge, frames) | {OURS: served.sets(), ORACLE: judge.oracle_as_sets()}
        scores |= {
            name: judge.with_cost(scores[name], case.guest, together[name], some) for name, some in apart.items()
        }
    return TournamentResult(scores, judge, served)


def _apart(
    case: Case,
    others: Sequence[Contestant],
    judge: Judge,
    frames: _Frames,
    sightings: Mapping[str, Sequence[Sighting]],
) -> dict[str, Sequence[RuleSet]]:
    """The sets that each rule forms where the guest is not there."""
    cameras = tuple(camera for camera in case.setup.cameras if camera.name != case.guest)
    names = [camera.name for camera in cameras]
    served = serve(replace(case.setup, cameras=cameras), {name: sightings[name] for name in names})
    alone = Judge(judge.truth.of(names))
    sets = _sets(others, alone, {name: frames[name] for name in names})
    return sets | {OURS: served.sets(), ORACLE: alone.oracle_as_sets()}


def contest_live(history: History, warm_up_windows: int) -> TournamentResult:
    """Score what the service sent in a run on virtual cameras, and every other rule on the frames that it sent."""
    judged = history.batches[min(warm_up_windows, len(history.batches) // 2) : -1]
    truth = truth_of(history, judged)
    judge = Judge(truth)
    if not judged:
        return TournamentResult({}, judge)
    frames: dict[str, list[_Known]] = {}
    errors: dict[str, list[tuple[int, int | None]]] = {}
    for name, seen in readable(history).items():
        known = [(counter, truth.taken[name][counter], frame) for counter, frame in seen.items()]
        frames[name] = [
            _Known(counter, taken_ns, frame.arrival_ns, frame.time_ns if frame.clock == "rtcp" else None)
            for counter, taken_ns, frame in known
        ]
        errors[name] = [
            (frame.time_ns - taken_ns, frame.uncertainty_ns) for _, taken_ns, frame in known if truth.covers(taken_ns)
        ]
    sets = [RuleSet(dict(members), batch.emitted_ns) for batch in history.batches for members in sets_in(batch)]
    return TournamentResult(_scores(CONTESTANTS, judge, frames, sets, errors), judge)


def _scores(
    others: Iterable[Contestant], judge: Judge, frames: _Frames, ours: Sequence[RuleSet], our_errors: Errors
) -> dict[str, Score]:
    sets = _sets(others, judge, frames)
    scores = {
        contestant.name: judge.score(sets[contestant.name], _streams(frames, contestant.stamp_ns, judge.truth)[1])
        for contestant in others
        if contestant.name in sets
    }
    return scores | {OURS: judge.score(ours, our_errors), ORACLE: judge.score_oracle()}


def _sets(others: Iterable[Contestant], judge: Judge, frames: _Frames) -> dict[str, Sequence[RuleSet]]:
    """The sets of every rule that has its stamps."""
    sets: dict[str, Sequence[RuleSet]] = {}
    for contestant in others:
        streams, _ = _streams(frames, contestant.stamp_ns, judge.truth)
        if all(streams.values()):
            found = contestant.make_rule(judge.truth.max_skew_ns).sets(_one_window(streams))
            sets[contestant.name] = [RuleSet.of(one) for one in found]
    return sets


def _one_window(streams: Mapping[str, Sequence[Stamped]]) -> Window[Stamped]:
    times = [frame.time_ns for some in streams.values() for frame in some]
    return Window(
        min(times), max(times) + 1, max(times) + 1, streams, {name: len(some) for name, some in streams.items()}, {}
    )


def _streams(
    frames: _Frames, stamp_ns: Callable[[_Known], int | None], truth: Truth
) -> tuple[Mapping[str, Sequence[Stamped]], Errors]:
    """The frames with such a stamp, and its errors; a camera may have none at all."""
    streams, errors = {}, {}
    for name, some in frames.items():
        stamped = [(stamp, frame) for frame in some if (stamp := stamp_ns(frame)) is not None]
        streams[name] = [Stamped(frame.number, stamp, frame.arrival_ns) for stamp, frame in stamped]
        errors[name] = [(stamp - frame.taken_ns, None) for stamp, frame in stamped if truth.covers(frame.taken_ns)]
    return streams, errors


def _served_errors(truth: Truth, served: SimulatedRun) -> Errors:
    """By how much each frame's age at its arrival is wrong: so a step of the host's clock is no error of a stamp."""
    errors: dict[str, list[tuple[int, int | None]]] = {}
    for name, stamps in served.stamps.items():
        errors[name] = []
        for stamp in stamps:
            taken_ns = truth.taken[name][stamp.observation.seq]
            if truth.covers(taken_ns):
                age_ns = true_ns(stamp.observation.arrival_mono_ns) - taken_ns
                errors[name].append((stamp.time_ns - stamp.arrival_ns + age_ns, stamp.uncertainty_ns))
    return errors
