"""Makes the recording that benchmarks decode: 1080p25 as a camera would send it, hard enough to decode."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 1920, 1080, 25
FRAMES = 10 * FPS
"""As many as most benchmarks take."""
BITS_PER_S = 4_000_000
_GOP = 50
_NOISE_LEVELS = 6.0  # standard deviation of a sensor at dusk
_SPEED_PX = 3


@contextmanager
def recording(progress: Callable[[str], None], frames: int = FRAMES) -> Iterator[Path]:
    """Such a file, in a folder of its own, while the ``with`` block lasts."""
    with tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder:
        progress(f"making {frames} frames of 1080p")
        make(Path(folder, "clip.mp4"), frames)
        yield Path(folder, "clip.mp4")


def make(path: Path, frames: int) -> None:
    """Encode H.264 (x264 veryfast, no B-frames, 4 Mbit/s): a texture that moves, and noise that is new every frame.

    Args:
        path: of the MP4 file to write.
        frames: its length, at 25 frames a second.
    """
    drawn = np.random.default_rng(7)
    texture = _texture(drawn)
    noise = drawn.normal(0, _NOISE_LEVELS, WIDTH * HEIGHT * 2).astype(np.int8)
    picture = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma, *chroma = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in picture.planes
    )
    for plane in chroma:
        plane[:] = 128
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = BITS_PER_S
        stream.options = {"preset": "veryfast", "bf": "0", "g": str(_GOP)}
        for number in range(frames):
            left, start = number * _SPEED_PX % WIDTH, int(drawn.integers(WIDTH * HEIGHT))
            moved = texture[:, left : left + WIDTH] + noise[start : start + WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
            luma[:HEIGHT, :WIDTH] = moved
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _texture(drawn: np.random.Generator) -> NDArray[np.int16]:
    """Two pictures wide, seamless, between 40 and 200, so that noise neither clips nor wraps."""
    columns, rows = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    waves = 40 * np.sin(columns * 2 * np.pi * 24 / WIDTH) * np.cos(rows / 31)
    blocks = np.kron(drawn.integers(-35, 35, (HEIGHT // 8, WIDTH // 8)), np.ones((8, 8)))
    return np.tile((120 + waves + blocks).astype(np.int16), (1, 2))
