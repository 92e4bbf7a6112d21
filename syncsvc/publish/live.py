"""The outlet over ZeroMQ: one XPUB socket, from which everybody gets copies, and who falls behind loses batches.

A subscriber that does not keep up loses batches at its own high-water mark, and sees the hole in ``seq``. Recordings
played ``asap`` are the exception: there a full subscriber is waited for, and nothing is lost.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import zmq

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.model import LateFrame
from syncsvc.publish.audience import Audience
from syncsvc.publish.gate import Gate
from syncsvc.publish.guests import MOST_GUESTS, Guests
from syncsvc.publish.outlet import BacklogOf, Prepared, Waits
from syncsvc.publish.sockets import LINGER_MS, PATIENCE_MS, bind
from syncsvc.wire import STATUS_TOPIC

MAX_SUBSCRIPTION_BYTES = 1024
"""The longest topic has 70; what peers subscribe to stays in libzmq's memory."""
POLL_MS = 100
LATE_COMERS_NS = NS_PER_S
"""How long the end waits for subscribers that have yet to ask for ``status``."""
LATE_PATIENCE_MS = 20
BACKLOGS = 4
"""What waits for all who stand still may be so many times what may wait for one. Who stopped at the same moment waits
for the same batches, which are there once; each who stopped at another has some of its own."""


