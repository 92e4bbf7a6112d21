"""Decides, from what a subscriber saw and the true times in the pictures, whether the contract held. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncsvc.clock import NS_PER_MS
from syncsvc.demo.comparison import true_sets, truth_of
from syncsvc.demo.history import History, SeenBatch, SeenFrame
from syncsvc.observe.figures import Figures

WARM_UP_WINDOWS = 2
"""Windows at the start whose stamps and sets are not held against the true times: a first sender report may be late."""
STAMP_LIMIT_MS = 5.0
OVERRUN_MS = 20.0
"""What a batch may take beyond ``max_latency_ms`` by the project's target; printed."""
OVERRUN_LIMIT_MS = 250.0
"""What it may take before the verdict fails: a shared machine stops a process for that long, now and then."""


@dataclass(frozen=True, slots=True)
class CameraVerdict:
    """One camera's frames: ``lost`` were sent, never delivered and not accounted for; ``twice`` came more than once."""

    captured: int
    delivered: int
    late: int
    dropped: int
    lost: int
    twice: int
    stamp_error_ms: Figures
    clocks: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the run showed; the contract was kept when there are no ``problems``."""

    problems: tuple[str, ...]
    batches: int
    complete: int
    sets: int
    cameras: dict[str, CameraVerdict]
    spread_ms: Figures
    """By stamps, over all sets."""
    true_spread_ms: Figures
    """By true times; this and the two below are over the sets that were compared to the oracle's."""
    oracle_spread_ms: Figures
    compared: int
    identical: int
    lateness_ms: Figures
    """From the end of a window to when its batch was sent."""
    over_deadline: int
    """Batches sent more than ``max_latency_ms`` after their window's end."""
    over_target: int
    """Those that took 20 ms more than that."""

    @property
    def is_kept(self) -> bool:
        """Whether the contract held."""
        return not self.problems

    @property
    def identical_pct(self) -> float:
        """Share of sets that are exactly the oracle's."""
        return 100 * self.identical / self.compared if self.compared else 0.0

    @property
    def excess_p99_ms(self) -> float:
        """How much wider the sets are than the oracle's, at the 99th percentile, by true times."""
        return self.true_spread_ms.p99 - self.oracle_spread_ms.p99


def judge(history: History, warm_up_windows: int = WARM_UP_WINDOWS) -> Verdict:
    """Hold a run against the contract.

    Broken it is by: a hole or a repetition in windows or numbers; a set wider than ``max_skew``, or of frames that did
    not come with it; an account that does not add up; a frame that came twice, was lost and not accounted for, cannot
    be read or belongs to another camera; a batch far over its latency; stamps off by 5 ms or more at the 99th
    percentile; and by a run in which a camera delivered nothing, or no set was formed. Stamps and sets of the first
    ``warm_up_windows`` are not held against the true times.
    """
    batches = history.batches
    accounts = {
        name: _judge_camera(place, name, history, warm_up_windows) for place, name in enumerate(history.cameras)
    }
    problems = [*_order_problems(history), *_set_problems(history), *_account_problems(batches)]
    for camera_problems, _ in accounts.values():
        problems += camera_problems
    lateness_ms = [(batch.emitted_ns - batch.window_end_ns) / NS_PER_MS for batch in batches]
    lateness = Figures.of(lateness_ms)
    limit_ms = history.max_latency_ns / NS_PER_MS
    if lateness.max > limit_ms + OVERRUN_LIMIT_MS:
        problems.append(f"a batch left {lateness.max:.0f} ms after its window, allowed are {limit_ms:g} ms")
    compared = batches[warm_up_windows:-1]
    truth = truth_of(history, compared)
    ours, best = true_sets(truth, compared)
    return Verdict(
        problems=tuple(problems),
        batches=len(batches),
        complete=sum(not batch.missing for batch in batches),
        sets=sum(len(batch.sets) for batch in batches),
        cameras={name: camera for name, (_, camera) in accounts.items()},
        spread_ms=Figures.of([found.spread_ns / NS_PER_MS for batch in batches for found in batch.sets]),
        true_spread_ms=Figures.of([truth.spread_ms(members) for members in ours]),
        oracle_spread_ms=Figures.of([truth.spread_ms(members) for members in best]),
        compared=max(len(ours), len(best)),
        identical=len({*ours} & {*best}),
        lateness_ms=lateness,
        over_deadline=sum(late_ms > limit_ms for late_ms in lateness_ms),
        over_target=sum(late_ms > limit_ms + OVERRUN_MS for late_ms in lateness_ms),
    )


def _order_problems(history: History) -> Iterator[str]:
    if not history.batches:
        yield "no batch came"
    elif not any(batch.sets for batch in history.batches):
        yield "no set was formed"
    for gap in history.gaps:
        what = f"batches {gap.first_seq} to {gap.last_seq}" if gap.batches else "windows"
        yield f"{what} never came ({gap.reason})"
    for before, after in zip(history.batches, history.batches[1:], strict=False):
        if after.window_start_ns != before.window_end_ns:
            off_ms = (after.window_start_ns - before.window_end_ns) / NS_PER_MS
            yield f"the window of batch {after.seq} begins {off_ms:+g} ms from the end of the one before"
        if after.epoch == before.epoch and after.seq != before.seq + 1:
            yield f"batch {after.seq} came after batch {before.seq}"
        elif after.epoch < before.epoch:
            yield f"epoch {after.epoch} came after epoch {before.epoch}"


