"""What the daemon tells the receiver, in the order in which it first does."""

from typing import ClassVar, Literal

from syncsvc.plan.plans import ReceiverPlan
from syncsvc.transport.channel import Message


class Serve(Message, tag="serve", frozen=True):
    """The first word: bind, and answer. Where there is an observation log, its descriptor comes along."""

    plan: ReceiverPlan
    is_logged: bool = False

    @property
    def descriptors(self) -> int:
        """One where there is a log."""
        return int(self.is_logged)


class KeepPage(Message, tag="keep_page", frozen=True):
    """The page of a group, which outlives the receiver: its descriptor comes along."""

    _descriptors: ClassVar[int] = 1
    group: str


class Begin(Message, tag="begin", frozen=True):
    """The service is ready, since ``ready_ns`` (UTC): groups and streams are made."""

    ready_ns: int


class Attach(Message, tag="attach", frozen=True):
    """A capture of the stream begins, with frame ``next_seq``: its pipe and its lease socket come along."""

    _descriptors: ClassVar[int] = 2
    stream: str
    next_seq: int


class Detach(Message, tag="detach", frozen=True):
    """The stream's capture is gone; ``next_seq`` is the number that its next frame would have had.

    Where it ``is_over``, no other will follow.
    """

    stream: str
    next_seq: int
    is_over: bool = False


class Reload(Message, tag="reload", frozen=True):
    """The configuration was read again."""

    plan: ReceiverPlan


class Drain(Message, tag="drain", frozen=True):
    """The service was asked to stop: captures come to their end."""


class Finish(Message, tag="finish", frozen=True):
    """Every capture has ended: emit what is open, and end; ``how`` is what subscribers are told."""

    how: Literal["ended", "draining"]


ToReceiver = Serve | KeepPage | Begin | Attach | Detach | Reload | Drain | Finish
