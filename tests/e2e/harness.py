"""Runs the real daemon for a test: a configuration, free ports, its processes, and what must hold when it is gone."""

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from syncsvc import Frame, FrameBatch, Subscriber
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import SubscriptionEnded
from syncsvc.lifecycle import StopToken, Worker

LIMIT_S = 60.0
PATIENCE = {"max_latency_ms": 3000}
"""Of a group whose losses are judged: rings have room, and windows wait, for as long as a busy machine may stand still,
so that what is late or dropped all the same is a fault of the service."""

T = TypeVar("T")


class Service:
    """A daemon of our own, in a process group of its own."""

    def __init__(
        self, folder: Path, streams: Mapping[str, Any], *options: str, under: Sequence[str] = (), **more: Any
    ) -> None:
        """Write its configuration; ``under`` is a command that runs ours, ``more`` other keys of the configuration."""
        self.options, self._under = options, under
        self.started_with: dict[str, Any] = {}
        """Options of ``subprocess.Popen``."""
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
            command = [*self._under, sys.executable, "-m", "syncsvc", "run", str(self.path), *self.options]
            options: dict[str, Any] = {"stderr": log, "stdout": log, "start_new_session": True} | self.started_with
            self.process = subprocess.Popen(command, **options)
        try:
            line = wait_for(self._ready_line, "the ready line")
        except BaseException:  # one that is not ready is left by nobody else
            self.__exit__()
            raise
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

    def _losses(self, group: str = "all") -> dict[str, int]:
        """How many frames the service counted as late or dropped in a group since its receiver began, by stream.

        Streams count once they were heard: no window waits for one that starts, so its first frame may be late.
        """

        def look() -> dict[str, Any] | None:
            counts = self.status()["groups"][group]["counts"]
            return counts if all(some["delivered"] for some in counts.values()) else None

        counts = wait_for(look, "frames of every stream")
        return {name: some["late"] + sum(some["dropped"].values()) for name, some in counts.items()}

    @contextmanager
    def costing(self, *streams: str, group: str = "all") -> Iterator[None]:
        """What is done in this block may cost the named streams of a group frames, and the others none."""
        before = self._losses(group)
        yield
        lost = {name: count - before[name] for name, count in self._losses(group).items() if name not in streams}
        assert not any(lost.values()), lost

    def capture_pid(self, stream: str, other_than: int | None = None) -> int:
        """The running capture of a stream; with ``other_than`` one that came after that one."""

        def look() -> int | None:
            pid = self.status()["streams"].get(stream, {}).get("pid")
            return None if pid == other_than else pid

        return wait_for(look, f"a capture of {stream} other than {other_than}")

    def kill_capture(self, stream: str, number: int = signal.SIGKILL) -> int:
        """Signal a stream's capture, which does not survive it, and wait for the next one.

        Returns:
            UTC nanoseconds when the old one was gone: a frame that arrived later, and a window that began later, have
            nothing of it, whatever was still on its way.
        """
        pid = self.capture_pid(stream)
        os.kill(pid, number)
        self.capture_pid(stream, other_than=pid)
        return SYSTEM_CLOCK.utc_ns()

    def kill_receiver(self) -> int:
        """Kill the receiver and wait for the next one; UTC nanoseconds as with a capture."""
        before = int(wait_for(lambda: self.status()["receiver"]["pid"], "a receiver"))
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.status()["receiver"]["pid"] not in (None, before), "the next receiver")
        return SYSTEM_CLOCK.utc_ns()

    def reload(self, **changes: Any) -> int:
        """Write the changed configuration, send SIGHUP and wait for the daemon's word on it; UTC nanoseconds then."""
        told = self.log.count("reloaded:")
        self.write(self.config | changes)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.count("reloaded:") > told, "the reload")
        return SYSTEM_CLOCK.utc_ns()

    def reload_in_vain(self, problem: str, **changes: Any) -> None:
        """The same for a configuration that is refused with these words; the old one is written again."""
        before, told = self.config, self.log.count(problem)
        self.write(before | changes)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.count(problem) > told, f"the refusal: {problem}")
        self.write(before)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def subscribe(self, **options: Any) -> Subscriber:
        """A live subscriber."""
        return Subscriber(self.live, **options)

    def follow(self, group: str | None = None, **options: Any) -> "Following":
        """A history that is written while the test does other things."""
        return Following(self.subscribe(group=group, **options))


