"""What is seen of a frame's arrival: when its packet came, and when its first part did; with real codecs."""

import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from av import VideoFrame

from syncsvc.capture.beside import CodedBeside
from syncsvc.capture.decode import Accompanied, Decoder, OpenInput, with_side_data
from syncsvc.capture.source import Loss
from syncsvc.model import Observation
from syncsvc.testing import MS, ManualClock, S

FRAMES, PERIOD, REFRESH = 24, 40 * MS, 8


def clip(bframes: int, codec: str = "libx264") -> bytes:
    """A second of grey pictures, a key frame every eight."""
    sink = BytesIO()
    with av.open(sink, "w", format="matroska") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {"g": "8", "bf": str(bframes), "preset": "ultrafast"} if codec == "libx264" else {}
        for number in range(FRAMES):
            frame = VideoFrame.from_ndarray(np.full((72, 64), 16 + 7 * number, np.uint8), "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    return sink.getvalue()


class Line:
    """A container whose packets come at scripted times, as a network would deliver them."""

    def __init__(self, data: bytes, clock: ManualClock, arrivals_ns: list[int], broken: frozenset[int]) -> None:
        self._container = av.open(BytesIO(data), "r")
        self._clock, self._arrivals_ns, self._broken = clock, arrivals_ns, broken
        self.streams = self._container.streams
        self.decode_order: list[int] = []

    def demux(self, stream: Any) -> Iterator[Any]:
        for at, packet in enumerate(self._container.demux(stream)):
            if packet.pts is not None:
                self.decode_order.append(packet.pts * 1_000_000)
                if at in self._broken:
                    broken = av.Packet(b"\x00\x00\x00\x02\xff\xff")
                    broken.pts, broken.stream = packet.pts, packet.stream
                    packet = broken
            self._clock.advance(self._arrivals_ns[min(at, FRAMES - 1)] - self._clock.monotonic_ns())
            yield packet
        self._container.close()


def watch(
    data: bytes, arrivals_ns: list[int], broken: frozenset[int] = frozenset()
) -> tuple[dict[int, Observation], list[int], int]:
    """What was seen by pts, the pts in the order of the packets, and how many frames were lost."""
    clock = ManualClock()
    line = Line(data, clock, arrivals_ns, broken)
    seen: dict[int, Observation] = {}
    losses = 0
    for item in Decoder(OpenInput("a", line, lambda position: None, clock)).frames():  # type: ignore[arg-type]  # a stand-in
        if isinstance(item, Loss):
            losses += 1
        else:
            assert item[1].pts_ns is not None
            seen[item[1].pts_ns] = item[1]
    return seen, line.decode_order, losses


STEADY = [1001 * S + n * PERIOD for n in range(FRAMES)]
BURST = [1001 * S + (n if n < 5 else 20) * PERIOD for n in range(FRAMES)]


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("arrivals_ns", [STEADY, BURST], ids=["steady", "a gap, then all at once"])
def test_a_frame_began_to_arrive_when_the_packet_before_it_was_returned(bframes: int, arrivals_ns: list[int]) -> None:
    seen, decode_order, losses = watch(clip(bframes), arrivals_ns)
    assert losses == 0
    assert (decode_order == sorted(decode_order)) == (bframes == 0)
    assert len(seen) == FRAMES
    for place, pts_ns in enumerate(decode_order):
        one = seen[pts_ns]
        assert one.arrival_mono_ns == arrivals_ns[place]
        assert one.start_mono_ns == (arrivals_ns[place - 1] if place else None)


def test_a_frame_that_was_lost_moves_no_other_ones_start() -> None:
    seen, decode_order, losses = watch(clip(0), STEADY, frozenset({3, 9}))
    assert losses == (8 - 3) + (16 - 9), "up to the next key frame"
    for place, pts_ns in enumerate(decode_order):
        if pts_ns in seen:
            assert seen[pts_ns].start_mono_ns == (STEADY[place - 1] if place else None)


def test_codecs_without_a_parser_begin_when_they_are_returned() -> None:
    seen, _, _ = watch(clip(0, "mjpeg"), STEADY)
    assert [one.start_mono_ns for one in seen.values()] == STEADY


def test_where_the_bytes_are_timed_the_first_byte_counts() -> None:
    data = clip(0)
    with av.open(BytesIO(data), "r") as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None and packet.size]
    assert places == sorted(set(places))
    clock = ManualClock()
    with av.open(BytesIO(data), "r") as container:
        decoder = Decoder(OpenInput("a", container, lambda position: None, clock, lambda offset: 7 * S + offset))
        found = [item[1].start_mono_ns for item in decoder.frames() if not isinstance(item, Loss)]
    assert found == [7 * S + place for place in places]


def test_looking_for_a_stamp_beside_a_picture_keeps_no_picture_alive() -> None:
    with av.open(BytesIO(clip(0)), "r") as container:
        frame = next(container.decode(video=0))
    seen, holders = Observation(-1, 0), sys.getrefcount(frame)
    assert with_side_data(frame, seen) is seen, "x264 puts a message beside its first picture, but no stamp"
    assert sys.getrefcount(frame) == holders


def refreshing_clip() -> bytes:
    """Noise without a key frame after the first: a column of each picture is coded anew, all of them every REFRESH."""
    noise = np.random.default_rng(1)
    sink = BytesIO()
    with av.open(sink, "w", format="mpegts") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 48, "yuv420p"
        stream.options = {"x264-params": f"intra-refresh=1:keyint={REFRESH}:scenecut=0", "tune": "zerolatency"}
        for number in range(5 * REFRESH):
            frame = VideoFrame.from_ndarray(noise.integers(16, 235, (72, 128), np.uint8), "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return sink.getvalue()


@pytest.mark.parametrize("at", [3, 8, 13])
def test_a_camera_that_refreshes_piece_by_piece_is_whole_again_after_two_refreshes(at: int) -> None:
    clock = ManualClock()

    def pictures(broken: frozenset[int]) -> dict[int, Any]:
        line = Line(refreshing_clip(), clock, [1001 * S] * FRAMES, broken)
        decoder = Decoder(OpenInput("a", line, lambda position: None, clock))  # type: ignore[arg-type]  # a stand-in
        return {
            item[1].pts_ns or 0: item[0].to_ndarray()  # type: ignore[union-attr]  # a decoder yields pictures
            for item in decoder.frames()
            if not isinstance(item, Loss)
        }

    whole, mended = pictures(frozenset()), pictures(frozenset({at}))
    assert len(whole) == 5 * REFRESH
    assert 1 <= len(whole) - len(mended) <= 2 * REFRESH
    for pts_ns, picture in mended.items():
        np.testing.assert_array_equal(picture, whole[pts_ns])


def test_the_first_picture_of_a_session_has_its_coded_one_beside_it_though_it_has_no_time_yet() -> None:
    """As over RTSP, where libavformat gives the first packet none: all up to the next key frame refer to it."""
    found: list[Any] = []
    with av.open(BytesIO(clip(0)), "r") as container:
        reader = CodedBeside(OpenInput("a", container, lambda position: None, ManualClock()))
        for number, packet in enumerate(container.demux(reader.stream)):
            if not number:
                packet.pts = packet.dts = None
            found += reader._take(packet, 0)
    assert len(found) == FRAMES
    assert all(isinstance(item[0], Accompanied) for item in found)
