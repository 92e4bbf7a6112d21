"""How many 1080p25 streams before the first loss, beside how many bare decoders keep up with the same file."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from syncsvc.bench import clip
from syncsvc.bench.bare import Decoded
from syncsvc.bench.memory import private_bytes_of, touch
from syncsvc.bench.report import Bars, BenchReport
from syncsvc.bench.rounds import BenchRequest, alternate
from syncsvc.bench.running_service import NOBODY, RunningService, serving, wait_until
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.model import Counts
from syncsvc.observe.status import GroupStatus
from syncsvc.observe.tables import Table
from syncsvc.programs import leashed

BARE: Final = "bare decoders"
STEPS: Final = {BARE: 4, "i420": 4, "encoded": 16}
"""What is searched, and in which steps: bare decoders and the service with these payloads."""
LIMIT: Final = 96
LATE_MS: Final = 500
"""A bare decoder keeps up when no frame is later: so late a frame of a service with default bounds misses its batch."""
TRIES: Final = 2
"""A level fails when it fails so often in a row: other programs on the machine break one run of many."""
GROUP: Final = "all"
AIMS: Final = {"i420": f"0.9 x {BARE}", "encoded": "64"}
_BARE_SKIP = 25
_START_S = 45.0
_SETTLES_S = 60.0
"""How long a level may take until nothing is lost."""
_STEP_S = 4.0
_RING_BYTES = {"i420": 320 * 2**20, "encoded": 8 * 2**20}
"""About what a stream's ring takes."""
_SNAPSHOTS_S = 2.0
"""What is told of a group is a snapshot, and counts whole windows."""
_LEAST_SHARE = 0.97
"""Of the frames that are due: fewer is falling behind, which ends in a loss if it goes on."""


@dataclass(frozen=True, slots=True)
class Level:
    """So many streams for one turn."""

    streams: int
    is_held: bool
    why: str = ""
    """What broke."""
    capture_mib: float = 0.0
    """Private memory of the biggest capture, rings left out."""
    receiver_mib: tuple[float, float] = (0.0, 0.0)
    """The receiver's, at the beginning and at the end of the turn."""


@dataclass(frozen=True, slots=True)
class Search:
    """The most streams that held (0: none), the fewest above that did not (None: all held), and all that was tried."""

    most: int
    broke: int | None
    levels: Sequence[Level]


def run(request: BenchRequest) -> BenchReport:
    """Search upward for bare decoders and for the service with each payload; a level is watched once it has settled."""
    meant = request.chosen(STEPS)
    with clip.recording(request.progress) as path:
        subscriber = _best_subscriber(path)
        turns = {name: partial(_search, name, path, subscriber, request) for name in meant}
        results = alternate(turns, 1, request.progress)
    found = {name: search for name, (search,) in results.found.items()}
    return report(request.seconds, subscriber, found, results.notes())


def _search(name: str, path: Path, subscriber: str, request: BenchRequest) -> Search:
    levels: list[Level] = []
    step, seconds = request.step or STEPS[name], request.seconds

    def holds(streams: int) -> bool:
        request.progress(f"{name}: {streams} streams")
        is_bare = name == BARE
        levels.append(
            bare_level(path, streams, seconds) if is_bare else level_of(path, streams, name, subscriber, seconds)
        )
        return levels[-1].is_held

    return Search(*most_that_holds(holds, 2 * step, step, LIMIT), levels)


def most_that_holds(holds: Callable[[int], bool], start: int, step: int, limit: int) -> tuple[int, int | None]:
    """Search for the highest level that holds: upward in steps, then between it and the lowest that does not.

    The last steps are a quarter of the first ones: a level takes half a minute, and the machine's noise is coarser.

    Args:
        holds: tries a level, and may say either of the same one when asked twice.
        start: the first level.
        step: how far it goes up while levels hold.
        limit: no level is higher.

    Returns:
        The highest that held (0: none), and the lowest that did not (None: all that were tried held).
    """
    most, broke, level = 0, None, min(start, limit)
    while level > most:
        if any(holds(level) for _ in range(TRIES)):
            most = level
        else:
            broke = level
        if broke is None:
            level = min(level + step, limit)
        else:
            level = (most + broke) // 2 if broke - most > max(1, step // 4) else most
    return most, broke


def _best_subscriber(path: Path) -> str:
    """A local subscriber where there is such a thing: one over a socket would be most of the load."""
    try:
        with serving({"cam0": {"url": f"file:{path}", "loop": True}}, "local"):
            return "local"
    except LinkClosed:
        return NOBODY


def bare_level(path: Path, streams: int, seconds: float) -> Level:
    """So many processes that decode 25 frames a second, from the same instant on."""
    frames = str(round(seconds * clip.FPS))
    words = ["-m", "syncsvc.bench.bare", str(path), str(clip.FPS), str(_BARE_SKIP), frames, "i420"]
    reader, writer = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, reader)
        go = stack.enter_context(os.fdopen(writer, "wb"))
        some = [stack.enter_context(leashed(words, stdin=reader, stdout=subprocess.PIPE)) for _ in range(streams)]
        for process in some:
            assert process.stdout is not None
            process.stdout.readline()  # it is ready
        go.close()
        answers = [process.communicate(timeout=_START_S + 10 * seconds)[0] for process in some]
    if any(process.returncode for process in some):
        raise LinkClosed("a bare decoder ended early")
    latest_ms = max(msgspec.json.decode(answer, type=Decoded).latest_ns for answer in answers) / NS_PER_MS
    is_held = latest_ms <= LATE_MS
    return Level(streams, is_held, "" if is_held else f"a frame was {latest_ms:.0f} ms late")