def patient(*streams: str, **more: Any) -> dict[str, Any]:
    """The groups of a configuration: one of these streams, with ``PATIENCE``.

    Some stream must go on whatever happens: while none does, windows pile up, and leave together when one returns: more
    at once than a subscriber has room for.
    """
    return {"all": {"streams": list(streams), **PATIENCE, **more}}


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

    def told(self, stream: str) -> int:
        """Frames of a stream that were not delivered, by the batches' accounts: late ones and dropped ones."""
        return self.total(stream, "captured") - self.total(stream, "delivered")

    def holes(self, stream: str) -> int:
        """Numbers of a stream's frames that are missing between two that came, but for those in missed batches."""
        holes, last = 0, None
        for before, batch in zip([None, *self.batches], self.batches, strict=False):
            if before is not None and not follows(before, batch):
                last = None
            for frame in batch.frames.get(stream, ()):
                holes += 0 if last is None else frame.seq - last - 1
                last = frame.seq
        return holes

    @property
    def is_whole(self) -> bool:
        """Whether no batch between two was missed: what it told is not known.

        The last batches of a receiver that was killed may never leave it.
        """
        return all(follows(before, batch) for before, batch in itertools.pairwise(self.batches))

    @property
    def missed(self) -> int | None:
        """How many batches the subscriber says were missed, up to now; None where nobody may miss any."""
        return None

    def check(self) -> None:
        """Every missed batch told, windows in order, no frame twice, times rising, every lost number accounted for."""
        by_epoch: defaultdict[int, list[FrameBatch]] = defaultdict(list)
        for batch in self.batches:
            by_epoch[batch.epoch].append(batch)
        missed = 0
        for some in by_epoch.values():
            seqs = [batch.seq for batch in some]
            assert seqs == sorted(set(seqs))
            missed += seqs[-1] - seqs[0] + 1 - len(seqs)
        assert missed <= (self.missed or 0), "batches are missing, and nobody said so"
        starts = [batch.window_start_ns for batch in self.batches]
        assert starts == sorted(set(starts))
        for stream in self.batches[0].frames:
            seqs = [frame.seq for frame in self.frames(stream)]
            assert seqs == sorted(set(seqs)), f"{stream}: frames twice or out of order"
            times = [frame.time_ns for frame in self.frames(stream)]
            assert times == sorted(set(times))
            if self.is_whole:
                holes, told = self.holes(stream), self.told(stream)
                assert holes <= told, f"{stream}: {holes} numbers are missing, {told} are accounted for"


def is_any(batch: FrameBatch) -> bool:
    """Whichever it is."""
    return True


def is_complete(batch: FrameBatch) -> bool:
    """Whether nobody is missing."""
    return batch.complete


def follows(before: FrameBatch, batch: FrameBatch) -> bool:
    """Whether no batch was between these two."""
    if batch.epoch == before.epoch:
        return batch.seq == before.seq + 1
    return batch.seq == 0 and batch.window_start_ns == before.window_end_ns


class Following(History):
    """What a subscriber sees, taken by a thread of its own as it comes, whatever the test waits for.

    What was asked for may have come long before: ``since_ns`` tells what came of an act from what was there already.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__()
        self.subscriber = subscriber
        self._came: queue.SimpleQueue[FrameBatch | None] = queue.SimpleQueue()
        self._worker = Worker("follows", self._follow)

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._worker.stop(LIMIT_S)
        self.subscriber.close()
        assert self._worker.error is None, self._worker.error

    def _follow(self, stop: StopToken) -> None:
        while not stop.is_set:
            try:
                self._came.put(self.subscriber.receive(timeout_s=0.1))
            except TimeoutError:
                continue
            except SubscriptionEnded:
                self._came.put(None)
                return

    @property
    def missed(self) -> int:
        """How many batches the subscriber says were missed, up to now."""
        return self.subscriber.stats.missed

    @property
    def has_more(self) -> bool:
        """Whether ``next`` would return at once."""
        return not self._came.empty()

    def next(self) -> FrameBatch:
        """Take the next batch."""
        try:
            batch = self._came.get(timeout=LIMIT_S)
        except queue.Empty:
            raise AssertionError(f"no batch within {LIMIT_S} s after {len(self.batches)}") from None
        assert batch is not None, "the service has ended"
        return self.take(batch)

    def read(self, count: int) -> list[FrameBatch]:
        """Take the next batches."""
        return [self.next() for _ in range(count)]

    def read_until(
        self, is_enough: Callable[[FrameBatch], bool] = is_complete, most: int = 40, *, since_ns: int = 0
    ) -> FrameBatch:
        """Take batches until one whose window began at ``since_ns`` (UTC) or later says it is enough.

        Args:
            is_enough: by default it is when nobody is missing.
            most: so many more batches may say that it is not.
            since_ns: when the test did what the batch shall show.
        """
        passed: list[FrameBatch] = []
        while len(passed) < most:
            batch = self.next()
            if batch.window_start_ns >= since_ns:
                if is_enough(batch):
                    return batch
                passed.append(batch)
        raise AssertionError(f"{most} batches passed: {[(dict(one.missing), dict(one.counts)) for one in passed]}")

    def read_to_the_end(self) -> None:
        """Take what comes until the service has ended, as it does when its recordings are over."""
        while (batch := self._came.get(timeout=LIMIT_S)) is not None:
            self.take(batch)

    def read_rest(self) -> None:
        """Take what came already, and what still comes within a second: nobody sends any more."""
        with suppress(queue.Empty):
            while (batch := self._came.get(timeout=1.0)) is not None:
                self.take(batch)


def find_data(name: str) -> Path:
    """A folder of real recordings beside the project; the test skips where there is none."""
    root = Path(os.environ.get("SYNCSVC_SHARED", Path(__file__).parents[3] / "shared"))
    folder = root / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder.name}")
    return folder
