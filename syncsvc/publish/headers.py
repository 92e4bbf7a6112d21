"""The headers of batches as they leave: with what was last known of a stream that has no frame in one."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from msgspec import structs

from syncsvc import wire
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch


class Headers:
    """Makes the headers of one group in one run: the same batches in the same order give the same bytes."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._layouts: dict[str, Layout] = {}
        self._clocks: dict[str, str] = {}

    def know(self, layouts: Mapping[str, Layout], clocks: Mapping[str, str]) -> None:
        """Take it from somebody how streams look that have no frame in the next batch."""
        self._layouts |= layouts
        self._clocks |= clocks

    def learn(self, batch: FrameBatch) -> None:
        """Note how its streams look, whether or not anybody is there to read it."""
        for name, frames in batch.frames.items():
            if frames:
                self._layouts[name], self._clocks[name] = frames[-1].layout, frames[-1].clock

    def encode(self, batch: FrameBatch, emitted_ns: int, *, late_ns: int = 0, since_ns: int | None = None) -> bytes:
        """The header of a batch that was learnt of, as it goes; ``since_ns`` is that of ``wire.encode_batch``."""
        batch = replace(batch, run_id=self._run_id, late_ns=late_ns)
        return wire.encode_batch(batch, self._layouts, self._clocks, emitted_ns=emitted_ns, since_ns=since_ns)


class GroupHeaders:
    """The headers of one group as each topic has them, made where somebody wants one."""

    def __init__(self, run_id: str) -> None:
        self._plain, self._coded = Headers(run_id), Headers(run_id)

    def know(self, layouts: Mapping[str, Layout], clocks: Mapping[str, str]) -> None:
        """See ``Headers.know``; it is nothing new of streams' coded pictures."""
        self._plain.know(layouts, clocks)

    def of(
        self, batch: FrameBatch, emitted_ns: int, wanted: Collection[bytes], *, late_ns: int, since_ns: int | None
    ) -> Mapping[bytes, bytes]:
        """The header of the next batch under each wanted topic; every batch comes by here, wanted or not."""
        self._plain.learn(batch)
        headers: dict[bytes, bytes] = {}
        if (topic := wire.coded_topic(batch.group)) in wanted:
            coded = with_coded(batch)
            self._coded.learn(coded)
            headers[topic] = self._coded.encode(coded, emitted_ns, late_ns=late_ns, since_ns=since_ns)
        if others := [topic for topic in wanted if topic not in headers]:
            header = self._plain.encode(batch, emitted_ns, late_ns=late_ns, since_ns=since_ns)
            headers |= dict.fromkeys(others, header)
        return headers


def with_coded(batch: FrameBatch) -> FrameBatch:
    """The batch as it goes under ``coded/``: its frames look as their coded pictures do, where they have such."""
    frames = {name: [_as_coded(frame) for frame in some] for name, some in batch.frames.items()}
    return replace(batch, frames=frames)


def _as_coded(frame: Frame) -> Frame:
    return structs.replace(frame, layout=frame.payload.coded.layout) if frame.payload.coded is not None else frame
