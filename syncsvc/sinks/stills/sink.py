"""From batches to files: what is chosen is written by others while the next batch comes, and little waits."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Final, Literal

from syncsvc.model import FrameBatch, FrameSet
from syncsvc.sinks.stills.choice import Choice, Chosen
from syncsvc.sinks.stills.coding import Coding
from syncsvc.sinks.stills.mosaic import compose
from syncsvc.sinks.stills.save import frame_still
from syncsvc.sinks.stills.still import Still, chunks
from syncsvc.sinks.stills.stills_tally import StillsTally
from syncsvc.sinks.stills.writers import Writer

WhenLate = Literal["drop", "wait"]
MOST_WAITING_BYTES: Final = 256 << 20
"""Of frames that wait for a writer when another batch comes: less than three seconds of one 1080p25 stream."""
_LOOK_S: Final = 0.2


class StillsSink:
    """Takes batches, chooses, and hands over to a writer.

    Guarantees:
        * Every picture that was chosen is written, or counted with the reason why not.
        * With ``drop`` no call waits: of a batch that comes while others' pictures wait, what is beyond
          ``MOST_WAITING_BYTES`` is dropped as ``late``. A batch that finds nothing waiting is taken whole.
        * With ``wait`` none is ``late``: what cannot be kept up with is lost by the subscription, in whole batches.
    """

    def __init__(
        self, folder: str, choice: Choice, coding: Coding, writer: Writer, when_late: WhenLate, *, keeps_jpeg: bool
    ) -> None:
        """Begin.

        Args:
            folder: where the pictures go, absolute.
            choice: says which.
            coding: the format of all.
            writer: who writes them; it is the caller's to close.
            when_late: what is done when it cannot keep up.
            keeps_jpeg: whether jpeg frames are written as they came.
        """
        self.tally = StillsTally()
        self._folder, self._choice, self._coding, self._writer = folder, choice, coding, writer
        self._is_waiting, self._keeps_jpeg = when_late == "wait", keeps_jpeg
        self._numbers = count()
        self._under_way: dict[int, tuple[str, int]] = {}
        self._waiting_bytes = 0

    @property
    def under_way(self) -> int:
        """Pictures that are chosen and neither written nor dropped yet."""
        return len(self._under_way)

    def take(self, batch: FrameBatch, is_over: Callable[[], bool] = lambda: False) -> None:
        """Choose from a batch, and hand over what is chosen; ``is_over`` ends the wait of ``wait``.

        Raises:
            UsageError: sets are wanted, and it is not of the group that they came from before.
        """
        self.tally.batches += 1
        self.collect()
        is_first = not self._under_way
        for chunk in chunks(self._admitted(batch, is_first), self._writer.most_stills):
            self._writer.put(chunk)
            self.collect()
        while self._is_waiting and self._waiting_bytes > MOST_WAITING_BYTES and not is_over():
            self.collect(_LOOK_S)

    def _admitted(self, batch: FrameBatch, is_first: bool) -> Iterable[Still]:
        for chosen in self._choice.of(batch):
            account = self.tally.of(chosen.stream)
            account.chosen += 1
            still = self._still(chosen, batch)
            is_room = is_first or self._is_waiting or self._waiting_bytes + still.size_bytes <= MOST_WAITING_BYTES
            if not is_room:
                account.dropped["late"] += 1
                continue
            self._under_way[still.number] = (chosen.stream, still.size_bytes)
            self._waiting_bytes += still.size_bytes
            yield still

    def _still(self, chosen: Chosen, batch: FrameBatch) -> Still:
        number, path = next(self._numbers), f"{self._folder}/{chosen.name}.{self._coding.suffix}"
        if not isinstance(chosen.shows, FrameSet):
            return frame_still(number, path, chosen.shows, keeps_jpeg=self._keeps_jpeg)
        drawn = partial(compose, chosen.shows, tuple(batch.frames), batch.missing)
        return Still(number, path, drawn, sum(3 * one.width * one.height for one in chosen.shows.frames.values()))

    def collect(self, timeout_s: float = 0.0) -> None:
        """Count what was finished meanwhile; with a time, wait so long for something at most."""
        for outcome in self._writer.take(timeout_s):
            stream, size_bytes = self._under_way.pop(outcome.number)
            self._waiting_bytes -= size_bytes
            self.tally.note(stream, outcome)

    def finish(self, on_look: Callable[[], None] = lambda: None) -> None:
        """Wait until everything that was chosen is written or dropped; ``on_look`` is called again and again."""
        while self._under_way:
            self.collect(_LOOK_S)
            on_look()