def level_of(path: Path, streams: int, pixels: str, subscriber: str, seconds: float) -> Level:
    """The service with so many streams of the recording, watched for so long once nothing is lost any more.

    Raises:
        LinkClosed: the service refuses the configuration.
    """
    names = [f"cam{number}" for number in range(streams)]
    config = {name: {"url": f"file:{path}", "loop": True, "pixels": pixels} for name in names}
    touch(streams * _RING_BYTES.get(pixels, 0))
    with serving(config, subscriber, is_awaited=False) as served:
        try:
            return _watch(served, streams, seconds)
        except LinkClosed as error:  # too many to start, more than the memory takes, or a capture that was given up
            return Level(streams, False, str(error))


def _watch(served: RunningService, streams: int, seconds: float) -> Level:
    wait_until(lambda: _run_all(served), "a frame of every stream", _START_S)
    _settle(served)
    pids = served.daemon.pids()
    before, receiver = served.daemon.status(), private_bytes_of(pids["receiver"])
    sleep_s(seconds)
    after = served.daemon.status()
    captures = [private_bytes_of(pid) for name, pid in pids.items() if name.startswith("capture ")]
    receivers = (receiver / 2**20, private_bytes_of(pids["receiver"]) / 2**20)
    why = what_broke(before.groups[GROUP], after.groups[GROUP], seconds)
    return Level(streams, not why, why, max(captures) / 2**20, receivers)


def _settle(served: RunningService) -> None:
    """Wait until nothing is lost for a while; too many streams never come to that."""
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    group = served.daemon.status().groups[GROUP]
    while SYSTEM_CLOCK.monotonic_ns() - begun_ns < _SETTLES_S * NS_PER_S:
        before = group
        sleep_s(_STEP_S)
        group = served.daemon.status().groups[GROUP]
        if not what_broke(before, group, _STEP_S):
            return


def _run_all(served: RunningService) -> bool:
    status = served.daemon.status()
    if not served.daemon.is_running:
        raise LinkClosed(f"the daemon ended: {served.daemon.last_words}")
    return all(stream.captured for stream in status.streams.values())


def what_broke(before: GroupStatus, after: GroupStatus, seconds: float) -> str:
    """What was lost between two looks at a group, so many seconds apart, in words; empty when nothing was."""

    def grown(count: Callable[[Counts], int]) -> int:
        return sum(map(count, after.counts.values())) - sum(map(count, before.counts.values()))

    captured, batches = grown(lambda counts: counts.captured), after.batches - before.batches
    broken = {
        "frames dropped": grown(lambda counts: sum(counts.dropped.values())),
        "frames late": grown(lambda counts: counts.late),
        f"of {batches} batches incomplete": batches - (after.complete_batches - before.complete_batches),
    }
    words = [f"{count} {what}" for what, count in broken.items() if count]
    due = clip.FPS * batches * len(after.counts)  # windows of a second
    if captured < _LEAST_SHARE * due:
        words.append(f"{captured} of {due} frames captured")
    if batches < seconds - _SNAPSHOTS_S:
        words.append(f"{batches} batches in {seconds:g} s")
    return ", ".join(words)


def report(seconds: float, subscriber: str, found: Mapping[str, Search], notes: Sequence[str]) -> BenchReport:
    """The report of what was found."""
    rows, ratios = [], {}
    for name, result in found.items():
        latest: dict[tuple[int | None, bool], Level] = {(one.streams, one.is_held): one for one in result.levels}
        best, broke = latest.get((result.most, True)), latest.get((result.broke, False))
        first_that_broke = "" if broke is None else f"{broke.streams}: {broke.why}"
        memory = ("", "")
        if best is not None and name != BARE:
            memory = f"{best.capture_mib:.1f}", "{:.1f} .. {:.1f}".format(*best.receiver_mib)
        rows.append((name, str(result.most), AIMS.get(name, ""), first_that_broke, *memory))
        if name != BARE and BARE in found and found[BARE].most:
            ratios[f"{name} / {BARE}"] = result.most / found[BARE].most
    columns = ("contestant", "streams", "aim", "first that broke", "capture MiB", "receiver MiB")
    return BenchReport(
        tables=(Table("1080p25 streams without a loss", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("1080p25 streams without a loss", "streams", {name: one.most for name, one in found.items()}),
        notes=(
            f"each level was watched for {seconds:g} s once nothing had been lost for {_STEP_S:g} s, or after"
            f" {_SETTLES_S:g} s; one that broke was tried again",
            f"service: {subscriber if subscriber != NOBODY else 'nobody'} subscribed; no frame dropped or late, every"
            " batch complete",
            f"bare decoders: no frame more than {LATE_MS} ms late; memory is private, without the rings, at the highest"
            " level that held: the biggest capture; the receiver at the beginning and at the end",
            *notes,
        ),
        data={
            "capacity": {
                name: {"streams": one.most, "broke_at": one.broke, "levels": msgspec.to_builtins(one.levels)}
                for name, one in found.items()
            }
        },
    )
