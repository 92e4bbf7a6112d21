"""The words of mode ``lossless`` on ``control``: what a subscriber asks for, and what it is told between batches."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from syncsvc.errors import WireError
from syncsvc.wire.header import Label, Name, Natural, Stamp, unpack

MAX_WORD_BYTES = 1 << 16
"""Of what a subscriber says: a place in each of some hundred groups."""
MOST_GROUPS = 256
MOST_CREDIT = 16

SubscriptionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
Place = tuple[Natural, Annotated[int, Meta(ge=-1, le=2**63 - 1)]]
"""``(epoch, seq)`` of a batch; ``seq`` is -1 before the first one of an epoch."""
Groups = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MOST_GROUPS)]
Places = Annotated[dict[Name, Place], Meta(max_length=MOST_GROUPS)]


class Mark(Struct, frozen=True, array_like=True):
    """A batch by its numbers and its window; the bounds are None where nobody knows them any more."""

    run_id: str
    epoch: Natural
    seq: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    window: tuple[Stamp, Stamp] | None

    @property
    def place(self) -> Place:
        """Where it stands in its group."""
        return self.epoch, self.seq


class Resume(Struct, frozen=True, tag="resume", tag_field="type"):
    """A subscription begins, or goes on after a connection or a process of its subscriber ended.

    ``client`` is random per subscriber, ``session`` counts its connections. ``received`` are the batches behind which
    it wants to go on, by group, where it knows them, ``acknowledged`` those that it has done with. Otherwise a
    subscription with a ``name`` goes on where it was, and a new one begins with what comes from now on, the ``oldest``
    batch that is kept, the one whose window holds ``start_ns`` (UTC), or the one with the epoch and number of
    ``start_at``. ``credit`` batches may be sent before the next word. One that is not ``counted`` is none of those that
    the service waits for.
    """

    v: Literal[1]
    client: Label
    session: Natural
    payload: Literal["batch", "coded", "head"]
    credit: Annotated[int, Meta(ge=0, le=MOST_CREDIT)]
    groups: Groups | None = None
    name: SubscriptionName | None = None
    oldest: bool = False
    start_ns: Stamp | None = None
    start_at: Place | None = None
    received: Annotated[dict[Name, Mark], Meta(max_length=MOST_GROUPS)] = {}
    acknowledged: Places = {}
    counted: bool = True

    @property
    def start(self) -> Literal["oldest"] | int | Place | None:
        """Where a new one begins."""
        return "oldest" if self.oldest else self.start_ns if self.start_at is None else self.start_at


class Credit(Struct, frozen=True, tag="credit", tag_field="type"):
    """Batches are acknowledged, up to these, and ``credit`` may be sent in all since the session began; a heartbeat."""

    v: Literal[1]
    client: Label
    session: Natural
    credit: Natural
    acknowledged: Places = {}


class Leave(Struct, frozen=True, tag="leave", tag_field="type"):
    """The subscriber closes; a subscription with a name is kept for whoever comes next."""

    v: Literal[1]
    client: Label


Word = Resume | Credit | Leave
_WORDS = frozenset(("resume", "credit", "leave"))


class Continuation(Struct, frozen=True):
    """How a subscription goes on in one group.

    ``after`` is the batch behind which it does, ``until`` the last one that is here already: with it, or with what is
    said to be missing up to it, the subscriber has caught up. None where there is none.
    """

    after: Mark | None = None
    until: Place | None = None


class Resumed(Struct, frozen=True):
    """The second part of ``[RESUMED_TOPIC, ...]``: the answer to ``resume``; batches of its session follow."""

    v: Literal[1]
    session: Natural
    groups: dict[Name, Continuation]


class Missing(Struct, frozen=True):
    """The second part of ``[gap_topic(group), ...]``: batches up to ``last`` are not to be had, and why.

    ``after`` is the batch before them, where the subscriber was not told of it.
    """

    v: Literal[1]
    group: Name
    reason: Label
    last: Mark
    after: Mark | None = None


class Identity(Struct, frozen=True):
    """What a header says of which batch it is."""

    group: Name
    run_id: Label
    epoch: Natural
    seq: Natural
    window: tuple[Stamp, Stamp]


class _Kind(Struct, frozen=True):
    type: str


_encoder = msgspec.msgpack.Encoder()
_words: "msgspec.msgpack.Decoder[Word]" = msgspec.msgpack.Decoder(Word)
_kind = msgspec.msgpack.Decoder(_Kind)
_resumed = msgspec.msgpack.Decoder(Resumed)
_missing = msgspec.msgpack.Decoder(Missing)
_identity = msgspec.msgpack.Decoder(Identity)


def encode_word(word: Word | Resumed | Missing) -> bytes:
    """One word, of either side."""
    return _encoder.encode(word)


def is_word(data: bytes) -> bool:
    """Whether somebody means one of the words, right or wrong."""
    try:
        return _kind.decode(data).type in _WORDS
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def decode_word(data: bytes) -> Word:
    """What a subscriber says.

    Raises:
        WireError: it is none of the words.
    """
    if len(data) > MAX_WORD_BYTES:
        raise WireError(f"control: {len(data)} bytes, at most {MAX_WORD_BYTES} are allowed")
    return unpack(_words, data, "control")


def decode_resumed(data: bytes) -> Resumed:
    """The second part of ``resumed``.

    Raises:
        WireError: it is none.
    """
    return unpack(_resumed, data, "resumed")


def decode_missing(data: bytes) -> Missing:
    """The second part of ``gap/GROUP``.

    Raises:
        WireError: it is none.
    """
    return unpack(_missing, data, "gap")


def decode_identity(header: bytes) -> Identity:
    """Which batch a header is of; nothing else of it is looked at.

    Raises:
        WireError: it is no header.
    """
    return unpack(_identity, header, "header")


def as_redelivered(header: bytes) -> bytes:
    """The header of a batch, marked as one that its subscriber was sent before."""
    return _encoder.encode({**msgspec.msgpack.decode(header), "redelivered": True})
