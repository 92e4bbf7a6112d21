"""A publisher's live socket for tests of the client: real ZeroMQ, told what to send, waiting for what subscribes."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import zmq

from syncsvc import wire
from syncsvc.model import FrameBatch
from tests.batches import batch, head_of, message_of

PATIENCE_MS = 20_000  # for what must come; nothing waits this long when all is well
TURN_MS = 10


class LiveSocket:
    """An XPUB socket on ``endpoint``; a free port by default. Where it may lose, that is asked for."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*", high_water_mark: int = 1000) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.setsockopt(zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(zmq.LINGER, PATIENCE_MS)
        self._socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        self._socket.bind(endpoint)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.subscriptions: list[bytes] = []

    def wait_for(self, topic: bytes, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Until somebody subscribes to exactly this.

        Args:
            topic: of the subscription.
            meanwhile: called again and again. After a reconnect libzmq repeats subscriptions in the thread that uses
                the subscriber's socket, so one that nobody uses stays without them.
        """
        for _ in range(PATIENCE_MS // TURN_MS):
            if topic in self.subscriptions:
                return
            meanwhile()
            if self._socket.poll(TURN_MS):
                word = self._socket.recv()
                if word[:1] == b"\1":
                    self.subscriptions.append(word[1:])
        raise AssertionError(f"nobody subscribed to {topic!r}; there are {self.subscriptions}")

    def wait_until_alone(self) -> None:
        """Until a subscriber's topics are cancelled, as its going does."""
        while self._socket.recv()[:1] != b"\0":
            pass

    def send(self, *batches: FrameBatch | Sequence[Any]) -> None:
        """Batches, each under both of its topics as a service sends them, or messages as they are."""
        for one in batches:
            parts = message_of(one) if isinstance(one, FrameBatch) else one
            if isinstance(one, FrameBatch):
                self._socket.send_multipart(head_of(parts))
            self._socket.send_multipart(parts)

    def send_status(self, state: wire.State) -> None:
        self.send([wire.STATUS_TOPIC, wire.encode_status("run-1", batch().epoch, state, emitted_ns=1)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close(0 if kind else None)
        self._context.term()
