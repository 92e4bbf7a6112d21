"""What every aligner does alike, windows or not: it keeps the accounts and puts batches together."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Generic, Protocol

from syncsvc.model import Counts, Frame, FrameBatch, FrameSet, MissingReason
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.policy import PolicyT, trusted

_BY_SEQ = attrgetter("seq")


class Reason(Protocol):
    """Why a stream counts as missing, told how far the window reaches; None: it does not."""

    def __call__(self, stream: str, until_ns: int, has_frames: bool, is_quiet: bool = False) -> MissingReason | None:
        """``is_quiet``: its pace says that no frame of it is to come before ``until_ns``."""
        ...


@dataclass(slots=True)
class _Ledger:
    """What was learnt of one stream since the last batch."""

    late: int = 0
    skipped: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class BatchMaker(Generic[PolicyT]):
    """A group's accounts, and the numbers of its batches."""

    def __init__(self, group: str, opening: Open, make_policy: Callable[[GroupRules], PolicyT]) -> None:
        self._group, self.rules, self.epoch, self.seq = group, opening.rules, opening.epoch, opening.first_seq
        self._make_policy, self._policy = make_policy, make_policy(opening.rules)
        self._ledgers: defaultdict[str, _Ledger] = defaultdict(_Ledger)
        self._doubtful: set[str] = set()

    @property
    def deadline_ns(self) -> int:
        """When the next batch leaves at the latest, UTC."""
        raise NotImplementedError

    def count_late(self, stream: str, count: int = 1) -> None:
        """Frames came for a window that is closed."""
        self._ledgers[stream].late += count

    def count_dropped(self, stream: str, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        self._ledgers[stream].dropped[cause] += count

    def count_skipped(self, stream: str, count: int) -> None:
        """Frames never reached us."""
        self._ledgers[stream].skipped += count

    def doubt(self, stream: str, is_doubtful: bool) -> None:
        """Note whether a stream's times are to be doubted: then it changes no set of the others, it only joins them.

        It joins sets that are fixed. Where no other stream has frames, doubtful ones are paired with each other; a
        stream that is the configured reference drives in any case.
        """
        (self._doubtful.add if is_doubtful else self._doubtful.discard)(stream)

    def _adopt(self, rules: GroupRules) -> None:
        """Go by these rules, and forget what was learnt of streams that left the group."""
        self.rules, self._policy = rules, self._make_policy(rules)
        kept = set(rules.streams)
        self._doubtful &= kept
        for name in self._ledgers.keys() - kept:
            del self._ledgers[name]

    def _trusted(self) -> list[str]:
        """The streams that may lead, in the group's order."""
        return trusted(self.rules.streams, self._doubtful, self.rules.reference)

    def _make(
        self,
        window: tuple[int, int],
        reasons: Mapping[str, MissingReason | None],
        frames: Mapping[str, list[Frame]],
        sets: Iterable[Mapping[str, Frame]],
    ) -> FrameBatch:
        """The next batch, without ``emitted_ns``; a set whose partner left is none."""
        for some in frames.values():
            some.sort(key=_BY_SEQ)
        batch = FrameBatch(
            group=self._group,
            seq=self.seq,
            epoch=self.epoch,
            window_start_ns=window[0],
            window_end_ns=window[1],
            emitted_ns=0,
            missing={name: why for name, why in reasons.items() if why is not None},
            frames=frames,
            sets=[as_set(self.rules.streams, chosen) for chosen in sets if len(chosen) > 1],
            counts={name: self._account(name, len(frames[name])) for name in self.rules.streams},
        )
        self.seq += 1
        return batch

    def _account(self, name: str, delivered: int) -> Counts:
        ledger = self._ledgers.pop(name, None)
        if ledger is None:
            return Counts(delivered, delivered)
        dropped = {cause: count for cause, count in ledger.dropped.items() if count}
        captured = delivered + ledger.late + sum(dropped.values())
        return Counts(captured, delivered, ledger.late, dropped, ledger.skipped)


def as_set(streams: Sequence[str], chosen: Mapping[str, Frame]) -> FrameSet:
    """The frames as a set of a group of these streams."""
    ordered = {name: chosen[name] for name in streams if name in chosen}
    times = [frame.time_ns for frame in ordered.values()]
    missing = () if len(ordered) == len(streams) else tuple(name for name in streams if name not in chosen)
    return FrameSet(max(times) - min(times), ordered, missing)
