"""One stream's frames, counted: what its status says, and a line in the log about what was lost."""

import logging
from collections import Counter
from collections.abc import Mapping

from syncsvc.clock import NS_PER_MS
from syncsvc.ingest.delivered import DeliveredRate
from syncsvc.layout import Layout
from syncsvc.model import StreamState
from syncsvc.observe.pace import Pace
from syncsvc.observe.status import IngestStatus
from syncsvc.timing.ladder import Stamp

log = logging.getLogger(__name__)


class Losses:
    """One stream's losses that were not told of yet; pure.

    Guarantees: the numbers of all lines together are those of all losses; between two lines lies a second at least;
    the first loss after a quiet second is told at once, what follows it when the second is over.
    """

    def __init__(self) -> None:
        self._untold: Counter[str] = Counter()
        self._pace = Pace()

    def add(self, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        self._untold[cause] += count

    @property
    def has_untold(self) -> bool:
        """Whether something was lost that no line told of."""
        return bool(self._untold)

    def due(self, now_ns: int) -> str:
        """What is to be said now (monotonic): ``3 frames lost: 2 ring_full, 1 decode_error``, or an empty string."""
        return self.rest() if self._untold and self._pace.allows(now_ns) else ""

    def rest(self) -> str:
        """What was not told of yet, however short the time since the last line is: nothing will follow."""
        told, self._untold = self._untold, Counter()
        return losses_line(told) if told else ""


def losses_line(losses: Mapping[str, int]) -> str:
    """How many frames were lost, by cause, for the log."""
    total = sum(losses.values())
    causes = ", ".join(f"{count} {cause}" for cause, count in Counter(losses).most_common())
    return f"{total} {'frame' if total == 1 else 'frames'} lost: {causes}"


class Tally:
    """What became of a stream's frames; written by its thread, read by any."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self.state = StreamState.STARTING
        self.is_doubtful = False
        self.ring_slots: int | None = None
        self._captured = self._skipped = 0
        self._dropped: Counter[str] = Counter()
        self._losses = Losses()
        self._delivered = DeliveredRate()
        self.problem = ""
        """Why its frames could not be taken from its capture; until one could."""
        self._last_arrival_ns: int | None = None
        self._layout: Layout | None = None
        self._stamp: Stamp | None = None

    def arrived(self, arrival_ns: int, layout: Layout) -> None:
        """A frame came, at this time in UTC."""
        self._captured += 1
        self.problem = ""
        self._last_arrival_ns, self._layout = arrival_ns, layout

    def stamped(self, stamp: Stamp) -> None:
        """A frame has its time."""
        self._stamp = stamp
        self._delivered.add(stamp.time_ns, stamp.arrival_ns)

    def lost(self, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        self._captured += count
        self._dropped[cause] += count
        self._losses.add(cause, count)

    def skipped(self, count: int) -> None:
        """Frames never reached us."""
        self._skipped += count

    @property
    def has_untold(self) -> bool:
        """Whether losses wait to be logged."""
        return self._losses.has_untold

    def log_losses(self, now_ns: int | None = None) -> None:
        """Say what was lost, if that is due now (monotonic); without a time, all that was not said yet."""
        line = self._losses.rest() if now_ns is None else self._losses.due(now_ns)
        if line:
            log.warning("stream %s: %s", self._stream, line)

    def status(self, now_ns: int, clock_problems: dict[str, str], drift_ppm: float | None) -> IngestStatus:
        """What the service tells of the stream, now in UTC; of its clock what the clock knows."""
        stamp, layout, last_ns = self._stamp, self._layout, self._last_arrival_ns
        return IngestStatus(
            state=self.state,
            clock=stamp.clock if stamp else None,
            doubtful=self.is_doubtful,
            clock_problems=clock_problems,
            drift_ppm=None if drift_ppm is None else round(drift_ppm, 2),
            uncertainty_ms=stamp.uncertainty_ns / NS_PER_MS if stamp else None,
            fps=round(self._delivered.fps(now_ns), 3) if self.state is StreamState.LIVE else 0.0,
            captured=self._captured,
            dropped=dict(self._dropped),
            skipped=self._skipped,
            last_frame_age_ms=None if last_ns is None else (now_ns - last_ns) / NS_PER_MS,
            format=layout.format if layout else None,
            width=layout.width if layout else None,
            height=layout.height if layout else None,
            ring_slots=self.ring_slots,
            problem=self.problem,
        )
