"""The socket that results leave by: an XPUB of its own, which says how it is and that it ends, as ``live`` does."""

import secrets
from collections.abc import Sequence
from typing import Any, Self

import zmq

from syncsvc.certificates import Guard
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import BindError
from syncsvc.publish.audience import Audience
from syncsvc.publish.gate import Gate
from syncsvc.publish.guests import MOST_GUESTS, Guests
from syncsvc.publish.sockets import bind
from syncsvc.wire import STATUS_TOPIC, State, encode_status

STATUS_NS = NS_PER_S
RESULTS_MARK = 64
"""How many results a subscriber may be behind: each may be a picture."""
MAX_SUBSCRIPTION_BYTES = 1024
LAST_WORDS_MS = 300
"""How long the end waits for subscribers that have yet to ask for ``status``."""


class ResultOutlet:
    """For one thread, but ``endpoint``."""

    def __init__(self, endpoint: str, guard: Guard | None = None) -> None:
        """Bind; over TCP for those alone whom the ``guard`` knows, where there is one.

        Raises:
            BindError: the endpoint is in use, or not to be had.
        """
        self.pool_id, self._epoch = secrets.token_hex(8), SYSTEM_CLOCK.utc_ns() // NS_PER_MS
        self._context = zmq.Context()
        self._gate = Gate.of(self._context, guard)
        try:
            self._socket, self.endpoint = bind(
                self._context,
                zmq.XPUB,
                endpoint,
                send_mark=RESULTS_MARK,
                most_bytes=MAX_SUBSCRIPTION_BYTES,
                gate=self._gate,
            )
        except BindError:
            self._context.destroy(linger=0)
            raise
        self._audience = Audience(
            self._socket, Guests(self._socket, "results", MOST_GUESTS, SYSTEM_CLOCK, gate=self._gate)
        )
        self._due_ns = 0

    def send(self, parts: Sequence[Any]) -> None:
        """Send one result; arrays are copied now, and who is full loses it."""
        self._socket.send_multipart(parts, copy=True)

    def look(self) -> None:
        """Say how it is once a second, and to whoever subscribes."""
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        if self._gate is not None:
            self._gate.serve()
        if self._audience.look() or now_ns >= self._due_ns:
            self._due_ns = now_ns + STATUS_NS
            self._say("running")

    def _say(self, state: State) -> None:
        said = encode_status(self.pool_id, self._epoch, state, emitted_ns=SYSTEM_CLOCK.utc_ns())
        self._socket.send_multipart([STATUS_TOPIC, said])

    def end(self, *, is_over: bool) -> None:
        """Say that nothing will come any more, or for now, also to who asks only now."""
        state: State = "ended" if is_over else "draining"
        self._say(state)
        if self._socket.poll(LAST_WORDS_MS) and self._audience.look():
            self._say(state)

    def close(self) -> None:
        """Let what was sent leave, for a while."""
        self._audience.close()
        if self._gate is not None:
            self._gate.close()
        self._context.destroy(linger=LAST_WORDS_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
