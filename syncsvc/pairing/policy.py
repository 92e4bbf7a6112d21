"""What a rule of pairing is asked, and what it answers: another rule is another file, and touches no other.

Who drives, what belongs together and what is held over a window's edge are the rule's; the aligners keep frames, close
windows and count. ``align/deciders.py`` says which rule a group has. The rules that the service is compared to
(``bench/rules.py``) are of this form too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Seen(Protocol):
    """A frame, as far as a rule may know it; times are UTC nanoseconds."""

    @property
    def seq(self) -> int:
        """Its number in its stream."""
        ...

    @property
    def time_ns(self) -> int:
        """When it was taken, as far as is known."""
        ...

    @property
    def arrival_ns(self) -> int:
        """When it came."""
        ...


FrameT = TypeVar("FrameT", bound=Seen)


@dataclass(frozen=True, slots=True)
class Window(Generic[FrameT]):
    """What is known when the window ``[start_ns, end_ns)`` closes (UTC); streams in the group's order.

    ``frames`` are those that no set has taken yet, by capture time, up to ``horizon_ns``.
    ``counts`` says how many frames each stream took within it, in sets or not. Of each stream, nothing at or before the
    time in ``after`` may be used: an earlier set used it. Streams that are ``doubtful`` change no set of the others.
    Where a ``leader`` is known already it is not for the counts to say whose frames are references first.
    """

    start_ns: int
    end_ns: int
    horizon_ns: int
    frames: Mapping[str, Sequence[FrameT]]
    counts: Mapping[str, int]
    after: Mapping[str, int]
    doubtful: Collection[str] = ()
    leader: str | None = None


@dataclass(frozen=True, slots=True)
class Fixed(Generic[FrameT]):
    """Frames that belong together for good, by stream; the set leaves with the window of its reference's time."""

    reference_ns: int
    frames: Mapping[str, FrameT]


class Policy(Protocol):
    """A rule: pure, no clock, no thread; the same questions get the same answers, whatever it was asked before."""

    def sets(self, window: Window[FrameT]) -> Sequence[Fixed[FrameT]]:
        """The sets that are fixed when a window closes, in order.

        Those with a frame before its end are: with a reference from there on they are held over the edge, and leave
        with a later window. A frame is in at most one set, and every set has at least two.
        """
        ...


class SetPolicy(Policy, Protocol):
    """A rule that groups without windows can have too: who leads them changes only where that is clear."""

    max_skew_ns: int

    def leader(self, counts: Mapping[str, int], current: str | None = None, steady: Collection[str] = ()) -> str | None:
        """The stream whose frames are references first, by how many frames each has; None where there are none.

        Args:
            counts: frames per stream, in the group's order.
            current: the one that leads, and goes on where nobody's claim is clearly better.
            steady: those that may take its place.
        """
        ...


PolicyT = TypeVar("PolicyT", bound=Policy)


def trusted(streams: Iterable[str], doubtful: Collection[str], reference: str | None) -> list[str]:
    """The streams that may lead, in the group's order: those of good standing, and the configured reference."""
    return [name for name in streams if name not in doubtful or name == reference] if doubtful else list(streams)
