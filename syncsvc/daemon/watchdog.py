"""When a capture that still runs is held dead: a pure judgement on its pulse."""

from syncsvc.capture.spec import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from syncsvc.clock import NS_PER_S
from syncsvc.transport.page import Position

NO_BEAT_S = 3.0
_LIMIT_S = {
    Position.STARTING: 30.0,  # imports on a machine that starts everything at once
    Position.OPENING: 2 * (OPEN_TIMEOUT_S + READ_TIMEOUT_S),
    Position.DEMUX: 2 * READ_TIMEOUT_S,
    Position.DECODE: 2.0,
    Position.HANDOVER: 2.0,
}


def verdict(position: Position, since_mono_ns: int, beat_mono_ns: int, now_mono_ns: int) -> str | None:
    """Why the capture should be killed; None while it is well.

    Its loop stands at ``position`` since ``since_mono_ns``, its process last showed at ``beat_mono_ns`` that it runs.
    """
    silent_s = (now_mono_ns - beat_mono_ns) / NS_PER_S
    if silent_s > (_LIMIT_S[Position.STARTING] if position is Position.STARTING else NO_BEAT_S):
        return f"no heartbeat for {silent_s:.1f} s"
    stuck_s = (now_mono_ns - since_mono_ns) / NS_PER_S
    limit_s = _LIMIT_S.get(position)
    if limit_s is not None and stuck_s > limit_s:
        return f"stuck in {position.name.lower()} for {stuck_s:.1f} s"
    return None
