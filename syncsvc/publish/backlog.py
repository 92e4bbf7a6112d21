"""How far a subscriber may fall behind: as much as may leave at once, so that who keeps up loses nothing for that.

While a stream pauses its group's windows wait for it, for ``max_latency_ms`` at most; when it is back, all that wait
leave at once, faster than any socket carries them. The same where a source delivers seconds of pictures in one piece.
"""

from collections import deque

SPARE = 2
"""The mark is so many times what may leave at once. libzmq's writer hears of what was read only after half a mark of it
(``pipe_t::compute_lwm``): of a mark ``n`` a subscriber that has taken everything is sure to have room for ``n / 2 + 1``
messages. That one more is for the service's state, which is said once a second."""


class Backlog:
    """One group's: pure. Whoever sends its batches notes them; another thread may change the terms meanwhile.

    Guarantee: batches whose windows end within ``max_latency_ms``, each noted before it is sent, are at most half of
    ``mark``.
    """

    def __init__(self) -> None:
        self._latency_ns = self._at_once = 1
        self._ends_ns: deque[int] = deque()

    def follow(self, latency_ns: int, window_ns: int | None) -> None:
        """Go by these terms: ``latency_ns`` is how long a window may wait, ``window_ns`` None where each is a set's."""
        self._latency_ns, self._at_once = latency_ns, max(1, -(-latency_ns // window_ns)) if window_ns else 1
        self._ends_ns = deque()  # another one: whoever sends may be at it

    def note(self, end_ns: int) -> None:
        """A batch is about to leave, whose window ends then (UTC); they come in order, or the clock was set back."""
        ends_ns = self._ends_ns
        if ends_ns and end_ns <= ends_ns[-1]:
            ends_ns.clear()
        ends_ns.append(end_ns)
        while ends_ns[0] <= end_ns - self._latency_ns:
            ends_ns.popleft()
        self._at_once = max(self._at_once, len(ends_ns))

    @property
    def mark(self) -> int:
        """How many batches may be on their way to a subscriber before it loses one."""
        return SPARE * self._at_once
