"""One camera's pictures as MP4 files of a constant rate, which LeRobot's readers seek in by time."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from syncsvc.export.set_grid import MOST_EPISODE_S

FILE_MB: Final = 200
FILES_PER_CHUNK: Final = 1000
_OPTIONS: Final = {"preset": "veryfast", "crf": "23", "g": "2", "bf": "0"}
"""A key frame in every second picture, as LeRobot's own recorder has it: training reads at random."""
_LIMITED, _BT601 = 1, 6


class Lot(NamedTuple):
    """Where in a numbered row of files something lies."""

    chunk: int = 0
    file: int = 0

    @property
    def place(self) -> str:
        """Folder and name, without a suffix."""
        return f"chunk-{self.chunk:03}/file-{self.file:03}"

    @property
    def following(self) -> "Lot":
        """The next one."""
        return Lot(self.chunk, self.file + 1) if self.file + 1 < FILES_PER_CHUNK else Lot(self.chunk + 1, 0)


class FilmFiles:
    """Writes files into a folder, each with whole episodes; another one begins where one is full.

    Args:
        folder: where.
        fps: pictures a second.
        size: width and height, both even.
    """

    def __init__(self, folder: Path, fps: int, size: tuple[int, int]) -> None:
        self._folder, self._fps, self._size = folder, fps, size
        self._sink: Any = None
        self._stream: Any = None
        self._frames = self._bytes = 0
        self.lot = Lot()
        self.files = 0

    @property
    def at_s(self) -> float:
        """Where in its file the next picture comes to lie."""
        return self._frames / self._fps

    def begin_episode(self) -> None:
        """What comes now stays in one file."""
        if self._sink is not None:
            if self._bytes < FILE_MB << 20 and self.at_s < MOST_EPISODE_S:
                return
            self.close()
            self.lot = self.lot.following
        path = self._folder / f"{self.lot.place}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open(path)

    def _open(self, path: Path) -> None:
        self._sink = av.open(str(path), "w", format="mp4")
        self._stream = self._sink.add_stream("libx264", rate=self._fps, options=_OPTIONS)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, self._fps)
        self._stream.codec_context.color_range, self._stream.codec_context.colorspace = _LIMITED, _BT601
        self._stream.codec_context.thread_count = 1  # every camera has a thread
        self._frames, self._bytes, self.files = 0, 0, self.files + 1

    def add(self, bgr: NDArray[np.uint8]) -> None:
        """The next picture, ``(height, width, 3)`` uint8, BGR."""
        picture = av.VideoFrame.from_ndarray(bgr, "bgr24").reformat(format="yuv420p", threads=1)
        picture.pts, picture.time_base = self._frames, Fraction(1, self._fps)
        packets = self._stream.encode(picture)
        self._sink.mux(packets)
        self._frames, self._bytes = self._frames + 1, self._bytes + sum(packet.size for packet in packets)

    def close(self) -> None:
        """The file is whole."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                sink.mux(self._stream.encode(None))
            finally:
                sink.close()
