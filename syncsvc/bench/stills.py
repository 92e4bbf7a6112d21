"""Pictures on the disk, one by one and in chunks, by loops, threads and processes: a much-read article's table, timed.

The article's timer is started once for several rows, so that they add up, and its pools start within it; here every row
has a timer of its own, and the start of a pool is told apart.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import av
import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from syncsvc.bench import clip
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.bench.running_service import NOBODY, serving, wait_until
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, cpu_ns, cpu_ns_of, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.observe.tables import Table
from syncsvc.programs import leashed
from syncsvc.sinks.stills.coding import coding_of, encode
from syncsvc.sinks.stills.save import save_all
from syncsvc.sinks.stills.still import Still
from syncsvc.sinks.stills.writers import DEFAULT_HOW, HOWS, How, opened

SIZES: Final = (100, 1_000, 10_000)
ARTICLE: Final = ("loop", "threads", "processes", "chunked threads", "chunked processes")
LIVE: Final = {"live service, bgr24": "bgr24", "live service, i420": "i420"}
AIMS: Final = {"live service, bgr24": "<= 1.15", "live service, i420": "<= 1.15, and the conversion"}
LARGE: Final = "1080p"
_SIDE: Final = 50
_WORKERS: Final = 4
"""Of the article's pools, on whatever machine."""
_DISTINCT: Final = 20
"""1080p pictures that are held; they come again and again."""
_CODING: Final = coding_of("jpg", 95)
"""OpenCV's own quality, so that every row codes the same."""
_FEW: Final = 500
"""Files whose removal slows nothing. After that of thousands some file systems make files at a quarter of the pace for
a minute, so they stay until the end."""
_WARM_UP: Final = 50
_QUIET_S: Final = 0.3
"""A batch comes once a second: when no file came for so long, those of the last one are all written."""


@dataclass(frozen=True, slots=True)
class Took:
    """One turn, in seconds: until its workers were there, and from then on until every file was."""

    pictures: int
    start_s: float
    save_s: float

    @property
    def total_s(self) -> float:
        """With the start of the workers."""
        return self.start_s + self.save_s


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of a subscriber that writes every 1080p picture of a service, beside coding and nothing else."""

    pictures: int
    service_ms: float
    encoder_ms: float


def run(request: BenchRequest) -> BenchReport:
    """Let every way have its turn with pictures of each number and size, then look at a service's.

    Raises:
        UsageError: ``only`` names no row.
    """
    request.chosen([*_ways([], ""), *LIVE])
    with (
        tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as place,
        clip.recording(request.progress) as path,
    ):
        found = {f"{number} of {_SIDE}x{_SIDE}": _turns(request, _small(number), place) for number in SIZES}
        distinct = decoded(path)
        large = list(islice(cycle(distinct), request.frames))
        found[f"{request.frames} of {LARGE}"] = _turns(request, large, place)
        meant = request.among(LIVE)
        turns = {label: partial(live, path, LIVE[label], distinct, request.seconds) for label in meant}
        costs = alternate(turns, 1, request.progress)
    return report(found, costs)


def _turns(request: BenchRequest, images: Sequence[NDArray[np.uint8]], place: str) -> Results[Took]:
    ways = _ways(images, place)
    what = f"{len(images)} of {images[0].shape[1]}x{images[0].shape[0]}"
    meant = {label: ways[label] for label in request.among(ways)}
    return alternate(meant, request.rounds, lambda text: request.progress(f"{what}: {text}"))


def _ways(images: Sequence[NDArray[np.uint8]], place: str) -> dict[str, Callable[[], Took]]:
    return {
        **{f"article: {way}": partial(article, way, images, place) for way in ARTICLE},
        **{f"save_stills: {how}": partial(ours, how, images, place) for how in HOWS},
    }


def _small(number: int) -> list[NDArray[np.uint8]]:
    """Noise, as in the article."""
    return list(np.random.default_rng(5).integers(0, 255, (number, _SIDE, _SIDE, 1), np.uint8))


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """The first pictures of a recording, ``(h, w, 3)`` uint8, BGR."""
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), _DISTINCT)
        return [np.ascontiguousarray(frame.to_ndarray(format="bgr24")) for frame in frames]


def _save_one(number: int, image: NDArray[np.uint8], folder: str) -> None:
    cv2.imwrite(f"{folder}/{number}.jpg", image)


def _save_chunk(first: int, images: Sequence[NDArray[np.uint8]], folder: str) -> None:
    for number, image in enumerate(images, first):
        cv2.imwrite(f"{folder}/{number}.jpg", image)


def _nothing() -> None:
    """What a pool is given so that its workers are there."""


def article(way: str, images: Sequence[NDArray[np.uint8]], place: str) -> Took:
    """One of the article's programs; its processes get pickled pictures."""
    folder = tempfile.mkdtemp(dir=place)
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    with _pool(way) as pool:
        if pool is not None:
            wait([pool.submit(_nothing) for _ in range(_WORKERS)])
        started_ns = SYSTEM_CLOCK.monotonic_ns()
        for future in [pool.submit(*task) for task in _tasks(way, images, folder)] if pool else ():
            future.result()
        if pool is None:
            _save_chunk(0, images, folder)
        return _took(folder, len(images), begun_ns, started_ns)


