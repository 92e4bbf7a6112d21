"""Lets every rule loose on the same frames, simulated or seen, and scores what each makes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncsvc.bench import rules
from syncsvc.bench.rules import Rule, RuleSet, Stamped, Streams
from syncsvc.bench.scenarios import Case
from syncsvc.bench.score import Errors, Judge, Score, Truth
from syncsvc.bench.simulated_cameras import UTC_NS, Sighting
from syncsvc.bench.simulated_service import SimulatedRun, serve, sight, true_ns
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.demo.history import History, SeenFrame

OURS: Final = "syncsvc"
ORACLE: Final = "oracle"
WARM_UP_S: Final = 10.0
"""What the first seconds bring is not judged: a clock model needs them."""
TAIL_S: Final = 1.5
"""Nor what may be cut off by the end."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A rule and the stamps that it is given: ``arrival``, the camera's ``ntp``, or the ``true`` ones."""

    name: str
    stamps: str
    rule: Rule


CONTESTANTS: Final = (
    Contestant("arrival+position", "arrival", rules.second_and_position),
    Contestant("true+position", "true", rules.second_and_position),
    Contestant("arrival+nearest", "arrival", rules.nearest_to_reference),
    Contestant("arrival+ROS", "arrival", rules.approximate_time),
    Contestant("NTP+ROS", "ntp", rules.approximate_time),
    Contestant("NTP+savant", "ntp", rules.savant_window),
)
NAMES: Final = (*(contestant.name for contestant in CONTESTANTS), OURS, ORACLE)


@dataclass(frozen=True, slots=True)
class TournamentResult:
    """The scores by rule; one that lacks its stamps is left out. ``served`` is what the service did, if simulated."""

    scores: Mapping[str, Score]
    judge: Judge
    served: SimulatedRun | None = None


def contest(case: Case, others: Sequence[Contestant] = CONTESTANTS) -> TournamentResult:
    """Run a simulated case: the service's classes, and ``others`` on the same observations."""
    sightings = sight(case.setup.cameras, case.setup.seconds)
    served = serve(case.setup, sightings)
    judge = Judge(_simulated_truth(case, sightings), case.honest)
    sources = {stamps: _simulated_streams(sightings, stamps) for stamps in _STAMPS}
    taken = {name: {one.seen.seq: one.taken_ns for one in some} for name, some in sightings.items()}
    scores = _scores(others, judge, sources, taken)
    scores[OURS] = judge.score(served.sets(), _served_errors(judge.truth, sightings, served))
    return TournamentResult(scores | {ORACLE: judge.score_oracle()}, judge, served)


