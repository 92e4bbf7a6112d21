"""What a recorder is compared to: PyAV that takes pictures from a file into another, as they are or coded anew.

``python -m syncsvc.bench.remuxing FILE HOW FRAMES RATE``: the file again and again, in one thread, a second's pictures
at a time as a recorder gets them; HOW is ``remux`` or ``encode``, RATE how many pictures a second has. Then one JSON
line with the CPU time of FRAMES frames after the first second's.
"""

import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import msgspec

from syncsvc.bench.child_answers import answer
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK, cpu_ns, sleep_s

_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_CODING = {"preset": "veryfast", "tune": "zerolatency", "crf": "18"}
"""As a recorder codes what does not come coded."""


class Remuxed(msgspec.Struct, frozen=True):
    """What it took."""

    frames: int
    cpu_ns: int


def main(path: str, how: str, frames: int, rate: int) -> Remuxed:
    """Write, and say what it took."""
    clock, spent_ns = SYSTEM_CLOCK, list[int]()
    with tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder, av.open(path) as source:
        stream = source.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        with av.open(str(Path(folder, "copy.mp4")), "w", format="mp4", options=_OPTIONS) as sink:
            work = (_copied if how == "remux" else _coded)(source, stream, sink)
            while sum(spent_ns[1:]) == 0 or rate * (len(spent_ns) - 1) < frames:
                begun_ns, begun_cpu_ns = clock.monotonic_ns(), cpu_ns()
                for _ in islice(work, rate):
                    pass
                spent_ns.append(cpu_ns() - begun_cpu_ns)
                sleep_s(1.0 - (clock.monotonic_ns() - begun_ns) / NS_PER_S)
    return Remuxed(rate * (len(spent_ns) - 1), sum(spent_ns[1:]))


def _packets(source: Any, stream: Any) -> Iterator[Any]:
    while True:
        yield from (packet for packet in source.demux(stream) if packet.size)
        source.seek(0)


def _copied(source: Any, stream: Any, sink: Any) -> Iterator[None]:
    copy = sink.add_stream_from_template(stream)
    for number, packet in enumerate(_packets(source, stream)):
        packet.stream, packet.time_base = copy, Fraction(1, 25)
        packet.pts = packet.dts = number
        sink.mux(packet)
        yield


def _coded(source: Any, stream: Any, sink: Any) -> Iterator[None]:
    coder = sink.add_stream("libx264", rate=25, options=_CODING)
    coder.width, coder.height, coder.pix_fmt = stream.width, stream.height, "yuv420p"
    coder.codec_context.thread_count = 1
    number = 0
    while True:
        for frame in source.decode(stream):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            sink.mux(coder.encode(frame))
            number += 1
            yield
        source.seek(0)


if __name__ == "__main__":
    path, how, frames, rate = sys.argv[1:]
    answer(main(path, how, int(frames), int(rate)))
