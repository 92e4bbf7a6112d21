"""A clock with hands, so that no test ever waits for time to pass."""

from syncsvc.clock import NS_PER_S
from syncsvc.lifecycle import StopToken


class ManualClock:
    """Both readings of now, moved by hand: ``advance`` lets time pass, ``step_utc`` sets the host's clock."""

    def __init__(self, utc_ns: int = 1_767_225_600 * NS_PER_S, monotonic_ns: int = 1_000 * NS_PER_S) -> None:
        self._utc_ns, self._monotonic_ns = utc_ns, monotonic_ns

    def utc_ns(self) -> int:
        """UTC as the hands say."""
        return self._utc_ns

    def monotonic_ns(self) -> int:
        """Time since some start, as the hands say."""
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Let time pass.

        Raises:
            ValueError: time does not go backward.
        """
        if ns < 0:
            raise ValueError("time does not go backward; step_utc sets the host's clock")
        self._utc_ns += ns
        self._monotonic_ns += ns

    def advance_to_utc(self, utc_ns: int) -> None:
        """Let time pass until UTC is ``utc_ns``."""
        self.advance(utc_ns - self._utc_ns)

    def step_utc(self, ns: int) -> None:
        """Set the host's clock forward or backward; monotonic time goes on."""
        self._utc_ns += ns


class ManualStop(StopToken):
    """A stop token whose waits move a ManualClock instead of waiting; ``waits`` has their lengths in seconds."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> bool:
        """Let the time pass on the clock; true when the end was asked for."""
        self.waits.append(seconds)
        self._clock.advance(max(0, round(seconds * NS_PER_S)))
        return self.is_set
