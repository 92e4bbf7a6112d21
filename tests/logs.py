"""Observation logs to test with: of a group on a bench, as a receiver would have written them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syncsvc.align.deciders import RULE
from syncsvc.model import FrameBatch
from syncsvc.observe.records import AnyRecord, RunRecord, SentRecord, StreamSettings, encode
from syncsvc.publish.headers import Headers
from syncsvc.testing import MS, GroupBench

DELAY_NS = 7
"""From the closing of a window to ``emitted_ns``."""


class LoggedBench(GroupBench):
    """A bench whose batches leave as a publisher would send them: ``sent`` has their headers."""

    def __init__(self, streams: Iterable[str], **options: Any) -> None:
        self.headers, self.sent = Headers("run"), list[bytes]()
        super().__init__(tuple(streams), **options)

    def _emit(self, batch: FrameBatch) -> None:
        super()._emit(batch)
        emitted_ns = self.utc.now_utc() + DELAY_NS
        self.headers.learn(batch)
        self.sent.append(self.headers.encode(batch, emitted_ns))
        self.events.append(SentRecord(group=batch.group, seq=batch.seq, epoch=batch.epoch, emitted_ns=emitted_ns))

    def log(self, latency_ns: int | None = None) -> list[AnyRecord]:
        """Everything that the log of such a run says."""
        settings = StreamSettings("rtsp", "auto", latency_ns, 3000 * MS, 350 * MS, self.rules.window_ns or 0)
        run = RunRecord(
            v=1, run_id="run", epoch=1, utc_ns=0, mono_ns=0, streams=dict.fromkeys(self.rules.streams, settings),
            groups={self.group.name: self.rules}, pairing=RULE,
        )  # fmt: skip
        return [run, *self.events]


def lines_of(log: Iterable[AnyRecord]) -> list[bytes]:
    """The lines of a log."""
    return [encode(record) + b"\n" for record in log]


def write(path: Path, log: Iterable[AnyRecord]) -> Path:
    """A file with the log."""
    path.write_bytes(b"".join(lines_of(log)))
    return path