class LiveOutlet:
    """Everything from the publisher's thread, but ``subscriptions`` and ``wants``."""

    needs_copies = is_bound = True
    socket: "zmq.Socket[bytes]"

    def __init__(self, clock: Clock, backlog_of: BacklogOf, let_go: Callable[[], None]) -> None:
        """Prepare.

        Args:
            clock: for what is waited for.
            backlog_of: how many batches of a group a subscriber may fall behind, as of the one that is sent now.
            let_go: called some seconds after a subscriber left, to give back what was kept for it.
        """
        self._clock, self._backlog_of, self._let_go = clock, backlog_of, let_go
        self._marks: dict[str, int] = {}
        self._largest_bytes: dict[str, int] = {}
        self._waiting: list[tuple[zmq.MessageTracker, int]] = []
        self._hurried_until_ns = 0
        self._has_lost = False

    def bind(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        most_guests: int = MOST_GUESTS,
        gate: Gate | None = None,
    ) -> str:
        """Bind; returns the endpoint, with the port that was taken where 0 was asked for.

        ``most_guests`` may be connected, whom the ``gate`` lets in.

        Raises:
            BindError: the endpoint is in use, or not to be had.
        """
        self.socket, bound = bind(
            context, zmq.XPUB, endpoint, send_mark=1, most_bytes=MAX_SUBSCRIPTION_BYTES, gate=gate
        )
        self.socket.set(zmq.XPUB_VERBOSER, 1)  # every subscription is told, also a second one to the same topic
        self._guests = Guests(self.socket, "live", most_guests, self._clock, self._let_go, gate)
        self._audience = Audience(self.socket, self._guests)
        return bound

    def follow(self, most_guests: int) -> None:
        """So many may be connected from now on; from any thread."""
        self._guests.most = most_guests

    @property
    def subscriptions(self) -> int:
        """Subscriptions that peers hold now, whatever their prefix."""
        return self._audience.subscriptions

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic."""
        return self._audience.wants(topic)

    def serve(self) -> None:
        """Take in who came, went and subscribed."""
        self._audience.look()

    def send(self, prepared: Prepared, waits: Waits) -> None:
        """Send one message; a late frame in a burst of them with a moment's patience."""
        self._allow(prepared.item.group)
        self._bound(prepared)
        parts = [prepared.topic, prepared.header, *prepared.copies]
        if not isinstance(prepared.item, LateFrame) or waits() or not self._send_soon(parts):
            self._send(parts, waits)

    def _allow(self, group: str) -> None:
        """Let subscribers fall as far behind as the group of what is sent now needs it, beside the others.

        A socket's mark does not tell topics apart, and windows of several groups close at the same instant. It counts
        for peers that are there too (``socket_base_t::update_pipe_options``). It never falls: a peer that has taken
        everything, and by the old mark need not say so yet, would count as full for ever.
        """
        mark = self._backlog_of(group)
        if mark > self._marks.get(group, 0):
            self._marks[group] = mark
            self.socket.set(zmq.SNDHWM, sum(self._marks.values()))

    def _bound(self, prepared: Prepared) -> None:
        """Cut somebody off who stands still where what waits for all of them is more than is fair."""
        size_bytes, group = sum(map(len, prepared.copies)), prepared.item.group
        self._largest_bytes[group] = max(size_bytes, self._largest_bytes.get(group, 0))
        self._waiting = [(tracker, size) for tracker, size in self._waiting if not tracker.done]
        of_one = sum(self._marks[group] * largest for group, largest in self._largest_bytes.items())
        if sum(size for _, size in self._waiting) > BACKLOGS * of_one:
            self._guests.hang_up_stillest()

    def _send(self, parts: Sequence[Any], waits: Waits) -> None:
        """Send one message; where subscribers are waited for, when the first part is taken or patience is over."""
        while waits():
            if self._reaches_all(parts):
                return
            self.serve()
        if not self._reaches_all(parts, zmq.DONTWAIT):
            self._has_lost = True
            self.socket.set(zmq.XPUB_NODROP, 0)  # who is full loses it, the others get it
            self._put(parts)

    def _reaches_all(self, parts: Sequence[Any], flags: int = 0) -> bool:
        """Send one message unless a subscriber stays full."""
        self.socket.set(zmq.XPUB_NODROP, 1)
        try:
            self._put(parts, flags)
        except zmq.Again:
            return False
        return True

    def _put(self, parts: Sequence[Any], flags: int = 0) -> None:
        tracker = self.socket.send_multipart(parts, flags, copy=False, track=True)
        self._waiting.append((cast(zmq.MessageTracker, tracker), sum(len(part) for part in parts)))

    def _send_soon(self, parts: Sequence[Any]) -> bool:
        """Send a late frame. They come in bursts that a high-water mark of two would cut: readers are given a moment.

        One who does not read costs that moment once a second; then it is false, and nothing was sent.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._hurried_until_ns:
            return False
        self.socket.set(zmq.SNDTIMEO, LATE_PATIENCE_MS)
        try:
            is_sent = self._reaches_all(parts)
        finally:
            self.socket.set(zmq.SNDTIMEO, PATIENCE_MS)
        if not is_sent:
            self._hurried_until_ns = now_ns + NS_PER_S
        return is_sent

    def send_status(self, status: bytes, waits: Waits) -> None:
        """Send what is said under ``status``; where batches wait, only if nobody is full.

        Who loses a message is out of reach for libzmq until it has read some: also what it is waited for with would not
        go to it then (``dist_t``).
        """
        if waits():
            self._reaches_all([STATUS_TOPIC, status], zmq.DONTWAIT)
        else:
            self._send([STATUS_TOPIC, status], waits)

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        """Say the last word, again for everybody who subscribes to ``status`` only now that batches have come; close.

        Where somebody lost a message, and so may be out of reach, it is said again and again for a while. What the
        socket still holds has the linger to leave, while its context is ended.
        """
        told, until_ns = 0, self._clock.monotonic_ns() + (LINGER_MS * NS_PER_MS if self._has_lost else LATE_COMERS_NS)
        while True:
            listeners = self._audience.status_listeners
            if listeners > told or self._has_lost:
                self._send([STATUS_TOPIC, status()], waits)
                told = listeners
            is_told = not is_over or self._clock.monotonic_ns() >= until_ns
            if is_told or (2 * listeners >= self._audience.subscriptions and not self._has_lost):
                break
            self.socket.poll(POLL_MS)
            self.serve()
        self._audience.close()
        self.socket.close(linger_ms)
