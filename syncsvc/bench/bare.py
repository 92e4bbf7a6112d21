"""What the pipeline is compared to: PyAV decoding a file in a process of its own, and nothing else.

``python -m syncsvc.bench.bare FILE FPS SKIP FRAMES``: the file again and again, one thread, frames due at FPS (0: as
fast as can be); one JSON line with the CPU time of FRAMES frames after SKIP.
"""

import sys
from collections.abc import Iterator

import av
import msgspec

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, cpu_ns, sleep_s


def main(path: str, fps: float, skip: int, frames: int) -> dict[str, float]:
    """Decode, and say what it took."""
    started_ns, begun_ns, begun_cpu_ns = SYSTEM_CLOCK.monotonic_ns(), 0, 0
    for number, _ in enumerate(_decoded(path)):
        if number == skip:
            begun_ns, begun_cpu_ns = SYSTEM_CLOCK.monotonic_ns(), cpu_ns()
        if number == skip + frames:
            break
        if fps:
            sleep_s((started_ns + number / fps * NS_PER_S - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S)
    took_ns = SYSTEM_CLOCK.monotonic_ns() - begun_ns
    return {"frames": frames, "cpu_ns": cpu_ns() - begun_cpu_ns, "took_ns": took_ns}


def _decoded(path: str) -> Iterator[av.VideoFrame]:
    while True:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
            yield from container.decode(stream)


if __name__ == "__main__":
    answer = main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
