"""What the whole service costs per frame beside bare decoding of the same file, in the same run."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from syncsvc.bench import clip
from syncsvc.bench.figures import median
from syncsvc.bench.meter import Meter, Usage
from syncsvc.bench.report import Bars, Report, Table
from syncsvc.bench.runner import DaemonRunner, leashed
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.errors import LinkClosed

CLIP_FRAMES: Final = 10 * clip.FPS
STREAM, CAPTURE, SUBSCRIBER = "clip", "capture clip", "subscriber"
BARE, ALONE, SUBSCRIBED = "bare decoding", "nobody subscribed", "one subscriber"
PARTS = ("daemon", "receiver", CAPTURE)
"""The processes that count; the subscriber's CPU is its own."""
_BARE_SKIP = 25
_WARM_UP_FRAMES = 120
"""Twice the ring and more: every page of ring, buffers and decoder was touched."""
_POLL_S = 0.05
_START_S = 60.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One kind of load in one round: CPU per frame, in total and by process."""

    total_ms: float
    parts_ms: Mapping[str, float]
    fps: float


def run(command: str, rounds: int, seconds: float, progress: Progress) -> Report:
    """Alternate bare decoding, the service alone, and the service with a subscriber; at full speed and at 25 fps.

    Args:
        command: to reproduce the figures with.
        rounds: how often each has its turn.
        seconds: how long each turn is measured, after its warm-up.
        progress: is told what is done now.
    """
    found: dict[tuple[str, str], list[Turn]] = {}
    with tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder:
        path = Path(folder, "clip.mp4")
        progress(f"making {CLIP_FRAMES} frames of 1080p")
        clip.make(path, CLIP_FRAMES)
        for number in range(rounds):
            for pace in ("asap", "realtime"):
                for load in (BARE, ALONE, SUBSCRIBED):
                    progress(f"round {number + 1} of {rounds}: {pace}, {load}")
                    found.setdefault((pace, load), []).append(measure(path, pace, load, seconds))
        size_bytes = path.stat().st_size
    return _report(command, found, size_bytes)


def measure(path: Path, pace: str, load: str, seconds: float) -> Turn:
    """One turn: ``BARE``, ``ALONE`` or ``SUBSCRIBED``, with pace ``asap`` or ``realtime``, measured for so long.

    Raises:
        LinkClosed: a process of it ended, or did not get going.
    """
    return _bare(path, pace, seconds) if load == BARE else _service(path, pace, seconds, load)


def _bare(path: Path, pace: str, seconds: float) -> Turn:
    rate = clip.FPS if pace == "realtime" else 0
    frames = max(1, round(seconds * (rate or 4 * clip.FPS)))
    arguments = ["-m", "syncsvc.bench.bare", str(path), str(rate), str(_BARE_SKIP), str(frames)]
    with leashed(arguments, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=_START_S + 10 * seconds)
    if process.returncode != 0:
        raise LinkClosed(f"bare decoding ended with {process.returncode}")
    answer = msgspec.json.decode(output, type=dict[str, float])
    cpu_ms = answer["cpu_ns"] / NS_PER_MS / answer["frames"]
    return Turn(cpu_ms, {}, answer["frames"] * NS_PER_S / answer["took_ns"])


def _service(path: Path, pace: str, seconds: float, load: str) -> Turn:
    with tempfile.TemporaryDirectory(prefix="syncsvc-") as folder:
        config = {
            "streams": {STREAM: {"url": f"file:{path}", "pace": pace, "loop": True}},
            "publish": {
                "live": f"ipc://{folder}/live",
                "control": f"ipc://{folder}/control",
                "wait_for": int(load == SUBSCRIBED),
            },
        }
        with DaemonRunner(config) as daemon:
            if load == ALONE:
                usage = _measure(daemon, {}, seconds)
            else:
                with leashed(["-m", "syncsvc.bench.sink", daemon.live]) as sink:
                    usage = _measure(daemon, {SUBSCRIBER: sink.pid}, seconds)
    return Turn(sum(usage.cpu_ms[part] for part in PARTS), usage.cpu_ms, usage.fps)


def _measure(daemon: DaemonRunner, others: Mapping[str, int], seconds: float) -> Usage:
    _wait_until(lambda: CAPTURE in daemon.pids())
    meter = Meter({**daemon.pids(), **others}, STREAM)
    try:
        _wait_until(lambda: meter.read().frames >= _WARM_UP_FRAMES)
        before = meter.read()
        sleep_s(seconds)
        return Usage.between(before, meter.read())
    finally:
        meter.close()


def _wait_until(is_so: Callable[[], bool]) -> None:
    end_ns = SYSTEM_CLOCK.monotonic_ns() + round(_START_S * NS_PER_S)
    while not is_so():
        if SYSTEM_CLOCK.monotonic_ns() > end_ns:
            raise LinkClosed("the service does not play the recording")
        sleep_s(_POLL_S)


def _report(command: str, found: Mapping[tuple[str, str], Sequence[Turn]], size_bytes: int) -> Report:
    rows, ratios, bars, data = [], {}, {}, []
    for (pace, load), turns in found.items():
        bare = [turn.total_ms for turn in found[pace, BARE]]
        each = [turn.total_ms / own for turn, own in zip(turns, bare, strict=True)]
        ratio = median(each)
        parts = {part: median([turn.parts_ms[part] for turn in turns]) for part in turns[0].parts_ms}
        total_ms = median([turn.total_ms for turn in turns])
        if load != BARE:
            ratios[f"{pace}: {load} / bare decoding"] = ratio
        bars[f"{pace}, {load}"] = total_ms
        rows.append(
            (
                f"{pace}, {load}", f"{median([turn.fps for turn in turns]):.1f}", f"{total_ms:.3f}",
                *(f"{parts[part]:.3f}" if part in parts else "" for part in (*PARTS, SUBSCRIBER)),
                f"{ratio:.3f}", f"{min(each):.3f}..{max(each):.3f}",
            )
        )  # fmt: skip
        rounds = [{"cpu_ms": turn.total_ms, "fps": turn.fps, **turn.parts_ms} for turn in turns]
        data.append({"pace": pace, "load": load, "cpu_ms": total_ms, "ratio": ratio, "rounds": rounds})
    colder = median([t.total_ms for t in found["realtime", BARE]]) / median([t.total_ms for t in found["asap", BARE]])
    ratios["pacing alone: bare at 25 fps / bare at full speed"] = colder
    columns = ("load", "fps", "CPU ms", "daemon", "receiver", "capture", "(subscriber)", "/ bare", "rounds")
    mbit = size_bytes * 8 / 1e6 / (CLIP_FRAMES / clip.FPS)
    return Report(
        name="pipeline",
        command=command,
        tables=(Table("CPU per 1080p frame, i420 (median of the rounds)", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("The whole service and bare decoding", "CPU ms per 1080p frame", bars),
        notes=(f"recording: {CLIP_FRAMES} frames, {mbit:.1f} Mbit/s; the subscriber's own CPU is not counted",),
        data={"pipeline": data},
    )
