"""What became of every picture that was chosen, in numbers: written, or not, and why not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from syncsvc.observe.pace import Pace
from syncsvc.sinks.stills.still import Cause, Outcome

MOSAICS: Final = "mosaics"
"""What mosaics are counted under: they are of no stream. No stream can have more than 64 letters, or be called so by
chance alone: then both are counted together."""


@dataclass(slots=True)
class StreamTally:
    """Of one stream: ``chosen = written + sum(dropped) + under way``, always."""

    chosen: int = 0
    written: int = 0
    size_bytes: int = 0
    dropped: Counter[Cause] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Chosen, and not on the disk."""
        return sum(self.dropped.values())


class StillsTally:
    """Of all streams, and what there is to say of problems: at most a line a second."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamTally] = {}
        self.batches = 0
        """Batches looked at."""
        self._problem, self._untold, self._pace = "", 0, Pace()

    def of(self, stream: str) -> StreamTally:
        """The account of one stream, or of mosaics (an empty name)."""
        return self.streams.setdefault(stream or MOSAICS, StreamTally())

    def note(self, stream: str, outcome: Outcome) -> None:
        """Count one that was written, or was not."""
        account = self.of(stream)
        if outcome.cause:
            account.dropped[outcome.cause] += 1
            if not self._untold:
                self._problem = f"{outcome.path}: {outcome.problem}"
            self._untold += 1
        else:
            account.written += 1
            account.size_bytes += outcome.size_bytes

    def news(self, now_ns: int) -> str:
        """A line on what went wrong since the last one, where there is something to say and it is time."""
        if not self._untold or not self._pace.allows(now_ns):
            return ""
        more = f" (and {self._untold - 1} more)" if self._untold > 1 else ""
        self._untold = 0
        return self._problem + more

    @property
    def written(self) -> int:
        """Pictures on the disk."""
        return sum(account.written for account in self.streams.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of them."""
        return sum(account.size_bytes for account in self.streams.values())

    @property
    def lost(self) -> int:
        """Pictures that were chosen and are not on the disk."""
        return sum(account.lost for account in self.streams.values())

    @property
    def dropped(self) -> Mapping[Cause, int]:
        """Pictures that were chosen and are not on the disk, by cause."""
        total: Counter[Cause] = Counter()
        for account in self.streams.values():
            total += account.dropped
        return total

    def as_object(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "written": self.written,
            "bytes": self.size_bytes,
            "dropped": dict(self.dropped),
            "batches": self.batches,
            "streams": {
                name: {
                    "chosen": one.chosen, "written": one.written, "bytes": one.size_bytes, "dropped": dict(one.dropped),
                }
                for name, one in self.streams.items()
            },
        }  # fmt: skip
