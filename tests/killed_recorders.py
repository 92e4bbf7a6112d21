"""Recorders killed at random moments: what is left must hold, and lack the batch in hand at most.

By hand: ``python -m tests.killed_recorders COUNT [SEED [FORMAT]]``.
"""

import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syncsvc import FrameBatch, Subscriber
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.recording.contents import StoredBatch
from syncsvc.recording.opening import FORMATS, FormatName, open_recording
from syncsvc.recording.verification import verify
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.film import write_clip

STREAMS: Mapping[str, Mapping[str, Any]] = {
    "own": {"url": "file:clip.mp4", "loop": True, "pixels": "encoded"},
    "plain": {"url": "file:clip.mp4", "loop": True},
}
GROUPS = {"all": {"streams": [*STREAMS], "window_ms": 200, "max_latency_ms": 3000}}


def kill_recorders(folder: Path, count: int, seed: int, formats: Sequence[FormatName] = FORMATS) -> list[str]:
    """Kill so many recorders of one service, each at a moment of its own; what is wrong with what they left.

    They write the formats in turn.
    """
    write_clip(folder / "clip.mp4")
    rng, problems = random.Random(seed), list[str]()
    seen: dict[tuple[int, int], FrameBatch] = {}

    def watch(stop: StopToken) -> None:
        with Subscriber(service.live, "all", payload=None) as batches:
            while not stop.is_set:
                try:
                    one = batches.receive(0.2)
                except TimeoutError:
                    continue
                seen[one.epoch, one.seq] = one

    with Service(folder, STREAMS, groups=GROUPS) as service:
        watcher = Worker("watches", watch).start()
        try:
            for number in range(count):
                tape, kind = folder / f"tape-{number}", formats[number % len(formats)]
                problems += [f"{number} ({kind}): {one}" for one in _kill_one(service.live, tape, kind, rng, seen)]
        finally:
            assert watcher.stop(LIMIT_S)
    return problems


def _kill_one(
    live: str, tape: Path, kind: FormatName, rng: random.Random, seen: Mapping[tuple[int, int], FrameBatch]
) -> list[str]:
    line = [sys.executable, "-m", "syncsvc", "record", live, str(tape), "--format", kind]
    first = tape / {"mp4": "batches.jsonl", "mcap": "recording.mcap.part"}[kind]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as recorder:
        wait_for(lambda: first.exists() or recorder.poll() is not None, "the first batch")
        StopToken().sleep(rng.uniform(0.0, 0.8))
        killed_ns = SYSTEM_CLOCK.utc_ns()
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
    findings = verify(open_recording(str(tape)))
    problems = list(findings.differences)
    (segment,) = open_recording(str(tape)).segments
    batches = [one.batch for one in segment.batches() if isinstance(one, StoredBatch)]
    if not batches:
        return problems
    due = [one for one in list(seen.values()) if one.emitted_ns < killed_ns - 1_000_000_000]
    newest = max(((one.epoch, one.seq) for one in due), default=(0, 0))
    last = (batches[-1].epoch, batches[-1].seq)
    if last < newest:
        problems.append(f"batch {newest} left the service a second before the end, and {last} is the last one here")
    return problems


if __name__ == "__main__":
    count, seed, *kinds = [*sys.argv[1:], "1"][: max(2, len(sys.argv) - 1)]
    asked = [one for one in FORMATS if one in kinds] or FORMATS
    with tempfile.TemporaryDirectory() as place:
        wrong = kill_recorders(Path(place), int(count), int(seed), asked)
        sys.exit("\n".join(wrong[:20]) or 0)
