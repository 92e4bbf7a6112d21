"""Recordings to test with, in memory and in folders: real coded pictures, whose grey tells which frame each is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
from msgspec import structs

from syncsvc import wire
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.layout import Codec, Layout
from syncsvc.model import Counts, Frame, FrameBatch, Gap
from syncsvc.recording.contents import StoredBatch, StoredPicture
from syncsvc.recording.picture_times import our_time, with_time
from syncsvc.wire import GroupTerms
from tests.batches import T0, batch, frame, together

WIDTH, HEIGHT = 64, 48
GREY_STEP = 8
RAW = Layout("i420", WIDTH, HEIGHT)
H264 = Layout("encoded", WIDTH, HEIGHT, codec=Codec("h264"))


def grey_of(number: int) -> int:
    return 20 + GREY_STEP * (number % 25)


def number_of(pixels: Any) -> int:
    """Which picture it is, of 25 in a row, by the luma of its middle."""
    return round((float(np.mean(pixels[: WIDTH * HEIGHT])) - 20) / GREY_STEP)


@cache
def coded_pictures(count: int, gop: int = 5, codec: str = "libx264") -> tuple[tuple[bytes, bool], ...]:
    """So many pictures as Annex B, each with whether it is a key frame; every ``gop``-th is one."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate, context.gop_size, context.max_b_frames = Fraction(1, 25), Fraction(25), gop, 0
    context.thread_count = 1
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop), "x264-params": "scenecut=0"}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(
            np.concatenate(
                [np.full(WIDTH * HEIGHT, grey_of(number), np.uint8), np.full(WIDTH * HEIGHT // 2, 128, np.uint8)]
            ).reshape(HEIGHT * 3 // 2, WIDTH),
            "yuv420p",
        )
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    return tuple((bytes(packet), packet.is_keyframe) for packet in packets)


def stored(
    stream: str, seqs: Sequence[int], time_of: Any, *, is_ours: bool = False, gop: int = 5
) -> list[StoredPicture]:
    """The pictures of frames with these numbers: the camera's own, or those that the recorder coded, in a row."""
    coded = coded_pictures(len(seqs) if is_ours else max(seqs) + 1, gop)
    return [
        StoredPicture(stream, at, seq, time_of(seq), coded[at if is_ours else seq][1], H264,
                      coded[at if is_ours else seq][0], is_ours)
        for at, seq in enumerate(seqs)
    ]  # fmt: skip


@dataclass
class MemorySegment:
    """A segment whose items and pictures are lists."""

    items: Sequence[StoredBatch | Gap]
    shown: Mapping[str, Sequence[StoredPicture]]
    place: str = "memory/000001"
    is_finished: bool = True
    opened: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[StoredBatch | Gap]:
        yield from self.items

    def pictures(self, stream: str) -> Iterator[StoredPicture]:
        self.opened.append(stream)
        yield from self.shown.get(stream, ())


@dataclass
class MemoryRecording:
    """A recording of such."""

    groups: Mapping[str, GroupTerms]
    segments: Sequence[MemorySegment]
    place: str = "memory"


def of_batch(batch: FrameBatch) -> StoredBatch:
    """As its header has it."""
    return StoredBatch(
        batch,
        {name: frames[0].layout for name, frames in batch.frames.items() if frames},
        {name: frames[0].clock for name, frames in batch.frames.items() if frames},
    )


NAMES = ("north", "south", "west")
WINDOW_MS = 200


def time_of(seq: int) -> int:
    return T0 + 40 * seq * MS


def window(number: int) -> FrameBatch:
    """Five frames of each stream in 200 ms; ``north`` lost one on the way, ``south`` one between two windows."""
    seqs = range(5 * number, 5 * number + 5)
    lost = {"north": {9}, "south": {7}, "west": set[int]()}
    layouts = {"north": RAW, "south": RAW, "west": H264}
    frames = {
        name: [
            frame(name, seq, time_of(seq) + at * MS, layouts[name], "rtcp", keyframe=seq % 5 == 0, payload=b"")
            for seq in seqs
            if seq not in lost[name]
        ]
        for at, name in enumerate(NAMES)
    }
    by_seq: dict[int, list[Frame]] = {seq: [] for seq in seqs}
    for some in frames.values():
        for one in some:
            by_seq[one.seq].append(one)
    counts = {
        name: Counts(5, len(some), 0, {"ring_full": 5 - len(some)} if len(some) < 5 else {}, skipped=number)
        for name, some in frames.items()
    }
    start_ns = T0 + number * WINDOW_MS * MS
    return replace(
        batch(
            number + 3, frames=frames, sets=[together(*some, group=NAMES) for some in by_seq.values()], counts=counts
        ),
        window_start_ns=start_ns,
        window_end_ns=start_ns + WINDOW_MS * MS,
        emitted_ns=start_ns + (WINDOW_MS + 60) * MS,
        missing={"south": "stalled"} if number == 1 else {},
        late_ns=number,
    )


def recording(windows: int = 4) -> MemoryRecording:
    """Two segments; of ``south`` the recorder coded the pictures itself."""
    parts = range(0, windows // 2), range(windows // 2, windows)
    segments = []
    for numbers in parts:
        batches = [window(number) for number in numbers]
        shown = {}
        for at, name in enumerate(NAMES):
            seqs = [one.seq for each in batches for one in each.frames[name]]
            first = numbers.start * 5
            pictures = stored(name, [seq - first for seq in seqs], lambda seq: seq, is_ours=name == "south")
            shown[name] = [
                structs.replace(picture, seq=seq, time_ns=time_of(seq) + at * MS)
                for picture, seq in zip(pictures, seqs, strict=True)
            ]
        segments.append(MemorySegment([of_batch(one) for one in batches], shown))
    return MemoryRecording({"lobby": GroupTerms(NAMES, WINDOW_MS, 40.0, 500.0)}, segments)


def write_segments(folder: Path, ours: MemoryRecording) -> None:
    """A recording in memory as a folder with its segments."""
    for number, segment in enumerate(ours.segments, 1):
        batches = [one.batch for one in segment.items if isinstance(one, StoredBatch)]
        write_folder(folder / f"{number:06}", batches, segment.shown)


def write_folder(folder: Path, batches: Sequence[FrameBatch], shown: Mapping[str, Sequence[StoredPicture]]) -> None:
    """The same as a recorder writes it: a file per stream, and what lies beside."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(batches[0].frames)
    numbers = {(one.stream, one.seq, one.time_ns): one.frame for some in shown.values() for one in some}
    for name, pictures in shown.items():
        write_film(folder / f"{name}.mp4", pictures)
    times = ["stream,frame,time_s,seq,uncertainty_ns,clock,arrival_ns"]
    sets = ["set,window_start_ns,spread_ns," + ",".join(names)]
    for one in batches:
        for each in (each for some in one.frames.values() for each in some):
            number = numbers.get((each.stream, each.seq, each.time_ns))
            if number is not None:
                time_s = f"{each.time_ns // 10**9}.{each.time_ns % 10**9:09}"
                facts = each.seq, each.uncertainty_ns, each.clock, each.arrival_ns
                times.append(",".join([each.stream, str(number), time_s, *map(str, facts)]))
        for some in one.sets:
            kept = (some.frames.get(name) for name in names)
            places = [each and numbers.get((each.stream, each.seq, each.time_ns)) for each in kept]
            texts = ["" if place is None else str(place) for place in places]
            sets.append(",".join([str(len(sets) - 1), str(one.window_start_ns), str(some.spread_ns), *texts]))
    (folder / "times.csv").write_text("\n".join(times) + "\n")
    (folder / "sets.csv").write_text("\n".join(sets) + "\n")
    (folder / "batches.jsonl").write_bytes(b"".join(header_line(one) + b"\n" for one in batches))
    streams: dict[str, dict[str, Any]] = {}
    for name, pictures in shown.items():
        is_encoded = any(one.format == "encoded" for each in batches for one in each.frames[name])
        how = {"pixels": "encoded"} if is_encoded else {"coded": not pictures[0].is_ours}
        streams[name] = {"url": f"file:{name}.mp4", "timestamps": "times.csv", "clock": "pts", **how}
    length_ms = (batches[0].window_end_ns - batches[0].window_start_ns) // 10**6
    groups = {batches[0].group: {"streams": names, "window_ms": length_ms}}
    (folder / "recording.yaml").write_text(json.dumps({"streams": streams, "groups": groups}))


def header_line(batch: FrameBatch) -> bytes:
    """A batch's header as a line of JSON."""
    late = wire.encode_batch(batch, {}, {}, emitted_ns=batch.emitted_ns)
    return msgspec.json.encode(wire.decode_header(late))


def write_film(path: Path, pictures: Sequence[StoredPicture]) -> None:
    """Pictures in a container, each as long after the first as it was taken, with the time in it."""
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+delay_moov+default_base_moof"}) as sink:
        layout = pictures[0].layout
        out = sink.add_mux_stream("h264", rate=25, width=layout.width, height=layout.height)
        out.time_base = Fraction(1, 90_000)
        for one in pictures:
            packet = av.Packet(with_its_time(one))
            packet.stream, packet.time_base, packet.is_keyframe = out, Fraction(1, 90_000), one.is_key
            packet.pts = packet.dts = (one.time_ns - pictures[0].time_ns) * 9 // 100_000
            sink.mux(packet)


def taken_out(live: Sequence[FrameBatch], ours: Sequence[FrameBatch]) -> None:
    """Replayed batches are those of the live run, moved by one time, without the frames that nobody could record.

    Those are counted as dropped, each, and out of their sets.
    """
    assert [one.seq for one in ours] == [one.seq for one in live]
    (shift_ns,) = {one.window_start_ns - was.window_start_ns for was, one in zip(live, ours, strict=True)}
    for was, one in zip(live, ours, strict=True):
        for name, frames in one.frames.items():
            here = {each.seq: each for each in frames}
            before = {each.seq: each for each in was.frames[name]}
            assert here.keys() <= before.keys()
            for seq, each in here.items():
                assert (each.time_ns - shift_ns, each.arrival_ns - shift_ns) == (
                    before[seq].time_ns, before[seq].arrival_ns,
                )  # fmt: skip
                assert (each.uncertainty_ns, each.clock, each.keyframe, each.layout) == (
                    before[seq].uncertainty_ns, before[seq].clock, before[seq].keyframe, before[seq].layout,
                )  # fmt: skip
            counts, told = one.counts[name], was.counts[name]
            lost = len(before) - len(here)
            assert (counts.captured, counts.delivered, counts.late, counts.skipped) == (
                told.captured, told.delivered - lost, told.late, told.skipped,
            )  # fmt: skip
            assert sum(counts.dropped.values()) == sum(told.dropped.values()) + lost
        kept = [{name: each.seq for name, each in some.frames.items()} for some in one.sets]
        there = {name: {each.seq for each in frames} for name, frames in one.frames.items()}
        expected = [
            {name: each.seq for name, each in some.frames.items() if each.seq in there[name]} for some in was.sets
        ]
        assert kept == [some for some in expected if len(some) > 1]


def with_its_time(one: StoredPicture) -> bytes:
    """A picture's bytes as a recorder writes them, which may have a time already."""
    return one.data if our_time(one.data, "h264") is not None else with_time(one.data, "h264", one.time_ns)
