"""The headers of batches as they leave: with what was last known of a stream that has no frame in one."""

from dataclasses import dataclass, replace

from syncsvc import wire
from syncsvc.layout import Layout
from syncsvc.model import FrameBatch


@dataclass(frozen=True, slots=True)
class _Known:
    layout: Layout
    clock: str


class Headers:
    """Makes the headers of one group in one run: the same batches in the same order give the same bytes."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._known: dict[str, _Known] = {}

    def learn(self, batch: FrameBatch) -> None:
        """Note how its streams look, whether or not anybody is there to read it."""
        self._known.update(
            {name: _Known(some[-1].layout, some[-1].clock) for name, some in batch.frames.items() if some}
        )

    def encode(self, batch: FrameBatch, emitted_ns: int) -> bytes:
        """The header of a batch that was learnt of, as it goes on the wire."""
        return wire.encode_batch(
            replace(batch, run_id=self._run_id),
            {name: last.layout for name, last in self._known.items()},
            {name: last.clock for name, last in self._known.items()},
            emitted_ns=emitted_ns,
        )
