"""What the service is compared to: PyAV decoding a file in a process of its own, and nothing else.

``python -m syncsvc.bench.bare FILE FPS SKIP FRAMES PIXELS``: the file again and again, one thread, frames due at FPS
(0: as fast as can be), converted where PIXELS is ``bgr24``. After SKIP frames it says ``ready`` and goes on when its
standard input ends; then one JSON line with the CPU time of FRAMES frames from there, and how late the latest was.
"""

import sys
from collections.abc import Iterator

import av
import msgspec

from syncsvc.bench.child_answers import answer
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, cpu_ns, sleep_s


class Decoded(msgspec.Struct, frozen=True):
    """What it took: CPU and wall time of all frames, and the latest frame's lateness."""

    frames: int
    cpu_ns: int
    took_ns: int
    latest_ns: int


def main(path: str, fps: float, skip: int, frames: int, pixels: str) -> Decoded:
    """Decode, and say what it took."""
    clock = SYSTEM_CLOCK
    due_ns = begun_ns = clock.monotonic_ns()
    latest_ns = begun_cpu_ns = 0
    for number, frame in enumerate(_decoded(path)):
        if pixels == "bgr24":
            frame.reformat(format="bgr24", threads=1)
        if number == skip:
            sys.stdout.buffer.write(b"ready\n")
            sys.stdout.buffer.flush()
            sys.stdin.read()
            due_ns = begun_ns = clock.monotonic_ns()
            begun_cpu_ns, latest_ns = cpu_ns(), 0
        if number == skip + frames:
            break
        if fps:
            early_ns = due_ns - clock.monotonic_ns()
            latest_ns = max(latest_ns, -early_ns)
            sleep_s(early_ns / NS_PER_S)
            due_ns += round(NS_PER_S / fps)
    return Decoded(frames, cpu_ns() - begun_cpu_ns, clock.monotonic_ns() - begun_ns, latest_ns)


def _decoded(path: str) -> Iterator[av.VideoFrame]:
    while True:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
            yield from container.decode(stream)


if __name__ == "__main__":
    path, fps, skip, frames, pixels = sys.argv[1:]
    answer(main(path, float(fps), int(skip), int(frames), pixels))