def _set_problems(history: History) -> Iterator[str]:
    for batch in history.batches:
        times = {(name, frame.seq): frame.time_ns for name, frames in batch.frames.items() for frame in frames}
        used: Counter[tuple[str, int]] = Counter()
        for found in batch.sets:
            members = list(found.members.items())
            used.update(members)
            stamps = [times[member] for member in members if member in times]
            if len(stamps) < max(2, len(members)):
                yield f"batch {batch.seq} has a set with frames that it did not bring"
                continue
            spread_ns = max(stamps) - min(stamps)
            if spread_ns != found.spread_ns:
                yield f"batch {batch.seq} says that a set spreads {found.spread_ns} ns; its stamps say {spread_ns} ns"
            if spread_ns > history.max_skew_ns:
                wide, allowed = spread_ns / NS_PER_MS, history.max_skew_ns / NS_PER_MS
                yield f"batch {batch.seq} has a set that spreads {wide:.1f} ms, allowed are {allowed:g} ms"
        for (name, seq), count in used.items():
            if count > 1:
                yield f"batch {batch.seq} has frame {seq} of {name} in {count} sets"


def _account_problems(batches: Sequence[SeenBatch]) -> Iterator[str]:
    for batch in batches:
        for name, counts in batch.counts.items():
            listed = len(batch.frames.get(name, ()))
            if counts.delivered != listed:
                yield f"batch {batch.seq} counts {counts.delivered} frames of {name} and brings {listed}"
            if counts.captured != counts.delivered + counts.late + sum(counts.dropped.values()):
                yield f"batch {batch.seq}: the account of {name} does not add up: {counts}"


def _judge_camera(place: int, name: str, history: History, warm_up_windows: int) -> tuple[list[str], CameraVerdict]:
    frames = [frame for batch in history.batches for frame in batch.frames.get(name, ())]
    counts = [batch.counts[name] for batch in history.batches if name in batch.counts]
    late, dropped = sum(c.late for c in counts), sum(sum(c.dropped.values()) for c in counts)
    lost = _lost(name, frames, history, late + dropped)
    repeated = Counter(frame.seq for frame in frames) - Counter({frame.seq: 1 for frame in frames})
    pictures = [frame.counter for frame in frames if frame.counter is not None]
    twice = max(repeated.total(), len(pictures) - len(set(pictures)))
    unreadable = sum(frame.counter is None for frame in frames)
    foreign = sum(frame.camera not in (None, place) for frame in frames)
    warm_from_ns = _warm_from_ns(history, warm_up_windows)
    errors = Figures.of(
        [
            abs(frame.time_ns - frame.true_ns) / NS_PER_MS
            for frame in frames
            if frame.true_ns is not None and frame.time_ns >= warm_from_ns
        ]
    )
    found = {
        "delivered nothing": not frames,
        f"lost {lost} frames in silence": lost > 0,
        f"delivered {twice} frames twice": twice > 0,
        f"delivered {unreadable} pictures that cannot be read": unreadable > 0,
        f"delivered {foreign} pictures of another camera": foreign > 0,
        "delivered frames out of order": [f.seq for f in frames] != sorted(f.seq for f in frames),
        f"has stamps off by {errors.p99:.1f} ms (p99), allowed are {STAMP_LIMIT_MS:g} ms": errors.p99 >= STAMP_LIMIT_MS,
    }
    account = CameraVerdict(
        captured=sum(c.captured for c in counts),
        delivered=len(frames),
        late=late,
        dropped=dropped,
        lost=lost,
        twice=twice,
        stamp_error_ms=errors,
        clocks=dict(Counter(frame.clock for frame in frames)),
    )
    return [f"{name} {what}" for what, is_so in found.items() if is_so], account


def _lost(name: str, frames: Sequence[SeenFrame], history: History, accounted: int) -> int:
    """Frames before the last one delivered that neither came nor were accounted for: by number, and by picture sent.

    What was sent later was on its way when the run ended, and before the first batch that came nobody listened.
    """
    came = {frame.counter for frame in frames if frame.counter is not None}
    if not came:
        return 0
    is_from_start = history.batches[0].seq == 0
    first, last = (0 if is_from_start else min(came)), max(came)
    sent = {
        counter
        for session_first, session_last in history.cameras[name].sessions
        for counter in range(max(session_first, first), min(session_last, last) + 1)
    }
    numbers = {frame.seq for frame in frames}
    taken = max(numbers) + 1 - (0 if is_from_start else min(numbers))
    return max(0, len(sent - came) - accounted - history.cameras[name].dropped, taken - len(numbers) - accounted)


def _warm_from_ns(history: History, warm_up_windows: int) -> int:
    place = min(warm_up_windows, len(history.batches) - 1)
    return history.batches[place].window_start_ns if history.batches else 0
