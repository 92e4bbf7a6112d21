"""Recordings that are damaged by chance, played beside a sound one: nothing hangs, nobody prints a traceback.

``python -m tests.mutated_files --count 1000 --seed 1`` tries as many, some at once, and prints those that went wrong;
the suite tries a few (``tests/e2e/test_damaged_recordings.py``).
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import av
import numpy as np

from syncsvc.errors import SubscriptionEnded
from tests.e2e.harness import History, Service

FRAMES = 50
KINDS = ("mp4", "mkv", "ts", "avi", "mjpeg", "fragmented.mp4", "b.avi", "flv")
_CODECS = {"mjpeg": "mjpeg", "avi": "mpeg4", "b.avi": "libx264"}
PIXELS = ("i420", "encoded", "jpeg", "bgr24")
LIMIT_S = 60.0
"""For recordings of two seconds: three captures that are killed where libav stands still, and then some."""


def film(path: Path, kind: str, frames: int = FRAMES) -> Path:
    """Two seconds of a moving picture."""
    codec = _CODECS.get(kind, "libx264")
    flags = {"movflags": "frag_keyframe+empty_moov"} if kind.startswith("fragmented") else {}
    options = {"g": "10", "bf": "2" if kind in ("mp4", "b.avi", "ts") else "0"}
    name = {"ts": "mpegts", "mkv": "matroska", "mjpeg": "mpjpeg"}.get(kind, kind.rpartition(".")[2])
    with av.open(str(path), "w", format=name, options=flags) as container:
        stream = container.add_stream(codec, rate=25, options=options if codec == "libx264" else {})
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            shown = np.add.outer(np.arange(144) * 2 + 3 * number, np.arange(160)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, "yuv420p").reformat(format=stream.pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _head(data: bytearray, rng: Random) -> None:
    """A few bytes of its first ones."""
    for _ in range(rng.randint(1, 12)):
        data[rng.randrange(min(len(data), 1024))] = rng.randrange(256)


def _tail(data: bytearray, rng: Random) -> None:
    """A few of its last ones, where some containers have their tables."""
    for _ in range(rng.randint(1, 12)):
        data[-1 - rng.randrange(min(len(data), 1500))] = rng.randrange(256)


def _middle(data: bytearray, rng: Random) -> None:
    """A piece of it."""
    at, length = rng.randrange(len(data)), rng.randint(1, 2000)
    data[at : at + length] = rng.randbytes(len(data[at : at + length]))


def _cut(data: bytearray, rng: Random) -> None:
    """All that follows."""
    del data[rng.randrange(len(data)) :]


def _hole(data: bytearray, rng: Random) -> None:
    """A piece that is missing."""
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 4000)]


def _bits(data: bytearray, rng: Random) -> None:
    """Single bits anywhere."""
    for _ in range(rng.randint(1, 40)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _twice(data: bytearray, rng: Random) -> None:
    """A piece of it once more, somewhere else."""
    at, to = rng.randrange(len(data)), rng.randrange(len(data))
    data[to:to] = data[at : at + rng.randint(1, 8000)]


def _numbers(data: bytearray, rng: Random) -> None:
    """Numbers as they are at the edges of their types."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, len(data) - 8))
        edge = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", bytes(8), b"\xff" * 8])
        data[at : at + len(edge)] = edge


WAYS: tuple[Callable[[bytearray, Random], None], ...] = (_head, _tail, _middle, _cut, _hole, _bits, _twice, _numbers)


@dataclass(frozen=True)
class Specimen:
    """One damaged recording: which it was, and how it was damaged, by the seed."""

    kind: str
    way: Callable[[bytearray, Random], None]
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.way.__name__[1:]}-{self.seed}"

    def write(self, sound: bytes, folder: Path) -> Path:
        """The damaged recording."""
        data, rng = bytearray(sound), Random(f"{self.seed} {self.kind} {self.way.__name__}")
        self.way(data, rng)
        path = folder / f"{self}.{self.kind}"
        path.write_bytes(data)
        return path


def specimens(count: int, seed: int) -> Iterator[Specimen]:
    """So many, every kind and way in turn."""
    for number in range(count):
        way = WAYS[(number // len(KINDS) + number) % len(WAYS)]
        yield Specimen(KINDS[number % len(KINDS)], way, seed * 100_000 + number)


def try_beside_a_sound_one(folder: Path, damaged: Sequence[Path], sound: Path) -> str:
    """Play all of them as fast as can be; what went wrong, or nothing."""
    streams = {"sound": {"url": f"file:{sound}", "pace": "asap"}}
    for number, path in enumerate(damaged):
        pixels = PIXELS[(number + number // len(KINDS)) % len(PIXELS)]
        streams[f"damaged-{number}"] = {"url": f"file:{path}", "pace": "asap", "pixels": pixels}
    history = History()
    with Service(folder, streams, publish={"wait_for": 1}) as service:
        with service.subscribe() as subscriber, suppress(SubscriptionEnded):
            try:
                while True:
                    history.take(subscriber.receive(LIMIT_S))
            except TimeoutError:
                return f"hangs: {service.log}"
        code = service.process.wait(LIMIT_S)
        log = service.log
    if "Traceback" in log:
        return f"a traceback: {log}"
    if code not in (0, 1) or (code == 1 and "error daemon: stream damaged-" not in log):
        return f"exit code {code}: {log}"
    if len(history.frames("sound")) != FRAMES or history.dropped("sound"):
        return f"the sound one lost frames: {len(history.frames('sound'))} came, {history.dropped('sound')}: {log}"
    history.check()
    return ""


def main() -> int:
    """Try many; the exit code tells whether one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=20, help="beside one sound recording")
    parser.add_argument("--keep", type=Path, help="folder for the specimens that went wrong")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = {kind: film(folder / f"sound.{kind}", kind) for kind in KINDS}
        left = list(specimens(options.count, options.seed))
        while left:
            some, left = left[: options.at_once], left[options.at_once :]
            damaged = [specimen.write(whole[specimen.kind].read_bytes(), folder) for specimen in some]
            if problem := try_beside_a_sound_one(folder, damaged, whole["mkv"]):
                wrong += 1
                sys.stdout.write(f"{', '.join(map(str, some))}: {problem}\n")
                sys.stdout.flush()
            for path in damaged:
                if problem and options.keep:
                    shutil.copy(path, options.keep)
                path.unlink()
    sys.stdout.write(f"{options.count} tried, {options.at_once} at once; {wrong} times something went wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
