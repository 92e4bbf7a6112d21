"""What every way out of the service has in common, so that another one is another file, and nobody else's delay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from syncsvc import wire
from syncsvc.model import Frame, FrameBatch, LateFrame
from syncsvc.publish.store import Kept
from syncsvc.wire import Mark

Waits = Callable[[], bool]
"""Asked again and again while a subscriber is full: whether it is waited for, or loses what is sent."""

BacklogOf = Callable[[str], int]
"""How many batches of a group a subscriber may be behind before it loses one, as of the one that is sent now."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch or a late frame, made ready once for all outlets that want it under a topic.

    Under ``head/`` it is the header alone, without frames. ``frames`` are in the order of the header's rows, and stay
    where they are until ``send`` returns: an outlet that needs them longer takes leases, or keeps ``copies``, their
    payloads in buffers that live for as long as somebody refers to them. There are copies where an outlet that wants
    them says so by ``needs_copies``.
    """

    item: FrameBatch | LateFrame
    topic: bytes
    header: bytes
    frames: Sequence[Frame]
    copies: Sequence[Any]


def kept(prepared: Prepared, order: int) -> Kept:
    """A batch for those who come later."""
    it = wire.decode_identity(prepared.header)
    mark = Mark(it.run_id, it.epoch, it.seq, it.window)
    size_bytes = len(prepared.header) + sum(memoryview(copy).nbytes for copy in prepared.copies)
    return Kept(prepared.topic, it.group, order, mark, prepared.header, prepared.copies, size_bytes)


class Outlet(Protocol):
    """One way out.

    It is sent everything that it wants, in order, and never two things at once. A subscriber of its own that does not
    keep up costs the others nothing: it loses batches, unless ``Waits`` says that it is waited for.
    """

    needs_copies: bool
    """What it sends outlives the batch; otherwise it takes leases of the slots that the frames lie in."""
    is_bound: bool
    """Only the publisher's thread may send, as a socket wants it; otherwise whoever brings a batch."""

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are, whatever to; from any thread."""
        ...

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic; from any thread."""
        ...

    def send(self, prepared: Prepared, waits: Waits) -> None:
        """Send it to everybody who wants it."""
        ...

    def send_status(self, status: bytes, waits: Waits) -> None:
        """Send what is said under ``status``; who is full learns it from the next one, and is not waited for.

        Where ``waits`` says that batches wait, it costs nobody a batch either.
        """
        ...

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        """Say the last word and close, after everything that was sent.

        Args:
            status: makes the last word, with the time of now.
            waits: as for ``send``.
            is_over: no service will follow: also who comes only now is to learn that.
            linger_ms: how long what was sent may take to leave; -1 for as long as it takes.
        """
        ...


class Server(Protocol):
    """What the publisher's thread listens to, besides sending."""

    @property
    def socket(self) -> Any:
        """To poll on."""
        ...

    def serve(self) -> None:
        """Take in what came, a bounded part of it; called also when nothing did."""
        ...
