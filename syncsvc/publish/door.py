"""Where subscribers on this host come in: one after the other, and not too fast where strangers knock for nothing."""

import logging
import socket

from syncsvc.clock import NS_PER_MS, Clock

NUISANCE_NS = 10 * NS_PER_MS
"""Until the next one is let in, where the last one was refused or left before it was sent anything: who does that again
and again is to cost no processor. Others wait behind it for so long each."""
BREATHER_NS = 200 * NS_PER_MS
"""The same where no descriptor was left: some may have gone by then."""

log = logging.getLogger(__name__)


class Door:
    """A listening socket, from the thread that hears subscribers."""

    def __init__(self, listener: socket.socket, clock: Clock) -> None:
        self._listener, self._clock = listener, clock
        self._opens_ns = 0

    def fileno(self) -> int:
        """To poll on, while it is open."""
        return self._listener.fileno()

    @property
    def opens_ns(self) -> int | None:
        """When somebody may come in again (monotonic); None where that is now."""
        return self._opens_ns if self._clock.monotonic_ns() < self._opens_ns else None

    def accept(self) -> socket.socket | None:
        """Let one in; None where nobody is there any more, or cannot be heard."""
        try:
            return self._listener.accept()[0]
        except BlockingIOError:  # it went again
            return None
        except OSError as error:
            log.warning("a subscriber on this host cannot be heard: %s", error.strerror)
            self._shut(BREATHER_NS)
            return None

    def was_for_nothing(self) -> None:
        """Somebody came in for nothing."""
        self._shut(NUISANCE_NS)

    def _shut(self, for_ns: int) -> None:
        self._opens_ns = self._clock.monotonic_ns() + for_ns

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()
