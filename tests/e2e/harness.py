"""Runs the real daemon for a test: a configuration, free ports, its processes, and what must hold when it is gone."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from syncsvc import Frame, FrameBatch, Subscriber
from syncsvc.clock import SYSTEM_CLOCK

LIMIT_S = 30.0

T = TypeVar("T")


class Service:
    """A daemon of our own, in a process group of its own."""

    def __init__(self, folder: Path, streams: Mapping[str, Any], *options: str, **more: Any) -> None:
        self.options = options
        config = {
            "streams": dict(streams),
            "publish": {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"} | more.pop("publish", {}),
            "http": {"bind": "127.0.0.1:0"},
        } | more
        self.path = folder / "syncsvc.yaml"
        self.log_path = folder / "log"
        self.write(config)

    def write(self, config: Mapping[str, Any]) -> None:
        """Write the configuration (JSON is YAML)."""
        self.config = dict(config)
        self.path.write_text(json.dumps(config))

    def __enter__(self) -> Self:
        with self.log_path.open("wb") as log:
            command = [sys.executable, "-m", "syncsvc", "run", str(self.path), *self.options]
            self.process = subprocess.Popen(command, stderr=log, stdout=log, start_new_session=True)
        line = wait_for(self._ready_line, "the ready line")
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.live, self.control, self.http = words["live"], words["control"], words.get("http", "")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        wait_for(lambda: not self.survivors(), "the end of every process")

    def _ready_line(self) -> str | None:
        assert self.process.poll() is None, f"the daemon ended: {self.log}"
        return next((line for line in self.log.splitlines() if " ready " in line), None)

    @property
    def log(self) -> str:
        """What the daemon and its children printed."""
        return self.log_path.read_text(errors="replace")

    def survivors(self) -> list[int]:
        """Processes of the daemon's session that still run."""
        return list(processes_of(self.process.pid))

    def status(self) -> dict[str, Any]:
        """What the HTTP API says."""
        with urllib.request.urlopen(f"{self.http}/api/status", timeout=5) as answer:
            return dict(json.load(answer))

    def capture_pid(self, stream: str) -> int:
        """The running capture of a stream."""
        return int(wait_for(lambda: self.status()["streams"][stream]["pid"], f"a capture of {stream}"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def subscribe(self, **options: Any) -> Subscriber:
        """A live subscriber."""
        return Subscriber(self.live, **options)


def wait_for(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S) -> T:
    """Look until something is there."""
    end = SYSTEM_CLOCK.monotonic_ns() + int(limit_s * 1e9)
    pause = threading.Event()
    while SYSTEM_CLOCK.monotonic_ns() < end:
        found = look()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError(f"waited {limit_s} s for {what}")


def processes_of(session: int) -> dict[int, str]:
    """Command lines of what runs in a session, by process id, zombies left out."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):  # not a process, or gone meanwhile
            continue
    return found


@contextmanager
def command(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """``syncsvc WORDS`` in a session of its own, which is empty at the end, whatever happened."""
    process = subprocess.Popen(
        [sys.executable, "-m", "syncsvc", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        wait_for(lambda: not processes_of(process.pid), "the end of every process", 10.0)


class History:
    """What a subscriber saw, and the laws that every history obeys."""

    def __init__(self) -> None:
        self.batches: list[FrameBatch] = []

    def take(self, batch: FrameBatch) -> FrameBatch:
        """Note a batch (its pixels are let go) and check what one batch alone must obey."""
        for name, counts in batch.counts.items():
            assert counts.captured == counts.delivered + counts.late + sum(counts.dropped.values())
            assert counts.delivered == len(batch.frames[name])
        assert batch.complete == (not batch.missing)
        for some in batch.sets:
            times = [frame.time_ns for frame in some.frames.values()]
            assert some.spread_ns == max(times) - min(times)
            assert len(times) >= 2
        self.batches.append(batch)
        return batch

    def read(self, subscriber: Subscriber, count: int, limit_s: float = LIMIT_S) -> list[FrameBatch]:
        """Take the next batches."""
        return [self.take(subscriber.receive(timeout_s=limit_s)) for _ in range(count)]

    def read_until(self, subscriber: Subscriber, is_enough: Callable[[FrameBatch], bool], most: int = 40) -> FrameBatch:
        """Take batches until one says it is enough."""
        for _ in range(most):
            batch = self.take(subscriber.receive(timeout_s=LIMIT_S))
            if is_enough(batch):
                return batch
        raise AssertionError(f"{most} batches passed: {[dict(batch.missing) for batch in self.batches]}")

    def frames(self, stream: str) -> list[Frame]:
        """Every frame of a stream, in the order of delivery."""
        return [frame for batch in self.batches for frame in batch.frames[stream]]

    def total(self, stream: str, what: str) -> int:
        """Sum of one kind of count."""
        return sum(getattr(batch.counts[stream], what) for batch in self.batches)

    def dropped(self, stream: str) -> Counter[str]:
        """Lost frames by cause."""
        causes: Counter[str] = Counter()
        for batch in self.batches:
            causes.update(batch.counts[stream].dropped)
        return causes

    @property
    def is_whole(self) -> bool:
        """Whether epochs follow each other without a batch between them that was missed: what it told is not known.

        The last batches of a receiver that was killed may never leave it.
        """
        return all(
            batch.seq == 0 and batch.window_start_ns == before.window_end_ns
            for before, batch in itertools.pairwise(self.batches)
            if batch.epoch != before.epoch
        )

    def check(self) -> None:
        """Numbers without holes, windows in order, no frame twice, times rising, every lost number accounted for."""
        by_epoch: defaultdict[int, list[FrameBatch]] = defaultdict(list)
        for batch in self.batches:
            by_epoch[batch.epoch].append(batch)
        for some in by_epoch.values():
            assert [batch.seq for batch in some] == list(range(some[0].seq, some[0].seq + len(some)))
        starts = [batch.window_start_ns for batch in self.batches]
        assert starts == sorted(set(starts))
        for stream in self.batches[0].frames:
            seqs = [frame.seq for frame in self.frames(stream)]
            assert seqs == sorted(set(seqs)), f"{stream}: frames twice or out of order"
            times = [frame.time_ns for frame in self.frames(stream)]
            assert times == sorted(set(times))
            if seqs and self.is_whole:
                holes = seqs[-1] - seqs[0] + 1 - len(seqs)
                told = self.total(stream, "captured") - self.total(stream, "delivered")
                assert holes <= told, f"{stream}: {holes} numbers are missing, {told} are accounted for"


def find_data(name: str) -> Path:
    """A folder of real recordings beside the project; the test skips where there is none."""
    root = Path(os.environ.get("SYNCSVC_SHARED", Path(__file__).parents[3] / "shared"))
    folder = root / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder.name}")
    return folder