def _pool(way: str) -> Any:
    """A pool to be entered, or nothing for the loop."""
    if way == "loop":
        return nullcontext()
    kind: Callable[[int], Executor] = ProcessPoolExecutor if way.endswith("processes") else ThreadPoolExecutor
    return kind(_WORKERS)


def _tasks(way: str, images: Sequence[NDArray[np.uint8]], folder: str) -> Iterator[tuple[Any, ...]]:
    if not way.startswith("chunked"):
        for number, image in enumerate(images):
            yield _save_one, number, image, folder
        return
    length = max(1, len(images) // _WORKERS)
    firsts = range(0, len(images), length)
    for first in firsts:
        yield _save_chunk, first, images[first : first + length], folder


def ours(how: How, images: Sequence[NDArray[np.uint8]], place: str) -> Took:
    """One way of ``save_stills``."""
    folder = tempfile.mkdtemp(dir=place)
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    with opened(how, _CODING) as writer:
        started_ns = SYSTEM_CLOCK.monotonic_ns()
        save_all(writer, (Still(n, f"{folder}/{n}.jpg", one, one.nbytes) for n, one in enumerate(images)))
        return _took(folder, len(images), begun_ns, started_ns)


def _took(folder: str, number: int, begun_ns: int, started_ns: int) -> Took:
    now_ns = SYSTEM_CLOCK.monotonic_ns()
    there = len(list(Path(folder).iterdir()))
    if there != number:
        raise LinkClosed(f"{there} files of {number} pictures: the disk took no more")
    if number <= _FEW:
        shutil.rmtree(folder)
    return Took(number, (started_ns - begun_ns) / NS_PER_S, (now_ns - started_ns) / NS_PER_S)


def live(path: Path, pixels: str, distinct: Sequence[NDArray[np.uint8]], seconds: float) -> Cost:
    """``syncsvc stills`` on a service that plays a recording, in a process of its own, as a user runs it."""
    stream = {"url": f"file:{path}", "loop": True, "pixels": pixels}
    with serving({"north": stream}, NOBODY) as served, tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder:
        words = ["-m", "syncsvc", "stills", served.daemon.live, folder, "--quality", str(_CODING.quality)]
        with leashed(words) as process:
            place = Path(folder, "north")
            wait_until(lambda: _files(place) >= _WARM_UP, "the first pictures")
            before, before_ns = _settled(place), cpu_ns_of(process.pid)
            sleep_s(seconds)
            after, after_ns = _settled(place), cpu_ns_of(process.pid)
        pictures = max(1, after - before)
        coder_ms = encoder_ms(distinct, seconds)  # while the service goes on: the processor is shared as before
    return Cost(pictures, (after_ns - before_ns) / NS_PER_MS / pictures, coder_ms)


def encoder_ms(images: Sequence[NDArray[np.uint8]], seconds: float) -> float:
    """CPU of coding one of these pictures, in one thread, as many as a camera of 25 a second gives in so long."""
    cv2.setNumThreads(1)
    spent_ns, end_ns = list[int](), SYSTEM_CLOCK.monotonic_ns() + round(seconds * NS_PER_S)
    while not spent_ns or SYSTEM_CLOCK.monotonic_ns() < end_ns:
        batch = list(islice(cycle(images), clip.FPS))
        begun_ns, begun_cpu_ns = SYSTEM_CLOCK.monotonic_ns(), cpu_ns()
        for image in batch:
            encode(image, _CODING)
        spent_ns.append(cpu_ns() - begun_cpu_ns)
        sleep_s(1.0 - (SYSTEM_CLOCK.monotonic_ns() - begun_ns) / NS_PER_S)
    return sum(spent_ns) / len(spent_ns) / clip.FPS / NS_PER_MS


def _files(folder: Path) -> int:
    return len(list(folder.glob("*.jpg")))


def _settled(folder: Path) -> int:
    """How many files there are, once no more come for a moment."""
    seen, found = -1, _files(folder)
    while found != seen:
        sleep_s(_QUIET_S)
        seen, found = found, _files(folder)
    return found


def report(found: Mapping[str, Results[Took]], costs: Results[Cost]) -> BenchReport:
    """The report of what was measured."""
    middles = {
        section: {label: results.middle(label, lambda one: one.total_s) for label in results.found}
        for section, results in found.items()
    }
    live_rows = {label: results[0] for label, results in costs.found.items()}
    tables = [_table(section, rows) for section, rows in middles.items() if rows]
    if live_rows:
        rows = tuple(
            (label, str(one.pictures), *fixed(2, one.service_ms, one.encoder_ms)) for label, one in live_rows.items()
        )
        columns = ("syncsvc stills", "pictures", "CPU ms a picture", "of the encoder alone")
        tables.append(Table("1080p25 from a running service, quality 95", columns, rows))
    most, drawn = max(middles.items(), key=lambda one: sum(took.pictures for took in one[1].values()))
    bars = {label: took.total_s for label, took in drawn.items()}
    return BenchReport(
        tables=tuple(tables),
        ratios=_ratios(found) | {
            f"{label}: CPU a picture / encoder alone (aim: {AIMS[label]})": one.service_ms / one.encoder_ms
            for label, one in live_rows.items()
        },
        plot=Bars(f"Saving {most}, start of the workers included", "s", bars, True),
        notes=(
            f"the article's pools have {_WORKERS} workers, and its processes get pickled pictures; save_stills has a"
            " worker for each core, and writes each file under a temporary name first",
            "start: until every worker is there; a process of save_stills is a fresh interpreter, one of the article's"
            " a fork of this one",
            *costs.notes(),
        ),
        data={
            "saving": {section: msgspec.to_builtins(rows) for section, rows in middles.items()},
            "live": msgspec.to_builtins(live_rows),
        },
    )  # fmt: skip


def _table(section: str, rows: Mapping[str, Took]) -> Table:
    cells = tuple(
        (label, *fixed(1, one.start_s * 1e3, one.save_s * 1e3, one.total_s * 1e3, one.pictures / one.save_s))
        for label, one in rows.items()
    )
    return Table(f"{section} to JPEG", ("way", "start ms", "saving ms", "both ms", "pictures/s"), cells)


def _ratios(found: Mapping[str, Results[Took]]) -> dict[str, float]:
    """What the article compares, round by round, the start of the workers included."""
    best = f"save_stills: {DEFAULT_HOW}"
    more = "aim: > 1 from 1000 on"
    aims = {"article: loop": more, "article: processes": "aim: >= 3", "save_stills: loop": more}
    ratios = dict[str, float]()
    for section, results in found.items():
        for label, aim in aims.items():
            ratio = results.ratio(label, best, lambda one: one.total_s)
            if ratio is not None:
                ratios[f"{section}: {label} / {best} ({aim})"] = ratio
    return ratios
