"""How long a stream's thread may rest after it has read all there was: a wake-up costs more than the frame it is for.

At 25 frames a second a thread that is woken for each of them spends most of its CPU on waking up, in caches that
somebody else has used since. Between two decisions of its groups nobody waits for a frame: it can wait in the pipe, in
its slot, until others have come. A window closes with the first frame a little after its end
(``GroupRules.lookahead_ns``), or at its deadline; the thread is awake before both, so that no batch leaves any later.
"""

from collections.abc import Sequence

from syncsvc.clock import NS_PER_MS
from syncsvc.observe.events import GroupRules

LONGEST_NS = 200 * NS_PER_MS
"""What is told of a stream may be so old, and its thread may take so long to hear that its capture ended."""
PATIENT_NS = 50 * NS_PER_MS
"""Where nothing has a deadline (pace ``asap``) nobody waits for a frame but a reader whose ring is full."""
FEW_MESSAGES = 16
"""More than so many at once: frames come so fast that resting saves nothing, and a ring might fill up."""
MARGIN_NS = 20 * NS_PER_MS
"""Awake so long before something may be decided: room for reading and copying what came meanwhile."""
LEAK_NS = NS_PER_MS
"""How far the least delay may rise with each frame."""


class Rest:
    """One stream's, for the groups that it belongs to; pure.

    Args:
        groups: their rules; a stream of no group may rest as long as it likes.
        is_patient: pace ``asap``.
    """

    def __init__(self, groups: Sequence[GroupRules], *, is_patient: bool) -> None:
        self._groups, self._is_patient = groups, is_patient
        self._time_ns: int | None = None
        self._delay_ns = 0

    def heard(self, time_ns: int, arrival_ns: int) -> None:
        """A frame was stamped; both in UTC."""
        delay_ns = arrival_ns - time_ns
        known_ns = delay_ns if self._time_ns is None else self._delay_ns + LEAK_NS
        self._time_ns, self._delay_ns = time_ns, min(known_ns, delay_ns)

    def length_ns(self, now_ns: int, messages: int) -> int:
        """How long nobody will miss the next frames, now in UTC, with so many messages read since the last rest."""
        if self._is_patient:
            return PATIENT_NS if messages < FEW_MESSAGES else 0
        if self._time_ns is None:
            return 0
        until_ns = now_ns + LONGEST_NS
        for rules in self._groups:
            if rules.window_ns is None:  # any frame may be the last that a set waits for
                return 0
            closing_ns = _next(self._time_ns, rules.window_ns, rules.lookahead_ns) + self._delay_ns
            leaving_ns = _next(now_ns, rules.window_ns, rules.max_latency_ns)
            until_ns = min(until_ns, closing_ns - MARGIN_NS, leaving_ns - MARGIN_NS)
        return max(0, until_ns - now_ns)


def _next(time_ns: int, window_ns: int, after_ns: int) -> int:
    """The first moment after ``time_ns`` that lies ``after_ns`` after a window's edge."""
    return ((time_ns - after_ns) // window_ns + 1) * window_ns + after_ns
