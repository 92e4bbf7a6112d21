"""What the receiver tells the daemon."""

from syncsvc.observe.status import ReceiverStatus
from syncsvc.transport.channel import Message


class Bound(Message, tag="bound", frozen=True):
    """Its sockets listen at these endpoints."""

    live: str
    control: str


class BindRefused(Message, tag="bind_refused", frozen=True):
    """It cannot bind this endpoint, and ends."""

    endpoint: str
    problem: str


class Subscribed(Message, tag="subscribed", frozen=True):
    """As many subscribers as the plan waits for are there."""


class LeaseRoom(Message, tag="lease_room", frozen=True):
    """Subscribers on this host hold the stream's frames for ``span_ns`` beyond their batch."""

    stream: str
    span_ns: int


class Report(Message, tag="report", frozen=True):
    """How it does, twice a second: a sign of life."""

    report: ReceiverStatus


class Done(Message, tag="done", frozen=True):
    """Everything was sent: it ends."""


FromReceiver = Bound | BindRefused | Subscribed | LeaseRoom | Report | Done
