"""When a batch is due: as long after the first one as in the live run, or that divided by a speed; pure."""


class Tempo:
    """Of one replay, over all its rounds.

    Args:
        speed: how much faster than in the live run; None: nothing waits.
        first_ns: when the first batch left, at its place (UTC).
        begin_mono_ns: when that is to leave, on the monotonic clock.
    """

    def __init__(self, speed: float | None, first_ns: int, begin_mono_ns: int) -> None:
        self._speed, self._first_ns, self._begin_mono_ns = speed, first_ns, begin_mono_ns

    def due_mono_ns(self, left_ns: int) -> int:
        """When a batch is due that left then, at its place."""
        if self._speed is None:
            return self._begin_mono_ns
        return self._begin_mono_ns + round((left_ns - self._first_ns) / self._speed)
