"""The service under a benchmark's load: a real daemon on recordings, and a subscriber in a process of its own."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from syncsvc.bench.measured_subscriber import HEARS, Receipt
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.daemon.runner import DaemonRunner
from syncsvc.errors import LinkClosed
from syncsvc.programs import LeashedProgram

NOBODY: Final = "nobody"
SUBSCRIBERS: Final = ("tcp", "ipc", "local")
SUBSCRIBER: Final = "subscriber"
START_S: Final = 60.0
_POLL_S = 0.05


@dataclass(frozen=True)
class RunningService:
    """A daemon that is ready, and its subscriber if there is one."""

    daemon: DaemonRunner
    subscriber: LeashedProgram | None
    report: Path

    def pids(self) -> dict[str, int]:
        """What runs now, by name: the daemon's processes, and the subscriber."""
        return self.daemon.pids() | ({SUBSCRIBER: self.subscriber.process.pid} if self.subscriber else {})

    def receipts(self) -> list[Receipt]:
        """What the subscriber has reported until now, without a line that it is still writing."""
        lines = self.report.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line, type=Receipt) for line in lines]


@contextmanager
def serving(
    streams: Mapping[str, Any],
    subscriber: str,
    groups: Mapping[str, Any] | None = None,
    *,
    is_awaited: bool = True,
    is_watched: bool = False,
    poll_s: float = 0.0,
) -> Iterator[RunningService]:
    """Run the service while the block lasts.

    Args:
        streams: as in a configuration.
        subscriber: ``nobody``, ``tcp``, ``ipc`` or ``local``.
        groups: as in a configuration; None leaves them out.
        is_awaited: the block begins when the subscriber has had its first frames.
        is_watched: the subscriber reports each batch.
        poll_s: how often it looks; 0 lets it wait.

    Raises:
        LinkClosed: the daemon refuses the configuration, or the subscriber does not get a batch.
    """
    with tempfile.TemporaryDirectory(prefix="syncsvc-") as folder:
        config: dict[str, Any] = {"streams": dict(streams)} | ({"groups": dict(groups)} if groups else {})
        if subscriber == "ipc":
            config["publish"] = {"live": f"ipc://{folder}/live", "control": f"ipc://{folder}/control"}
        report = Path(folder, "receipts.jsonl")
        with DaemonRunner(config) as daemon:
            if subscriber == NOBODY:
                yield RunningService(daemon, None, report)
                return
            mode = "local" if subscriber == "local" else "live"
            words = [daemon.live, mode, str(report) if is_watched else "", str(poll_s)]
            sink = LeashedProgram(HEARS)
            try:
                sink.start(["-m", "syncsvc.bench.measured_subscriber", *words])
                if is_awaited and not sink.await_ready(START_S):
                    raise LinkClosed(f"no batch reached the subscriber: {sink.last_words}")
                yield RunningService(daemon, sink, report)
            finally:
                sink.close()


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    """Look until it is so.

    Raises:
        LinkClosed: it did not become so in time.
    """
    end_ns = SYSTEM_CLOCK.monotonic_ns() + round(timeout_s * NS_PER_S)
    while not is_so():
        if SYSTEM_CLOCK.monotonic_ns() > end_ns:
            raise LinkClosed(f"waited {timeout_s:g} s in vain: {what}")
        sleep_s(_POLL_S)
