"""Gives every contestant its turn in each round, so that what a busy machine does to one it does to all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from syncsvc.errors import LinkClosed, UsageError
from syncsvc.observe.figures import median, percentile

T = TypeVar("T")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What ``syncsvc bench NAME`` is asked for; a benchmark looks at what means something to it."""

    progress: Progress
    """Is told what is done now."""
    seconds: float = 0.0
    """How long each turn is measured, after its warm-up."""
    rounds: int = 3
    """How often each has its turn."""
    frames: int = 100
    """Per turn of ``transport``; subscribers get as many at 25 a second."""
    step: int | None = None
    """Streams more at a time in ``capacity``; None is 4, and 16 for ``encoded``."""
    only: str | None = None
    """Words of the rows that are meant; None means all. What they are compared to is measured in any case."""
    case: str | None = None
    """The only simulated case of ``accuracy`` to run; there is no live run then."""

    def chosen(self, labels: Iterable[str]) -> list[str]:
        """The labels that have every word of ``only``: ``i420 local`` means the rows that have both.

        Raises:
            UsageError: none has.
        """
        labels = list(labels)
        found = self.among(labels)
        if not found:
            raise UsageError(f"--only {self.only!r} names nothing; there are {'; '.join(labels)}")
        return found

    def among(self, labels: Iterable[str]) -> list[str]:
        """The same, of a part of the rows: there may be none among these."""
        words = (self.only or "").lower().replace(",", " ").split()
        return [label for label in labels if all(word in label.lower() for word in words)]


@dataclass(frozen=True, slots=True)
class Results(Generic[T]):
    """One result per round of each contestant, and who could not take part, with the reason."""

    found: Mapping[str, list[T]]
    absent: Mapping[str, str]

    def ratio(self, name: str, base: str, cost: Callable[[T], float]) -> float | None:
        """The median over the rounds of one's cost over another's in the same round; None where one is absent."""
        each = self.ratios(name, base, cost)
        return median(each) if each else None

    def ratios(self, name: str, base: str, cost: Callable[[T], float]) -> list[float]:
        """The same, round by round."""
        if name not in self.found or base not in self.found:
            return []
        return [cost(one) / cost(other) for one, other in zip(self.found[name], self.found[base], strict=True)]

    def middle(self, name: str, cost: Callable[[T], float]) -> T:
        """The median round of one that took part, by cost."""
        return percentile(sorted(self.found[name], key=cost), 50)

    def notes(self) -> tuple[str, ...]:
        """A line for each that is absent."""
        return tuple(f"not measured: {name}: {why}" for name, why in self.absent.items())


def alternate(contestants: Mapping[str, Callable[[], T]], rounds: int, progress: Progress) -> Results[T]:
    """Let each have its turn, ``rounds`` times.

    ``LinkClosed`` from one means that it cannot take part, and it is left out from then on.
    """
    found: dict[str, list[T]] = {name: [] for name in contestants}
    absent: dict[str, str] = {}
    for number in range(rounds):
        for name, turn in contestants.items():
            if name in absent:
                continue
            progress(f"round {number + 1} of {rounds}: {name}")
            try:
                found[name].append(turn())
            except LinkClosed as error:
                absent[name] = str(error)
    return Results({name: results for name, results in found.items() if name not in absent}, absent)
