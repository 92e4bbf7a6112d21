"""Which frames the streams will take next, as far as their pace tells.

After a single lost frame every reference would take the partner of the next one, for good: each set wider than it need
be. And a pair would take a frame that a full set needs. So the next frames are foreseen, a median interval from one to
the next, and paired along: what they take is theirs. That costs no time, and depends on capture times alone. A guess
that proves wrong costs a set one frame, or some of its tightness, where somebody who waits knows better.
"""

from collections.abc import Mapping

from msgspec import Struct

from syncsvc.align.stream_queue import StreamQueue

AHEAD = 8
"""A frame given up in each of ``n`` streams must be outweighed by more than ``n`` tighter sets. Of twelve cameras of
25 frames/s 98 % of the sets are the best with eight, 86 % with five, 61 % with three; of four, 99.5 % with any and
69 % with none."""
MOST_FRAMES = 32
"""Of one stream: as many as a stream of 60 frames/s takes while one of 25 takes those ahead."""


class Foreseen(Struct, frozen=True, gc=False):
    """A frame that is to come, as far as a rule of pairing may know it."""

    time_ns: int
    seq: int = -1
    arrival_ns: int = 0


def foresee(
    lines: Mapping[str, StreamQueue], heard: Mapping[str, int], heard_ns: int, skew_ns: int
) -> tuple[int, dict[str, list[Foreseen]]]:
    """The next frames of each stream.

    Args:
        lines: the streams' queues.
        heard: of those that lead and were heard, the time of the last frame that is known.
        heard_ns: the moment up to which they were.
        skew_ns: widest spread of a set.

    Returns:
        Up to when all frames are here or foreseen, and the foreseen ones by stream.
    """
    paces = {name: pace for name, last_ns in heard.items() if (pace := lines[name].interval_ns(last_ns)) is not None}
    period_ns = min(paces.values(), default=0)
    if not period_ns or period_ns > 2 * skew_ns:  # no frame is in reach of two references
        return heard_ns + 2 * skew_ns + 1, {}
    horizon_ns = heard_ns + AHEAD * period_ns + skew_ns + 1
    found = {}
    for name, pace_ns in paces.items():
        number = min(MOST_FRAMES, (horizon_ns - 1 - heard[name]) // pace_ns)
        found[name] = [Foreseen(heard[name] + n * pace_ns) for n in range(1, number + 1)]
    return horizon_ns, found
