"""When a capture that still runs is held dead: a pure judgement on its pulse."""

from syncsvc.capture.spec import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from syncsvc.clock import NS_PER_S
from syncsvc.lifecycle import START_NS
from syncsvc.transport.page import Position

NO_BEAT_S = 3.0
STARTING_S = START_NS / NS_PER_S
STUCK_S = 2.0


def verdict(
    position: Position,
    since_mono_ns: int,
    beat_mono_ns: int,
    now_mono_ns: int,
    timeouts_s: tuple[float, float] = (OPEN_TIMEOUT_S, READ_TIMEOUT_S),
) -> str | None:
    """Why the capture should be killed; None while it is well.

    Its loop stands at ``position`` since ``since_mono_ns``, its process last showed at ``beat_mono_ns`` that it runs;
    its source may take ``timeouts_s`` to open, and be silent.
    """
    silent_s = (now_mono_ns - beat_mono_ns) / NS_PER_S
    if silent_s > (STARTING_S if position is Position.STARTING else NO_BEAT_S):
        return f"no heartbeat for {silent_s:.1f} s"
    stuck_s = (now_mono_ns - since_mono_ns) / NS_PER_S
    limit_s = _limit_s(position, *timeouts_s)
    if limit_s is not None and stuck_s > limit_s:
        return f"stuck in {position.name.lower()} for {stuck_s:.1f} s"
    return None


def _limit_s(position: Position, open_timeout_s: float, read_timeout_s: float) -> float | None:
    """How long the loop may stand there; None is for ever."""
    match position:
        case Position.STARTING:
            return STARTING_S
        case Position.OPENING:
            return 2 * (open_timeout_s + read_timeout_s)
        case Position.DEMUX:
            return 2 * read_timeout_s
        case Position.WAITING:
            return None
        case _:
            return STUCK_S
