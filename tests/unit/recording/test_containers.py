"""Files written piece by piece, read again by libav: every picture is there at its time as soon as its piece is."""

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from syncsvc.appending import GrowingFile, grow
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.layout import Codec, Layout
from syncsvc.recording.containers import Container, Sample, container_of

KINDS = [
    ("libx264", "h264", "yuv420p", "mp4"),
    ("libx265", "hevc", "yuv420p", "mp4"),
    ("mjpeg", "mjpeg", "yuvj420p", "mp4"),
    ("libvpx-vp9", "vp9", "yuv420p", "mp4"),
    ("libvpx", "vp8", "yuv420p", "mkv"),
    ("mpeg4", "mpeg4", "yuv420p", "mkv"),
    ("ffv1", "ffv1", "bgr0", "mkv"),
]


def coded(encoder: str, name: str, pix_fmt: str) -> tuple[Layout, list[Sample]]:
    """Six pictures of six shades, 40 ms apart but for one that was lost, the first 7 ms after the file's zero."""
    context: Any = cast(Any, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, pix_fmt, Fraction(1, 25)
    context.thread_count, context.max_b_frames = 1, 0
    if encoder in ("libx264", "libx265"):
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}
    packets = []
    for number in range(6):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), "bgr24")
        frame = frame.reformat(format=pix_fmt)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    layout = Layout("encoded", 64, 48, codec=Codec(name, bytes(context.extradata or b"")))
    times = [7, 47, 87, 167, 207, 247]
    return layout, [Sample(at * MS, one.is_keyframe, bytes(one)) for at, one in zip(times, packets, strict=True)]


def container_for(layout: Layout) -> Container:
    container = container_of(layout)
    assert container is not None
    return container


def shown(path: Path) -> list[tuple[int, int]]:
    """Time in ms and shade of each picture."""
    with av.open(str(path)) as film:
        pictures = [(one.pts * one.time_base * 1000, one.to_ndarray(format="bgr24")) for one in film.decode(video=0)]
    return [(round(at), round(float(bgr.mean()) / 40)) for at, bgr in pictures]


@pytest.mark.parametrize(("encoder", "name", "pix_fmt", "suffix"), KINDS, ids=[kind[1] for kind in KINDS])
def test_every_piece_plays_as_soon_as_it_is_there(
    tmp_path: Path, encoder: str, name: str, pix_fmt: str, suffix: str
) -> None:
    layout, samples = coded(encoder, name, pix_fmt)
    container, path = container_for(layout), tmp_path / "film"
    assert container.suffix == suffix
    expected = list(zip([7, 47, 87, 167, 207, 247], range(6), strict=True))
    path.write_bytes(container.piece(samples[:1]))
    assert shown(path) == expected[:1]
    with path.open("ab") as file:
        file.write(container.piece(samples[1:4]))
    assert shown(path) == expected[:4]
    with path.open("ab") as file:
        file.write(container.piece(samples[4:]))
    assert shown(path) == expected


@pytest.mark.parametrize(("encoder", "name", "pix_fmt"), [("libx264", "h264", "yuv420p"), ("ffv1", "ffv1", "bgr0")])
def test_a_piece_whose_writer_was_killed_costs_none_before_it(
    tmp_path: Path, encoder: str, name: str, pix_fmt: str
) -> None:
    layout, samples = coded(encoder, name, pix_fmt)
    container, file = container_for(layout), GrowingFile(tmp_path / "film", has_boxes=True)
    whole, torn = container.piece(samples[:3]), container.piece(samples[3:])
    file.add(whole)
    grow(tmp_path, [file])
    for left in range(1, len(torn) - 8, 13):
        file.path.write_bytes(whole + bytes(8) + torn[8 : 8 + left])
        assert shown(file.path) == [(7, 0), (47, 1), (87, 2)], left
    written: list[tuple[int, bytes]] = []
    file._write = lambda data, at: written.append((at, bytes(data)))  # type: ignore[method-assign] # who is killed
    file.add(torn)
    file.write()
    assert written == [(len(whole) + 8, torn[8:]), (len(whole), torn[:8])], "its head comes last"
    file.close()


def test_a_cluster_never_spans_more_time_than_its_blocks_can_tell(tmp_path: Path) -> None:
    layout, samples = coded("ffv1", "ffv1", "bgr0")
    path = tmp_path / "film"
    far = [one._replace(at_ns=number * 29_000 * MS) for number, one in enumerate(samples)]
    path.write_bytes(container_for(layout).piece(far))
    assert [at for at, _ in shown(path)] == [0, 29_000, 58_000, 87_000, 116_000, 145_000]


def test_a_codec_that_no_container_takes_is_said() -> None:
    assert container_of(Layout("encoded", 64, 48, codec=Codec("wmv9"))) is None
    assert container_of(Layout("i420", 64, 48)) is None
