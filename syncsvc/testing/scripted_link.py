"""A link without a pipe: the messages of a script on one side, the leases that came home on the other."""

import os
from collections import deque

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.layout import Layout
from syncsvc.testing.build import TINY
from syncsvc.transport.messages import Message, RingMessage


class MemoryLink:
    """Reads like a ``LinkReader``; a test writes with ``send`` and ``hang_up``."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._rings: dict[int, tuple[int, Layout, Layout | None]] = {}
        self._is_hung_up = self.is_closed = False
        self.returned: list[tuple[int, int]] = []
        self.retired: list[int] = []

    def send(self, *messages: Message) -> None:
        """What the capture writes."""
        self._messages.extend(messages)

    def send_ring(
        self, ring_id: int, slots: int, slot_bytes: int, fd: int, layout: Layout = TINY, coded: Layout | None = None
    ) -> None:
        """Announce a ring; the descriptor stays the caller's."""
        self._rings[ring_id] = os.dup(fd), layout, coded
        self.send(RingMessage(ring_id, slots, slot_bytes))

    def hang_up(self) -> None:
        """The capture ends; what it wrote can still be read."""
        self._is_hung_up = True

    def poll(self, timeout_s: float) -> bool:
        """Whether a message or the end can be read; never waits."""
        return bool(self._messages) or self._is_hung_up

    @property
    def has_more(self) -> bool:
        """The same: what a script says is all there."""
        return self.poll(0)

    def receive(self) -> Message:
        """The next message.

        Raises:
            LinkClosed: there is none and never will be.
        """
        if self._messages:
            return self._messages.popleft()
        raise LinkClosed("the capture closed its pipe")

    def take_ring(self, ring_id: int) -> tuple[int, Layout, Layout | None]:
        """The descriptor of the ring that was announced, which the caller closes, and its layout.

        Raises:
            TransportError: it did not come.
        """
        if ring_id not in self._rings:
            raise TransportError(f"ring {ring_id} was announced and did not come")
        return self._rings.pop(ring_id)

    def give_back(self, leases: list[tuple[int, int]]) -> None:
        """Leases ``(ring, slot)`` go home; a test finds them in ``returned``."""
        self.returned += leases

    def retire(self, ring_id: int) -> None:
        """The ring is to be exchanged; a test finds it in ``retired``."""
        self.retired.append(ring_id)

    def close(self) -> None:
        """The reader is done with it."""
        self.is_closed = True
        for fd, *_ in self._rings.values():
            os.close(fd)
        self._rings.clear()
