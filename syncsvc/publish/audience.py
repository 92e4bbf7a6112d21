"""Who listens on ``live``: only a hint for what is worth copying, for any peer may say anything of itself.

libzmq passes on subscriptions and their ends as peers send them, also ends of what a peer never held. So a prefix that
was once asked for counts as wanted until the last peer is gone, and the numbers serve ``wait_for`` and the status only.
"""

import struct

import zmq

from syncsvc.wire import STATUS_TOPIC

MOST_PREFIXES = 4096
"""From here on everything counts as wanted: whoever asks for so much gets no say in what this process remembers."""
MAX_MESSAGES_PER_TURN = 256
_EVENT = struct.Struct("=Hi")
"""First part of a monitor's message, zmq_socket_monitor(3): what happened, and the descriptor to which it did. pyzmq's
own reader imports asyncio, which is a quarter of the receiver's start."""


class Audience:
    """The peers of an XPUB socket and what they asked for; ``look`` from the socket's thread, the rest from any."""

    def __init__(self, live: "zmq.Socket[bytes]") -> None:
        self._live = live
        self._monitor = live.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._peers: set[int] = set()
        self._prefixes: frozenset[bytes] = frozenset()
        self.subscriptions = 0
        self.status_listeners = 0

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic."""
        prefixes = self._prefixes
        return len(prefixes) >= MOST_PREFIXES or any(topic.startswith(prefix) for prefix in prefixes)

    def look(self) -> bool:
        """Take in who came, went and subscribed, a bounded part of it; true when nobody is left."""
        had_peers = bool(self._peers)
        while self._monitor.poll(0):
            event, descriptor = _EVENT.unpack(self._monitor.recv_multipart()[0])
            if event == zmq.EVENT_ACCEPTED:
                self._peers.add(descriptor)
            else:
                self._peers.discard(descriptor)
        for _ in range(MAX_MESSAGES_PER_TURN):
            try:
                self._handle(self._live.recv(zmq.DONTWAIT))
            except zmq.Again:
                break
        if not self._peers:
            self._prefixes, self.subscriptions, self.status_listeners = frozenset(), 0, 0
        return had_peers and not self._peers

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
        self._live.disable_monitor()
        self._monitor.close(0)