def contest_live(history: History, warm_up_windows: int) -> TournamentResult:
    """Score what the service sent in a run on virtual cameras, and every other rule on the frames that it sent."""
    judged = history.batches[min(warm_up_windows, len(history.batches) // 2) : -1]
    if not judged:
        return TournamentResult({}, Judge(Truth({}, history.max_skew_ns, NS_PER_S, 0, 0)))
    frames = {name: [f for batch in history.batches for f in batch.frames.get(name, ())] for name in history.cameras}
    known = {name: _readable(some) for name, some in frames.items()}
    truth = Truth(
        {name: {number: taken for number, taken, _ in some} for name, some in known.items() if some},
        history.max_skew_ns,
        judged[0].window_end_ns - judged[0].window_start_ns,
        judged[0].window_start_ns,
        judged[-1].window_end_ns,
    )
    judge = Judge(truth)
    sources = {stamps: _seen_streams(known, stamps) for stamps in _STAMPS}
    scores = _scores(CONTESTANTS, judge, sources, truth.taken)
    errors = {
        name: [
            (frame.time_ns - taken, frame.uncertainty_ns)
            for _, taken, frame in some
            if truth.from_ns <= taken < truth.until_ns
        ]
        for name, some in known.items()
    }
    scores[OURS] = judge.score(_seen_sets(history, known), errors)
    return TournamentResult(scores | {ORACLE: judge.score_oracle()}, judge)


def _scores(
    contestants: Sequence[Contestant],
    judge: Judge,
    sources: Mapping[str, Streams | None],
    taken: Mapping[str, Mapping[int, int]],
) -> dict[str, Score]:
    scores = {}
    for contestant in contestants:
        streams = sources[contestant.stamps]
        if streams is not None:
            errors = _errors(judge.truth, streams, taken)
            scores[contestant.name] = judge.score(contestant.rule(streams, judge.truth.max_skew_ns), errors)
    return scores


def _errors(truth: Truth, streams: Streams, taken: Mapping[str, Mapping[int, int]]) -> Errors:
    return {
        name: [
            (frame.stamp_ns - taken[name][frame.number], None)
            for frame in frames
            if truth.from_ns <= taken[name][frame.number] < truth.until_ns
        ]
        for name, frames in streams.items()
    }


# Simulated.

_STAMPS: Final = ("arrival", "ntp", "true")
# What the others see is a host whose clock nobody sets.
_SIMULATED: Final[Mapping[str, Callable[[Sighting], int | None]]] = {
    "arrival": lambda one: true_ns(one.seen.arrival_mono_ns),
    "ntp": lambda one: one.seen.ntp_ns,
    "true": lambda one: one.taken_ns,
}


def _simulated_truth(case: Case, sightings: Mapping[str, Sequence[Sighting]]) -> Truth:
    setup = case.setup
    return Truth(
        {name: {one.seen.seq: one.taken_ns for one in some} for name, some in sightings.items()},
        round(setup.max_skew_ms * NS_PER_MS),
        setup.window_ms * NS_PER_MS,
        UTC_NS + round(WARM_UP_S * NS_PER_S),
        UTC_NS + round((setup.seconds - TAIL_S) * NS_PER_S),
    )


def _simulated_streams(sightings: Mapping[str, Sequence[Sighting]], stamps: str) -> Streams | None:
    """The frames with such a stamp; None where a camera has none at all."""
    read = _SIMULATED[stamps]
    streams = {
        name: [
            Stamped(stamp, true_ns(one.seen.arrival_mono_ns), one.seen.seq)
            for one in some
            if (stamp := read(one)) is not None
        ]
        for name, some in sightings.items()
    }
    return streams if all(streams.values()) else None


def _served_errors(truth: Truth, sightings: Mapping[str, Sequence[Sighting]], served: SimulatedRun) -> Errors:
    """By how much each frame's age at its arrival is wrong: so a step of the host's clock is no error of a stamp."""
    errors: dict[str, list[tuple[int, int | None]]] = {}
    for name, some in sightings.items():
        taken = {one.seen.seq: one.taken_ns for one in some}
        errors[name] = []
        for stamp in served.stamps[name]:
            seen = stamp.observation
            if truth.from_ns <= taken[seen.seq] < truth.until_ns:
                age_ns = true_ns(seen.arrival_mono_ns) - taken[seen.seq]
                errors[name].append((stamp.time_ns - stamp.arrival_ns + age_ns, stamp.uncertainty_ns))
    return errors


# Seen.


def _readable(frames: Sequence[SeenFrame]) -> list[tuple[int, int, SeenFrame]]:
    """``(counter, true time, frame)`` of the pictures that can be read, each once."""
    known = {frame.counter: frame for frame in frames if frame.counter is not None}
    return [(counter, frame.true_ns, frame) for counter, frame in sorted(known.items()) if frame.true_ns is not None]


_SEEN: Final[Mapping[str, Callable[[SeenFrame, int], int | None]]] = {
    "arrival": lambda frame, taken: frame.arrival_ns,
    "ntp": lambda frame, taken: frame.time_ns if frame.clock == "rtcp" else None,
    "true": lambda frame, taken: taken,
}


def _seen_streams(known: Mapping[str, Sequence[tuple[int, int, SeenFrame]]], stamps: str) -> Streams | None:
    read = _SEEN[stamps]
    streams = {
        name: [
            Stamped(stamp, frame.arrival_ns, counter)
            for counter, taken, frame in some
            if (stamp := read(frame, taken)) is not None
        ]
        for name, some in known.items()
    }
    return streams if all(streams.values()) else None


def _seen_sets(history: History, known: Mapping[str, Sequence[tuple[int, int, SeenFrame]]]) -> list[RuleSet]:
    counters = {(name, frame.seq): counter for name, some in known.items() for counter, _, frame in some}
    return [
        RuleSet({name: counters[name, seq] for name, seq in found.members.items()}, batch.emitted_ns)
        for batch in history.batches
        for found in batch.sets
        if all((name, seq) in counters for name, seq in found.members.items())
    ]
