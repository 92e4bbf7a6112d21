"""Who listens on ``live``: only a hint for what is worth copying, for any peer may say anything of itself.

libzmq passes on subscriptions and their ends as peers send them, also ends of what a peer never held. So a prefix that
was once asked for counts as wanted until the last peer is gone, and the numbers serve ``wait_for`` and the status only.
"""

from collections import defaultdict

import zmq

from syncsvc.publish.guests import Guests
from syncsvc.wire import STATUS_TOPIC

MOST_PREFIXES = 4096
"""From here on everything counts as wanted: whoever asks for so much gets no say in what this process remembers."""
MAX_MESSAGES_PER_TURN = 256
MOST_TOPICS, MOST_TOPICS_OF_ALL = 1024, 16_384
"""What one peer may ask for, and all together: each is some hundred bytes of libzmq's memory, or thousands."""
_GREEDY = "that asked for too many topics"


class Audience:
    """The peers of an XPUB socket and what they asked for; ``look`` from the socket's thread, the rest from any."""

    def __init__(self, live: "zmq.Socket[bytes]", guests: Guests) -> None:
        self._live, self._guests = live, guests
        self._prefixes: frozenset[bytes] = frozenset()
        self._topics_by_peer = defaultdict[int, set[bytes]](set)
        self.subscriptions = 0
        self.status_listeners = 0

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic."""
        prefixes = self._prefixes
        return len(prefixes) >= MOST_PREFIXES or any(topic.startswith(prefix) for prefix in prefixes)

    def look(self) -> bool:
        """Take in who came, went and subscribed, a bounded part of it; whether somebody said anything."""
        self._guests.look()
        for gone in [peer for peer in self._topics_by_peer if peer not in self._guests]:
            del self._topics_by_peer[gone]
        has_news = False
        for _ in range(MAX_MESSAGES_PER_TURN):
            try:
                part = self._live.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                break
            peer = self._guests.note_read(part)
            self._handle(part.bytes, peer)
            has_news = True
        while sum(map(len, self._topics_by_peer.values())) > MOST_TOPICS_OF_ALL:
            self._refuse(max(self._topics_by_peer, key=lambda one: len(self._topics_by_peer[one])))
        # Who spoke only now may have come after the guests were looked at.
        if not has_news and not len(self._guests):
            self._prefixes, self.subscriptions, self.status_listeners = frozenset(), 0, 0
        return has_news

    def _handle(self, message: bytes, peer: int | None) -> None:
        if message[:1] not in (b"\0", b"\1"):
            return
        step, prefix = (1 if message[:1] == b"\1" else -1), message[1:]
        self.subscriptions = max(0, self.subscriptions + step)
        if prefix == STATUS_TOPIC:
            self.status_listeners = max(0, self.status_listeners + step)
        if step > 0 and prefix not in self._prefixes and len(self._prefixes) < MOST_PREFIXES:
            self._prefixes |= {prefix}
        if peer is not None:
            self._bear(peer, step, prefix)

    def _bear(self, peer: int, step: int, prefix: bytes) -> None:
        """Take note of what a peer holds; cut it off if that is too much."""
        held = self._topics_by_peer[peer]
        held.add(prefix) if step > 0 else held.discard(prefix)
        if len(held) > MOST_TOPICS:
            self._refuse(peer)

    def _refuse(self, peer: int) -> None:
        del self._topics_by_peer[peer]
        self._guests.hang_up(peer, _GREEDY)

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._guests.close()
