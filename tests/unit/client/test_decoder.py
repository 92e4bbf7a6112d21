"""Pictures of encoded streams: in any order, across batches, after losses, and never a wrong one."""

import gc
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from syncsvc import nal
from syncsvc.client import decoder
from syncsvc.client.decoder import Decoders
from syncsvc.errors import FrameUndecodable, TransportError
from syncsvc.layout import Codec, Layout
from syncsvc.model import Frame, FrameBatch
from tests.batches import batch
from tests.batches import frame as frame_of

WIDTH, HEIGHT, GOP, COUNT = 64, 48, 8, 24
ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4", "mjpeg": "mjpeg", "vp9": "libvpx-vp9"}


@cache
def coded(codec: str = "h264", width: int = WIDTH) -> tuple[Layout, tuple[tuple[bytes, bool], ...]]:
    """A clip of ``COUNT`` pictures that brighten, a key frame every ``GOP``."""
    context = cast(Any, av.CodecContext.create(ENCODERS[codec], "w"))
    context.width, context.height, context.time_base = width, HEIGHT, Fraction(1, 25)
    context.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    context.gop_size, context.max_b_frames = GOP, 0
    context.options = {
        "h264": {"preset": "ultrafast", "tune": "zerolatency"},
        "hevc": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:keyint=8:min-keyint=8:scenecut=0"},
        "vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    }.get(codec, {})
    packets: list[tuple[bytes, bool]] = []
    for number in [*range(COUNT), None]:
        picture = None
        if number is not None:
            luma = np.full((HEIGHT * 3 // 2, width), 128, np.uint8)
            luma[:HEIGHT] = 40 + 8 * number
            picture = av.VideoFrame.from_ndarray(luma, "yuv420p").reformat(format=context.pix_fmt)
            picture.pts = number
        packets += [(bytes(packet), bool(packet.is_keyframe)) for packet in context.encode(picture)]
    extradata = bytes(context.extradata or b"") if codec == "mpeg4" else b""
    return Layout("encoded", width, HEIGHT, codec=Codec(codec, extradata)), tuple(packets)


def frames(codec: str = "h264", seqs: Sequence[int] = range(COUNT), **more: Any) -> list[Frame]:
    layout, packets = coded(codec, **more)
    return [
        replace(frame_of("cam", seq, layout=layout, payload=memoryview(packets[seq][0])), keyframe=packets[seq][1])
        for seq in seqs
    ]


def batch_of(some: Sequence[Frame], **more: Any) -> FrameBatch:
    return batch(frames={"cam": some}, **more)


def learnt(*batches: Sequence[Frame]) -> Decoders:
    decoders = Decoders()
    for some in batches:
        decoders.learn(batch_of(some))
    return decoders


def shown(frame: Frame) -> int | None:
    """Which number the picture of a frame shows; None where it has none."""
    try:
        bgr = frame.to_bgr()
    except FrameUndecodable:
        return None
    assert bgr.shape == (HEIGHT, WIDTH, 3)
    return round((bright(bgr) - bright_of(0)) / ((bright_of(COUNT - 1) - bright_of(0)) / (COUNT - 1)))


def bright(bgr: NDArray[np.uint8]) -> float:
    return float(bgr.mean())


def bright_of(number: int) -> float:
    return (40 + 8 * number - 16) * 255 / 219


@pytest.mark.parametrize("codec", [codec for codec, encoder in ENCODERS.items() if encoder in av.codecs_available])
def test_every_picture_is_the_one_that_libav_decodes(codec: str) -> None:
    layout, packets = coded(codec)
    assert layout.codec is not None
    context = cast(Any, av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    context.extradata = layout.codec.extradata or None
    expected = []
    for data, _ in packets:
        packet = av.Packet(len(data))
        packet.update(data)
        expected += context.decode(packet)
    expected += context.decode(None)
    some = frames(codec)
    learnt(some)
    assert some[0].keyframe
    for frame, picture in zip(some, expected, strict=True):
        assert np.abs(frame.to_bgr().astype(int) - picture.to_ndarray(format="bgr24")).mean() < 2
        if codec != "mjpeg":
            assert shown(frame) == frame.seq


def test_frames_may_be_asked_for_in_any_order_and_twice() -> None:
    some = frames()
    learnt(some[:10], some[10:])
    rng = Random(3)
    for number in rng.choices(range(COUNT), k=80):
        assert shown(some[number]) == number


class Counting:
    """Counts what is fed to real decoders."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fed: list[int] = []
        original = decoder.StreamDecoder._feed

        def feed(stream: Any, step: Any, **more: Any) -> None:
            self.fed.append(step.seq)
            original(stream, step, **more)

        monkeypatch.setattr(decoder.StreamDecoder, "_feed", feed)


def test_in_order_each_frame_is_decoded_once_and_forward_only_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    counting, some = Counting(monkeypatch), frames()
    learnt(some)
    for frame in some:
        frame.to_bgr()
    assert counting.fed == list(range(COUNT))
    counting.fed.clear()
    some[COUNT - 1].to_bgr()
    some[COUNT - 3].to_bgr()
    assert counting.fed == [], "the last pictures are kept"
    some[10].to_bgr()
    assert counting.fed == [8, 9, 10], "from the key frame before it"
    some[13].to_bgr()
    assert counting.fed == [8, 9, 10, 11, 12, 13], "on from where it stands"


def test_nothing_is_decoded_before_a_key_frame_came() -> None:
    some = frames(seqs=range(5, 20))
    learnt(some)
    assert [shown(frame) for frame in some] == [None] * 3 + list(range(8, 20))
    with pytest.raises(
        FrameUndecodable, match="frame 6 of stream 'cam' cannot be decoded: it refers to frame 4"
    ) as info:
        some[1].to_bgr()
    assert (info.value.stream, info.value.seq) == ("cam", 6)


@given(
    st.sets(st.integers(0, COUNT - 1)), st.lists(st.integers(1, COUNT), max_size=4), st.randoms(use_true_random=False)
)
def test_after_a_hole_nothing_is_shown_until_the_next_key_frame(lost: set[int], cuts: list[int], rng: Random) -> None:
    here = [seq for seq in range(COUNT) if seq not in lost]
    some = frames(seqs=here)
    edges = sorted({0, len(some), *(min(cut, len(some)) for cut in cuts)})
    learnt(*(some[begin:end] for begin, end in pairwise(edges)))
    for frame in rng.sample(some, len(some)):
        since_key = range(frame.seq // GOP * GOP, frame.seq + 1)
        assert shown(frame) == (None if lost.intersection(since_key) else frame.seq)


def test_a_partner_from_across_the_edge_is_shown_once_the_frame_before_it_came() -> None:
    first, second = frames(seqs=[0, 1, 2, 4]), frames(seqs=[3, 5, 6])
    decoders = learnt(first)
    with pytest.raises(FrameUndecodable, match="frame 3, which was lost or has not come yet"):
        first[3].to_bgr()
    decoders.learn(batch_of(second))
    assert [shown(frame) for frame in [*first, *second]] == [0, 1, 2, 4, 3, 5, 6]


def test_a_key_frame_may_be_the_partner_from_across_the_edge() -> None:
    first, second = frames(seqs=[5, 6, 8, 9]), frames(seqs=[7, 10])
    decoders = learnt(frames(seqs=range(5)), first)
    decoders.learn(batch_of(second))
    assert [shown(frame) for frame in [*second, *first]] == [7, 10, 5, 6, 8, 9]


def test_a_frame_is_shown_as_long_as_it_is_held_and_no_longer_kept_than_that() -> None:
    layout, packets = coded()
    decoders = Decoders()
    held: list[Frame] = []
    alive: list[weakref.ref[Any]] = []
    for seq in range(400):
        data, is_key = packets[seq % COUNT]
        one = replace(frame_of("cam", seq, layout=layout, payload=data), keyframe=is_key)
        decoders.learn(batch_of([one]))
        alive.append(weakref.ref(one.decoder))
        held += [one] if seq == 21 else []
    del one
    gc.collect()
    kept = [seq for seq, ref in enumerate(alive) if ref() is not None]
    assert kept == [*range(16, 22), *range((399 - decoder.LATE_FRAMES) // GOP * GOP, 400)]
    assert shown(held[0]) == 21


def test_a_chain_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_CHAIN_FRAMES", 5)
    some = frames()
    learnt(some)
    assert [shown(frame) for frame in some[:8]] == [0, 1, 2, 3, 4, None, None, None]
    with pytest.raises(FrameUndecodable, match="its key frame is too long ago"):
        some[5].to_bgr()
    assert shown(some[8]) == 8


def test_damage_is_not_shown_and_ends_with_the_next_key_frame() -> None:
    _, packets = coded()
    some = frames()
    some[3] = replace(some[3], payload=packets[3][0][:6] + b"\xff\xff\xff\xff" * 10)
    some[16] = replace(some[16], payload=b"")
    learnt(some)
    assert [shown(frame) for frame in some] == [0, 1, 2, *[None] * 5, *range(8, 16), *[None] * 8]
    with pytest.raises(FrameUndecodable, match="it refers to frame 3: it is damaged"):
        some[6].to_bgr()


def test_a_picture_of_another_size_than_announced_is_refused() -> None:
    some = [replace(frame, layout=replace(frame.layout, width=4096)) for frame in frames(seqs=range(3))]
    learnt(some)
    with pytest.raises(FrameUndecodable, match="it is 64x48, its stream says 4096x48"):
        some[0].to_bgr()


def test_another_codec_or_another_size_is_another_decoder() -> None:
    some = [*frames(seqs=range(8)), *frames(seqs=range(8, 16), width=96), *frames(seqs=range(16, 24))]
    learnt(some)
    assert [frame.to_bgr().shape[1] for frame in some] == [64] * 8 + [96] * 8 + [64] * 8
    assert shown(some[5]) == 5


def test_a_stream_that_is_encoded_only_from_within_a_batch_on_is_shown() -> None:
    raw = [frame_of("cam", 7, layout=Layout("gray8", 4, 2))]
    some = frames(seqs=range(8, 16))
    learnt([*raw, *some])
    assert [shown(frame) for frame in some] == list(range(8, 16))


@pytest.mark.parametrize("name", ["no_such_codec", "aac", "ass", ""])
def test_a_codec_that_is_not_there_or_no_video_is_refused(name: str) -> None:
    some = [replace(one, layout=replace(one.layout, codec=Codec(name))) for one in frames(seqs=[0, 1])]
    learnt(some)
    for frame in some:
        with pytest.raises(FrameUndecodable, match="no decoder for"):
            frame.to_bgr()


def test_another_daemon_begins_its_numbers_anew() -> None:
    before, after = frames(seqs=range(4)), frames(seqs=range(4, 12))
    decoders = learnt(before)
    decoders.learn(batch_of(after, run_id="another"))
    assert [shown(frame) for frame in after] == [None] * 4 + [8, 9, 10, 11]
    assert shown(before[3]) == 3


def test_a_frame_that_comes_in_two_groups_is_one() -> None:
    one, other = frames(), frames()
    decoders = learnt(one[:4])
    decoders.learn(batch_of(other[:6], group="yard"))
    decoders.learn(batch_of(one[4:]))
    assert [shown(frame) for frame in [*other[:6], *one]] == [*range(6), *range(COUNT)]
    assert one[2].decoder is other[2].decoder


def test_a_payload_that_was_taken_back_is_a_loss() -> None:
    some = frames(seqs=range(4))

    class Reclaimed(Frame):
        @property
        def pixels(self) -> NDArray[np.uint8]:
            raise TransportError("taken back")

    some[1] = Reclaimed(**{name: getattr(some[1], name) for name in Frame.__slots__})
    learnt(some)
    assert [shown(frame) for frame in some] == [0, None, None, None]


def test_without_a_subscriber_there_is_no_picture() -> None:
    with pytest.raises(FrameUndecodable, match="did not come through a subscriber"):
        frames(seqs=[0])[0].to_bgr()


def test_without_pyav_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    some = frames(seqs=[0])
    learnt(some)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        some[0].to_bgr()


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("color_range", ["limited", "full"])
def test_colours_are_those_that_the_layout_tells_where_the_codec_tells_none(matrix: Any, color_range: Any) -> None:
    """A container may know of them what the coded pictures do not say; the service's own pictures follow it."""
    some = [replace(one, layout=replace(one.layout, range=color_range, matrix=matrix)) for one in frames()]
    learnt(some[:GOP])
    grey = 40 + 8 * 3
    expected = grey if color_range == "full" else (grey - 16) * 255 / 219
    assert bright(some[3].to_bgr()) == pytest.approx(expected, abs=2)
    assert cast(Any, some[3].decoder)._owner._context.colorspace == {"bt601": 2, "bt709": 1, "bt2020": 9}[matrix]


def test_a_codec_that_nobody_has_is_named_with_the_frame() -> None:
    layout = replace(coded()[0], codec=Codec("nothing"))
    some = [replace(one, layout=layout) for one in frames()[:3]]
    learnt(some)
    with pytest.raises(FrameUndecodable, match=r"frame 2 of stream 'cam' cannot be decoded: PyAV has no decoder"):
        some[2].to_bgr()


def test_a_late_frame_that_makes_a_chain_too_long_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_CHAIN_FRAMES", 4)
    monkeypatch.setattr(decoder, "LATE_FRAMES", 2)
    layout, packets = coded()
    some = [replace(frame_of("cam", n, layout=layout, payload=packets[n][0]), keyframe=n == 0) for n in range(13)]
    held = [some[:4], some[5:], some[4:5]]
    learnt(*held)
    assert shown(some[3]) == 3
    with pytest.raises(FrameUndecodable, match="too long ago"):
        some[4].to_bgr()


REFRESHED, COLUMNS = 60, 320
"""A picture of twenty macroblocks across refreshes itself in as many frames."""


@cache
def refreshing() -> tuple[Layout, tuple[tuple[bytes, bool], ...]]:
    """A clip whose only key picture is the first one: after that it refreshes itself, column by column."""
    context = cast(Any, av.CodecContext.create("libx264", "w"))
    context.width, context.height, context.pix_fmt, context.time_base = COLUMNS, HEIGHT, "yuv420p", Fraction(1, 25)
    parameters = "intra-refresh=1:keyint=25:bframes=0:scenecut=0:repeat-headers=1:annexb=1"
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": parameters}
    packets: list[tuple[bytes, bool]] = []
    for number in [*range(REFRESHED + 60), None]:
        picture = None
        if number is not None:
            luma = np.full((HEIGHT * 3 // 2, COLUMNS), 128, np.uint8)
            luma[:HEIGHT] = (np.arange(COLUMNS) + 3 * number) % 200 + 20
            picture = av.VideoFrame.from_ndarray(luma, "yuv420p")
            picture.pts = number
        packets += [(bytes(packet), bool(packet.is_keyframe)) for packet in context.encode(picture)]
    return Layout("encoded", COLUMNS, HEIGHT, codec=Codec("h264")), tuple(packets)


def refreshed(seqs: Sequence[int]) -> list[Frame]:
    layout, packets = refreshing()
    marked = [
        (data, is_key or nal.recovery_frames(data, "h264") > 0) for data, is_key in packets
    ]  # as libavformat's parser marks them
    return [
        replace(frame_of("cam", seq, layout=layout, payload=memoryview(marked[seq][0])), keyframe=marked[seq][1])
        for seq in seqs
    ]


def by_libav(first: int, last: int) -> dict[int, NDArray[np.uint8]]:
    """The pictures that a decoder shows that begins there."""
    context = cast(Any, av.CodecContext.create("h264", "r"))
    context.thread_type, context.thread_count = "NONE", 1
    found = {}
    for seq, (data, _) in enumerate(refreshing()[1][:last]):
        if seq >= first:
            packet = av.Packet(data)
            packet.pts = packet.dts = seq
            with suppress(av.error.InvalidDataError):  # before there are parameter sets
                found |= {one.pts: one.to_ndarray(format="bgr24") for one in context.decode(packet)}
    return found | {one.pts: one.to_ndarray(format="bgr24") for one in context.decode(None)}


def pictures_of(some: Sequence[Frame]) -> set[int]:
    found = set()
    for one in some:
        with suppress(FrameUndecodable):
            one.to_bgr()
            found.add(one.seq)
    return found


def test_recovery_points_are_where_a_decoder_may_begin_and_say_how_long_it_takes() -> None:
    found = {seq: nal.recovery_frames(data, "h264") for seq, (data, _) in enumerate(refreshing()[1])}
    assert found[0] == 0, "it begins with a key picture"
    assert {seq: count for seq, count in found.items() if count} == dict.fromkeys((25, 50, 75, 100), 18)


@pytest.mark.parametrize("first", [0, 25, 30, 60])
def test_a_stream_that_refreshes_itself_shows_every_picture_that_a_decoder_of_its_own_shows(first: int) -> None:
    some = refreshed(range(first, REFRESHED + 60))
    decoders = Decoders()
    shown: set[int] = set()
    for start in range(0, len(some), 25):
        decoders.learn(batch_of(some[start : start + 25]))
        shown |= pictures_of(some[start : start + 25])
    expected = by_libav(first, REFRESHED + 60)
    assert expected
    assert shown == set(expected)
    last = some[-1]
    assert np.abs(last.to_bgr().astype(int) - expected[last.seq]).max() <= 2, "colours are rounded in another way"


@pytest.mark.parametrize("seed", range(3))
def test_pictures_of_such_a_stream_may_be_asked_for_in_any_order_as_long_as_they_are_held(seed: int) -> None:
    some = refreshed(range(REFRESHED + 60))
    decoders = learnt(some)
    Random(seed).shuffle(some)
    assert pictures_of(some) == set(range(REFRESHED + 60))
    assert decoders is not None


def test_of_a_stream_that_never_has_a_key_frame_only_what_is_needed_is_kept() -> None:
    decoders, kept = Decoders(), []
    for one in refreshed(range(REFRESHED + 60)):
        decoders.learn(batch_of([one]))
        kept.append(weakref.ref(cast(Any, one.decoder)))
        del one
    gc.collect()
    assert len([one for one in kept if one() is not None]) <= 75


def test_after_a_loss_such_a_stream_shows_nothing_until_it_is_whole_again() -> None:
    some = refreshed([seq for seq in range(REFRESHED + 60) if seq != 40])
    decoders = learnt(some)
    assert pictures_of(some) == {*range(40), *range(68, REFRESHED + 60)}
    assert decoders is not None
