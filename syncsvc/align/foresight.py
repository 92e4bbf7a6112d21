"""Which frames belong to references that have not come yet, as far as the streams' pace tells.

After a single lost frame every reference would take the partner of the next one, for good: each set wider than it need
be. So the next references and the other streams' next frames are foreseen, a median interval from one to the next, and
paired along: what they take is theirs. That costs no time, and depends on capture times alone. A guess that proves
wrong costs a set one frame, or some of its tightness, where somebody who waits for the next references knows better.
"""

from collections.abc import Mapping, Sequence

from syncsvc.align.stream_queue import StreamQueue
from syncsvc.pairing.policy import SetPolicy

AHEAD = 8
"""A frame given up in each of ``n`` streams must be outweighed by more than ``n`` tighter sets. Of twelve cameras of
25 frames/s 98 % of the sets are the best with eight, 86 % with five, 61 % with three; of four, 99.5 % with any and
69 % with none."""
MOST_FRAMES = 32
"""Of one stream: as many as a stream of 60 frames/s takes while one of 25 takes those ahead."""


def claims(
    lines: Mapping[str, StreamQueue],
    policy: SetPolicy,
    driver: str,
    reference: int,
    times: Mapping[str, Sequence[int]],
) -> set[tuple[str, int]]:
    """The frames after a reference that the next ones take.

    Args:
        lines: of every stream.
        policy: of the group.
        driver: the stream that drives.
        reference: time of its frame that is to have a set.
        times: of the frames that it may be paired with, by stream, sorted, up to the first from the reference on.

    Returns:
        (stream, time) of frames among ``times``.
    """
    period_ns = lines[driver].interval_ns(reference)
    if period_ns is None or period_ns > 2 * policy.max_skew_ns:  # no frame is in reach of two references
        return set()
    references = [reference + n * period_ns for n in range(AHEAD + 1)]
    until_ns = references[-1] + policy.max_skew_ns
    foreseen = {
        name: [*some, *_expected(lines[name], reference, until_ns, period_ns)]
        for name, some in times.items()
        if name != driver
    }
    later = policy.partners(foreseen, references)[1:]
    return {(name, time) for some in later for name, time in some.items() if time > reference and time in times[name]}


def _expected(line: StreamQueue, reference: int, until_ns: int, period_ns: int) -> list[int]:
    """When a stream takes pictures after its first one from the reference on; nothing where that has not come."""
    first_ns = line.reached(reference)
    if first_ns is None:
        return []
    interval_ns = line.interval_ns(first_ns) or period_ns
    number = min(MOST_FRAMES, (until_ns - first_ns) // interval_ns)
    return [first_ns + n * interval_ns for n in range(1, number + 1)]
