"""What went into a data set, and what did not, by cause: nothing is left out in silence."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class ExportedStream:
    """One stream's pictures: ``other_sizes`` of them were recorded in another size than ``size``.

    ``size`` is the data set's, or the first one's; ``unshown`` are in no file, by cause.
    """

    pictures: int = 0
    size: tuple[int, int] | None = None
    other_sizes: int = 0
    unshown: Counter[str] = field(default_factory=Counter)

    def take(self, size: tuple[int, int], recorded: tuple[int, int]) -> None:
        """Count a picture."""
        self.pictures += 1
        self.size = self.size or size
        self.other_sizes += recorded != self.size


@dataclass(slots=True)
class ExportTally:
    """One group's sets: those exported, and those left out by cause.

    ``incomplete``: sets that lack a stream; a WebDataset keeps them.
    """

    group: str
    recorded: int = 0
    sets: int = 0
    incomplete: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    streams: dict[str, ExportedStream] = field(default_factory=lambda: defaultdict(ExportedStream))
    files: int = 0
    episodes: int = 0
    fps: int | None = None
    rate_hz: float = 0.0
