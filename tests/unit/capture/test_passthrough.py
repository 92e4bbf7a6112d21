"""Packets that leave as they came: from every container self-contained, in order, and never decoded."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from io import BytesIO
from typing import Any, cast

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from msgspec.structs import replace

from syncsvc import nal
from syncsvc.capture.decode import Demuxer, OpenInput
from syncsvc.capture.passthrough import PassThrough
from syncsvc.capture.picture import jpeg_of, picture_of, pixels_of
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Loss, Picture
from syncsvc.capture.spec import CaptureSpec, HttpSpec, RingPlan
from syncsvc.capture.upright import turn_of, turn_of_message
from syncsvc.decoded import packet_of
from syncsvc.layout import Layout
from syncsvc.model import Observation
from syncsvc.pictures import to_bgr
from syncsvc.testing import MS, ManualClock, S

FRAMES, GOP, WIDTH, HEIGHT = 20, 8, 96, 50
SPEC = HttpSpec(name="a", url="", pixels="encoded", ring=RingPlan(S))


def clip(container: str, codec: str = "libx264", bframes: int = 0, width: int = WIDTH, **options: str) -> bytes:
    """Pictures that brighten."""
    with ThreadPoolExecutor(1) as apart:  # SVT-AV1 makes a real-time thread of whoever encodes, for good
        return apart.submit(_clip, container, codec, bframes, width, options).result()


def _clip(container: str, codec: str, bframes: int, width: int, options: dict[str, str]) -> bytes:
    sink = BytesIO()
    with av.open(sink, "w", format=container) as output:
        stream = cast(Any, output.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = width, HEIGHT, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "g": str(GOP), "bf": str(bframes), **options}
        elif codec == "libx265":
            params = f"log-level=none:bframes={bframes}:keyint={GOP}:min-keyint={GOP}:scenecut=0"
            stream.options = {"preset": "ultrafast", "x265-params": params}
        else:
            stream.codec_context.gop_size = GOP
            stream.options = {"preset": "12", "svtav1-params": "pred-struct=1"} if codec == "libsvtav1" else {}
        for number in range(FRAMES):
            luma = np.full((HEIGHT * 3 // 2, width), 128, np.uint8)
            luma[:HEIGHT] = 40 + 8 * number
            frame = av.VideoFrame.from_ndarray(luma, "yuv420p").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return sink.getvalue()


def items(data: bytes, spec: CaptureSpec = SPEC) -> list[tuple[Any, Observation] | Loss]:
    with av.open(BytesIO(data)) as container:
        return list(reader(container, spec).frames())


def reader(container: Any, spec: CaptureSpec = SPEC) -> Demuxer:
    return reader_of(spec, OpenInput("a", container, lambda position: None, ManualClock()))


def payloads(found: Sequence[Any]) -> list[tuple[Layout, bytes]]:
    written = []
    for item in found:
        assert not isinstance(item, Loss), item
        picture: Picture = item[0]
        slot = np.zeros(picture.size_bytes, np.uint8)
        picture.write(slot)
        written.append((picture.layout, slot.tobytes()))
    return written


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "flv", "h264"])
def test_h264_from_any_container_is_one_byte_stream_that_needs_nothing_else(container: str) -> None:
    data = clip(container)
    sent = payloads(items(data))
    assert len(sent) == FRAMES
    assert len({layout for layout, _ in sent}) == 1
    layout = sent[0][0]
    assert layout.codec is not None
    assert (layout.format, layout.width, layout.height, layout.codec.name) == ("encoded", WIDTH, HEIGHT, "h264")
    assert layout.codec.extradata == b"".join(nal.parameter_sets(sent[0][1], "h264").values())
    with av.open(BytesIO(data)) as original:
        expected = [frame.to_ndarray() for frame in original.decode(video=0)]
    for first in (0, GOP, 2 * GOP):  # whoever joins at a key frame, without the extradata
        decoder = cast(Any, av.CodecContext.create("h264", "r"))
        decoder.thread_count = 1
        shown = [frame for _, one in sent[first:] for frame in decoder.decode(packet_of(av.Packet, one))]
        shown += decoder.decode(None)
        assert len(shown) == FRAMES - first
        assert all((frame.to_ndarray() == expected[first + at]).all() for at, frame in enumerate(shown))


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="no encoder of H.265 here")
@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_h265_likewise(container: str) -> None:
    found = items(clip(container, "libx265"))
    sent = payloads(found)
    assert len(sent) == FRAMES
    layout = sent[0][0]
    assert layout.codec is not None
    assert (layout.width, layout.height, layout.codec.name) == (WIDTH, HEIGHT, "hevc")
    assert {layout for layout, _ in sent} == {layout}
    keys = [at for at, item in enumerate(found) if not isinstance(item, Loss) and item[1].is_key]
    assert keys == [0, 8, 16]
    for at in keys:
        assert set(nal.parameter_sets(sent[at][1], "hevc")) == {32, 33, 34}


@pytest.mark.parametrize(
    ("codec", "name"), [("mpeg4", "mpeg4"), ("libvpx-vp9", "vp9"), ("mjpeg", "mjpeg"), ("libsvtav1", "av1")]
)
def test_other_codecs_go_with_what_their_container_says(codec: str, name: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} here")
    data = clip("matroska", codec)
    sent = payloads(items(data))
    with av.open(BytesIO(data)) as original:
        stream = original.streams.video[0]
        extradata = stream.codec_context.extradata
        packets = [bytes(packet) for packet in original.demux(stream) if packet.size]
    assert [one for _, one in sent] == packets
    layout = sent[0][0]
    assert layout.codec is not None
    assert (layout.width, layout.height, layout.codec.name) == (WIDTH, HEIGHT, name)
    assert layout.codec.extradata == (b"" if name == "mjpeg" else extradata or b"")


def test_facts_are_those_that_a_decoder_reports() -> None:
    data = clip("mpegts")
    coded = [item[1] for item in items(data) if not isinstance(item, Loss)]
    decoded = [item[1] for item in items(data, replace(SPEC, pixels="i420")) if not isinstance(item, Loss)]
    assert coded == decoded


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_b_frames_are_lost_by_name_and_time_goes_on_rising(container: str) -> None:
    found = items(clip(container, bframes=2, x264opts="b-adapt=0"))
    lost = [item for item in found if isinstance(item, Loss)]
    assert len(found) == FRAMES
    assert {one.cause for one in lost} == {"b_frame"}
    assert all("Switch them off" in one.why for one in lost)
    times = [item[1].pts_ns for item in found if not isinstance(item, Loss)]
    assert times == sorted(cast(list[int], times))
    assert len(times) < FRAMES


class Line:
    """A container whose packets are picked, and changed, by the test."""

    def __init__(self, data: bytes, picked: Sequence[int], shift: dict[int, int] | None = None) -> None:
        self.container = av.open(BytesIO(data))
        self.streams = self.container.streams
        self._picked, self._shift = picked, shift or {}

    def demux(self, stream: Any) -> Any:
        packets = [packet for packet in self.container.demux(stream) if packet.size]
        for number in self._picked:
            packets[number].pts += self._shift.get(number, 0)
            yield packets[number]
        self.container.close()


def test_a_session_that_begins_between_key_frames_says_so_by_a_hole() -> None:
    line = Line(clip("mpegts"), range(5, FRAMES))
    found = list(reader(line).frames())
    assert found[0] == Loss("no_key")
    assert len([item for item in found if not isinstance(item, Loss)]) == FRAMES - 6


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("lost", [(3,), (10, 11), (8,), (14, 15, 16, 17)])
def test_frames_that_never_came_make_a_hole_before_what_refers_to_them(lost: tuple[int, ...], threads: str) -> None:
    """A whole packet that is lost leaves no damage, and libavcodec shows the next picture on a wrong ground."""
    slices = {"x264-params": f"slices={threads}"}
    line = Line(clip("mpegts", **slices), [number for number in range(FRAMES) if number not in lost])
    found = list(reader(line).frames())
    assert [at for at, item in enumerate(found) if isinstance(item, Loss)] == [lost[0]]
    assert found[lost[0]] == Loss("network_loss")
    assert [item for item in items(clip("mpegts", **slices)) if isinstance(item, Loss)] == []


def test_a_new_timeline_is_no_disorder() -> None:
    line = Line(clip("mpegts"), range(FRAMES), dict.fromkeys(range(10, FRAMES), -3600 * 90000))
    found = list(reader(line).frames())
    assert not [item for item in found if isinstance(item, Loss)]


def test_a_frame_that_is_left_out_leaves_no_trace_in_the_time_of_the_next() -> None:
    """A frame begins to arrive when the one before has come, whether that can be shown or not."""
    for picked, shift in ((range(5, FRAMES), {}), (range(FRAMES), {10: -1})):
        clock, line = ManualClock(), Line(clip("mpegts"), picked, {at: by * 9000 for at, by in shift.items()})
        opened = OpenInput("a", cast(Any, line), lambda position, clock=clock: clock.advance(20 * MS), clock)
        found = list(PassThrough(opened).frames())
        assert [item for item in found if isinstance(item, Loss)]
        seen = [item[1] for item in found if not isinstance(item, Loss)]
        assert {one.arrival_mono_ns - one.began_mono_ns for one in seen[1:]} == {40 * MS}


def test_before_the_size_is_known_nothing_can_be_sent() -> None:
    line = Line(clip("mpegts"), range(FRAMES))
    one = PassThrough(OpenInput("a", cast(Any, line), lambda position: None, ManualClock()))
    one._layout = None
    one._learn = lambda found: None  # type: ignore[method-assign]
    assert {item for item in one.frames() if isinstance(item, Loss)} == {Loss("no_parameters")}


def test_parameter_sets_that_change_in_the_stream_change_the_layout() -> None:
    """A camera that is set to another size sends other parameter sets, and nothing else tells of it."""
    joined = clip("h264") + clip("h264", width=128) + clip("h264")
    layouts = [layout for layout, _ in payloads(items(joined))]
    assert [layout.width for layout in layouts] == [WIDTH] * FRAMES + [128] * FRAMES + [WIDTH] * FRAMES
    assert layouts[0] == layouts[-1] != layouts[FRAMES]
    assert layouts[0].codec != layouts[FRAMES].codec


def test_a_key_frame_without_its_parameter_sets_gets_them() -> None:
    """Cameras that send them once, when the session is described, leave the key frames bare."""
    data = clip("mpegts")
    whole = payloads(items(data))
    with av.open(BytesIO(data)) as container:
        one = cast(PassThrough, reader(container))
        bare = whole[0][1].replace(b"".join(nal.parameter_sets(whole[0][1], "h264").values()), b"")
        assert nal.parameter_sets(bare, "h264") == {}
        one._learn(nal.parameter_sets(whole[0][1], "h264"))
        assert one._head == b""
        one._learn({})
        codec = whole[0][0].codec
        assert codec is not None
        assert one._head == codec.extradata
        one._learn({8: b"\0\0\0\1\x68other"})
        assert one._head.endswith(b"\x68other")
        assert one._layout is not None
        assert one._layout.codec is not None
        assert one._layout.codec.extradata == one._head


JPEG = replace(SPEC, pixels="jpeg")


def test_motion_jpeg_stays_as_it_is_where_any_reader_can_read_it() -> None:
    data = clip("matroska", "mjpeg")
    found = items(data, JPEG)
    with av.open(BytesIO(data)) as original:
        packets = [bytes(packet) for packet in original.demux(video=0) if packet.size]
    sent = payloads(found)
    assert [one for _, one in sent] == packets
    assert {layout for layout, _ in sent} == {Layout("jpeg", WIDTH, HEIGHT, "full", "bt601")}
    assert abs(float(to_bgr(sent[3][1], sent[3][0]).mean()) - (40 + 24 - 16) * 255 / 219) < 3


def test_jpegs_are_made_where_a_size_is_asked_for_or_something_else_comes() -> None:
    for spec, data in ((replace(JPEG, size=(48, 32)), clip("matroska", "mjpeg")), (JPEG, clip("mp4"))):
        units = [item[0] for item in items(data, spec) if not isinstance(item, Loss)]
        assert len(units) == FRAMES
        assert {type(unit) for unit in units} == {av.VideoFrame}


@pytest.mark.parametrize("damage", [b"", b"no picture", b"\xff\xd8\xff\xd9"])
def test_what_is_no_jpeg_is_lost(damage: bytes) -> None:
    class Broken(Line):
        def demux(self, stream: Any) -> Any:
            for packet in super().demux(stream):
                other = packet_of(av.Packet, damage or b"\0")
                other.pts, other.stream = packet.pts, packet.stream
                yield other

    found = list(reader(Broken(clip("matroska", "mjpeg"), range(3)), JPEG).frames())
    assert found == [Loss("decode_error")] * 3


def test_jpegs_without_tables_are_compressed_again() -> None:
    """Cameras may leave out the Huffman tables, which every decoder of Motion JPEG knows and no other reader."""
    data = clip("matroska", "mjpeg")

    class Bare(Line):
        def demux(self, stream: Any) -> Any:
            for packet in super().demux(stream):
                whole = bytes(packet)
                at = whole.index(b"\xff\xc4")
                end = at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
                other = packet_of(av.Packet, whole[:at] + whole[end:])
                other.pts, other.stream = packet.pts, packet.stream
                yield other

    units = [item[0] for item in reader(Bare(data, range(4)), JPEG).frames() if not isinstance(item, Loss)]
    assert [type(unit) for unit in units] == [av.VideoFrame] * 4
    assert [picture_of(unit, JPEG).layout.format for unit in units] == ["jpeg"] * 4


@pytest.mark.parametrize("source", ["yuv420p", "yuvj420p", "yuv422p"])
@pytest.mark.parametrize("matrix", [5, 1])
@pytest.mark.parametrize("size", [None, (64, 48)])
def test_a_jpeg_shows_any_reader_what_i420_shows(source: str, matrix: int, size: tuple[int, int] | None) -> None:
    cv2 = pytest.importorskip("cv2")
    x, y = np.meshgrid(np.arange(160), np.arange(96))
    rgb = np.stack([60 + x // 2, 200 - y, 40 + (x + y) // 2], axis=2).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=source, dst_colorspace=matrix)
    frame.colorspace = matrix
    plain = pixels_of(frame, "i420", size)
    planes = np.zeros(plain.size_bytes, np.uint8)
    plain.write(planes)
    expected = to_bgr(planes, plain.layout).astype(float)
    picture = jpeg_of(frame, size, 90)
    data = np.zeros(picture.size_bytes, np.uint8)
    picture.write(data)
    assert bytes(data[:11]) == b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
    by_libav = next(av.open(BytesIO(data.tobytes()), format="jpeg_pipe").decode(video=0)).to_ndarray(format="bgr24")
    for shown in (cv2.imdecode(data, cv2.IMREAD_COLOR), by_libav, to_bgr(data, picture.layout)):
        assert shown.shape == expected.shape
        assert 10 * np.log10(255**2 / np.mean((shown - expected) ** 2)) > 38


def test_a_higher_quality_is_nearer_and_bigger() -> None:
    rng = np.random.default_rng(2)
    small = rng.integers(0, 256, (12, 20, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(np.kron(small, np.ones((8, 8, 1), np.uint8)), "rgb24").reformat(format="yuv420p")
    sizes = [jpeg_of(frame, None, quality).size_bytes for quality in (1, 50, 85, 100)]
    assert sizes == sorted(set(sizes))


BESIDE = HttpSpec(name="a", url="", pixels="i420", coded=True, ring=RingPlan(S))


def both(data: bytes) -> list[tuple[Picture, Observation]]:
    """What a capture with ``coded: true`` makes of a clip."""
    found = []
    for item in items(data, BESIDE):
        assert not isinstance(item, Loss), item
        found.append((picture_of(item[0], BESIDE), item[1]))
    return found


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("mpegts", "libx264"), ("matroska", "libx265")])
def test_coded_pictures_beside_decoded_ones_are_those_that_pass_through(container: str, codec: str) -> None:
    data = clip(container, codec)
    found = both(data)
    assert len(found) == FRAMES
    assert {picture.layout.format for picture, _ in found} == {"i420"}
    beside = [(picture.coded, seen) for picture, seen in found]
    assert payloads(beside) == payloads(items(data)), "byte for byte what pixels: encoded gives"
    assert [seen.is_key for _, seen in found] == [number % GOP == 0 for number in range(FRAMES)]


def test_who_does_not_ask_for_coded_pictures_has_none() -> None:
    plain = HttpSpec(name="a", url="", pixels="i420", ring=RingPlan(S))
    assert {picture_of(item[0], plain).coded for item in items(clip("mp4"), plain) if not isinstance(item, Loss)} == {
        None
    }


def test_a_source_with_b_frames_has_none_to_hand_on_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    found = both(clip("mp4", bframes=2))
    assert len(found) == FRAMES, "it is decoded all the same"
    assert all(picture.coded is None for picture, _ in found[GOP:])
    assert len([line for line in caplog.messages if "B-frames" in line]) == 1
    assert "`coded: true`" in caplog.text


def oriented(data: bytes, what: str, codec: str = "h264") -> bytes:
    """A byte stream whose key frames say which way up they are."""
    with av.open(BytesIO(data)) as container:
        stream = container.streams.video[0]
        changed = BitStreamFilterContext(f"{codec}_metadata=display_orientation={what}", stream)
        packets = [bytes(one) for packet in container.demux(stream) for one in changed.filter(packet)]
    return b"".join(packets)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["", ":flip=horizontal", ":flip=vertical", ":flip=horizontal+vertical"])
def test_a_camera_that_says_which_way_up_it_hangs_is_told_as_a_decoder_has_it(angle: int, flip: str) -> None:
    data = oriented(clip("h264"), f"insert:rotate={angle}{flip}")
    with av.open(BytesIO(data)) as container:
        expected = turn_of(next(container.decode(video=0)))
    sent = payloads(items(data))
    assert {layout.rotation for layout, _ in sent} == {expected.rotation}
    said = nal.orientation(sent[0][1], "h264")
    assert said is not None
    assert turn_of_message(said) == expected


def test_the_orientation_stands_until_another_is_said_and_may_be_taken_back() -> None:
    plain, cancelled = clip("h264"), nal.START + bytes((6, 47, 1, 0x80 | 0x40, 0x80))
    turned = oriented(plain, "insert:rotate=90")
    sent = payloads(items(turned + plain + cancelled + plain))
    assert [layout.rotation for layout, _ in sent[::FRAMES]] == [90, 90, 0]
    layouts = [layout for layout, _ in sent]
    assert len(set(layouts)) == 2, "and nothing else of the layout changes"


def test_h265_says_it_with_a_header_of_two_bytes() -> None:
    message = nal.START + bytes((39 << 1, 1, 47, 3, 0b00010000, 0b00000000, 0b00010000, 0x80))
    assert nal.orientation(message + nal.START + bytes((19 << 1, 1)), "hevc") == nal.Orientation(False, False, 1 << 15)


def test_the_matrix_of_a_recording_on_a_server_is_told_too() -> None:
    sink = BytesIO()
    with av.open(BytesIO(clip("mp4"))) as source, av.open(sink, "w", format="mp4") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    sent, beside = payloads(items(sink.getvalue())), [one.coded for one, _ in both(sink.getvalue())]
    with av.open(BytesIO(sink.getvalue())) as container:
        expected = turn_of(next(container.decode(video=0))).rotation
    assert expected in (90, 270)
    assert [layout.rotation for layout, _ in sent] == [expected] * FRAMES
    assert [one and one.layout.rotation for one in beside] == [expected] * FRAMES
