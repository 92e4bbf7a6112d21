"""Who listens on ``live``: only a hint for what is worth copying, for any peer may say anything of itself.

libzmq passes on subscriptions and their ends as peers send them, also ends of what a peer never held. So a prefix that
was once asked for counts as wanted until the last peer is gone, and the numbers serve ``wait_for`` and the status only.
"""

import zmq

from syncsvc.publish.guests import Guests
from syncsvc.wire import STATUS_TOPIC

MOST_PREFIXES = 4096
"""From here on everything counts as wanted: whoever asks for so much gets no say in what this process remembers."""
MAX_MESSAGES_PER_TURN = 256


class Audience:
    """The peers of an XPUB socket and what they asked for; ``look`` from the socket's thread, the rest from any."""

    def __init__(self, live: "zmq.Socket[bytes]", guests: Guests) -> None:
        self._live, self._guests = live, guests
        self._prefixes: frozenset[bytes] = frozenset()
        self.subscriptions = 0
        self.status_listeners = 0

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic."""
        prefixes = self._prefixes
        return len(prefixes) >= MOST_PREFIXES or any(topic.startswith(prefix) for prefix in prefixes)

    def look(self) -> bool:
        """Take in who came, went and subscribed, a bounded part of it; true when nobody is left."""
        had_guests = len(self._guests) > 0
        self._guests.look()
        for _ in range(MAX_MESSAGES_PER_TURN):
            try:
                self._handle(self._live.recv(zmq.DONTWAIT))
            except zmq.Again:
                break
        is_empty = len(self._guests) == 0
        if is_empty:
            self._prefixes, self.subscriptions, self.status_listeners = frozenset(), 0, 0
        return had_guests and is_empty

    def _handle(self, message: bytes) -> None:
        if message[:1] not in (b"\0", b"\1"):
            return
        step, prefix = (1 if message[:1] == b"\1" else -1), message[1:]
        self.subscriptions = max(0, self.subscriptions + step)
        if prefix == STATUS_TOPIC:
            self.status_listeners = max(0, self.status_listeners + step)
        if step > 0 and prefix not in self._prefixes and len(self._prefixes) < MOST_PREFIXES:
            self._prefixes |= {prefix}

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._guests.close()
