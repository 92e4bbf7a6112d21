"""The sets of a run and those of the oracle side by side, by the true times in the pictures. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from syncsvc.demo.history import History, SeenBatch
from syncsvc.demo.oracle import best_sets


@dataclass(frozen=True, slots=True)
class TrueSet:
    """A set by what its pictures say: ``(stream, counter)`` of its members, and its true spread."""

    members: frozenset[tuple[str, int]]
    spread_ns: int


def true_sets(history: History, skip_windows: int) -> tuple[list[TrueSet], list[TrueSet]]:
    """The service's sets and the oracle's, of all windows but the first ``skip_windows`` and the last.

    The oracle knows every frame that was delivered, over the whole run; its reference is the stream with the fewest of
    them. A set whose pictures cannot all be read is left out.
    """
    compared = history.batches[skip_windows:-1]
    pictures = {name: known for name in history.cameras if (known := _pictures(history, name))}
    if not compared or not pictures:
        return [], []
    reference = min(pictures, key=lambda name: len(pictures[name]))
    ours = [found for batch in compared for found in sets_in(batch)]
    wanted = {frame.counter for batch in compared for frame in batch.frames.get(reference, ())}
    times = {name: [time for time, _ in known] for name, known in pictures.items()}
    best = []
    for chosen in best_sets(times, history.max_skew_ns, reference):
        members = {name: pictures[name][index] for name, index in chosen.items()}
        if members[reference][1] in wanted:
            best.append(_as_true_set(members))
    return ours, best


def _pictures(history: History, name: str) -> list[tuple[int, int]]:
    """``(true time, counter)`` of every readable picture of a stream, in order, each once."""
    frames = {frame for batch in history.batches for frame in batch.frames.get(name, ())}
    return sorted(
        {(frame.true_ns, frame.counter) for frame in frames if frame.true_ns is not None and frame.counter is not None}
    )


def sets_in(batch: SeenBatch) -> list[TrueSet]:
    """Those of a batch whose pictures can all be read."""
    truth = {
        (name, frame.seq): (frame.true_ns, frame.counter)
        for name, frames in batch.frames.items()
        for frame in frames
        if frame.true_ns is not None and frame.counter is not None
    }
    readable = (found.members for found in batch.sets if all(member in truth for member in found.members.items()))
    return [_as_true_set({name: truth[name, seq] for name, seq in members.items()}) for members in readable]


def _as_true_set(members: Mapping[str, tuple[int, int]]) -> TrueSet:
    times = [time for time, _ in members.values()]
    return TrueSet(frozenset((name, counter) for name, (_, counter) in members.items()), max(times) - min(times))
