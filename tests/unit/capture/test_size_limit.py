"""Pictures that claim to be huge: refused before memory is taken for them, and said with their size."""

import resource
import struct
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from syncsvc.capture.decode import OpenInput, open_container
from syncsvc.capture.readers import reader_of
from syncsvc.capture.size_limit import checked, too_big
from syncsvc.capture.source import Loss, Picture, Shot
from syncsvc.capture.spec import FileSpec, RingPlan
from syncsvc.layout import MAX_PIXELS, Layout
from syncsvc.testing import ManualClock, observation

HUGE = 30_000
SPEC = FileSpec(name="a", pixels="i420", ring=RingPlan(1_000_000_000), path="-")


def still(folder: Path, name: str, codec: str, pixel_format: str) -> Path:
    path = folder / name
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format  # type: ignore[attr-defined]
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8)).reformat(format=pixel_format)
        for packet in [*stream.encode(picture), *stream.encode(None)]:  # type: ignore[attr-defined]
            output.mux(packet)
    return path


def losses(path: Path, max_pixels: int = MAX_PIXELS) -> list[Loss]:
    spec = FileSpec(name="a", pixels="i420", ring=SPEC.ring, path=str(path), max_pixels=max_pixels)
    with closing(open_container("a", str(path), {}, None, lambda _: None)) as container:
        reader = reader_of(spec, OpenInput("a", container, lambda _: None, ManualClock()))
        return [item for item in reader.frames() if isinstance(item, Loss)]


def test_a_jpeg_and_a_png_that_claim_30000_pixels_a_side_take_no_memory(tmp_path: Path) -> None:
    jpeg, png = still(tmp_path, "a.jpg", "mjpeg", "yuvj420p"), still(tmp_path, "a.png", "png", "rgb24")
    data = bytearray(jpeg.read_bytes())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, HUGE, HUGE)
    jpeg.write_bytes(data)
    data = bytearray(png.read_bytes())
    struct.pack_into(">II", data, 16, HUGE, HUGE)
    png.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in (jpeg, png):
        assert [(loss.cause, "30000x30000" in loss.why) for loss in losses(path)] == [("too_big", True)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_stream_that_is_bigger_than_configured_is_refused_by_its_parameter_sets(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"  # type: ignore[attr-defined]
        picture = av.VideoFrame.from_ndarray(np.zeros((192, 320, 3), np.uint8)).reformat(format="yuv420p")
        for packet in [*stream.encode(picture), *stream.encode(None)]:  # type: ignore[attr-defined]
            output.mux(packet)
    assert losses(path) == []
    found = losses(path, max_pixels=320 * 192 - 1)
    assert found
    assert all(loss.cause == "too_big" and "320x192" in loss.why for loss in found)


def test_pictures_that_nobody_decodes_are_held_to_it_too() -> None:
    picture = Picture(Layout("jpeg", HUGE, HUGE, "full", "bt601"), 10, lambda slot: None)
    found = checked(Shot(picture, observation(0, 0)), SPEC)
    assert found == too_big((HUGE, HUGE), MAX_PIXELS)
    fits = Shot(Picture(Layout("jpeg", 8192, 4320, "full", "bt601"), 10, lambda slot: None), observation(0, 0))
    assert checked(fits, SPEC) is fits
