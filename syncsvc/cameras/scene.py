"""What a virtual camera sees, and the encoder that it has: pictures with their true time burned in, as H.264."""

from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from numpy.typing import NDArray

from syncsvc import barcode
from syncsvc.cameras import rtp
from syncsvc.cameras.settings import CameraSpec

_BAR_PX = 24
_BAR_SPEED_PX_S = 97
_NOISE_SAMPLES = 100_003  # a prime, so that rows of any width do not repeat each other
_NOISE_LEVELS = 40  # grey levels, either side, at noise 1


class Scene:
    """Draws a texture, a bar that moves with time, sensor noise and the barcode, into one frame that is used again."""

    def __init__(self, spec: CameraSpec, stream_id: int) -> None:
        self._stream_id = stream_id
        width, height = spec.width, spec.height
        self.frame = av.VideoFrame(width, height, "yuv420p")
        planes = [self._view(plane) for plane in self.frame.planes]
        self._luma = planes[0]
        columns, rows = np.arange(width), np.arange(height)[:, None]
        texture = 100 + 55 * np.sin(columns / 37 + stream_id) * np.cos(rows / 29)
        self._texture = texture.astype(np.uint8)
        planes[1][:] = 118 + 20 * np.sin(np.arange(planes[1].shape[1]) / 50 + stream_id)
        planes[2][:] = 138 + 20 * np.cos(np.arange(planes[2].shape[0])[:, None] / 40)
        self._draw_at = np.random.default_rng(spec.seed + stream_id)
        self._noise_of = 0.0
        self._noise = np.zeros(0, np.uint8)

    @staticmethod
    def _view(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
        flat: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
        return flat.reshape(-1, plane.line_size)[: plane.height, : plane.width]

    def draw(self, counter: int, time_us: int, noise: float) -> None:
        """Draw the picture of one instant."""
        width = self._luma.shape[1]
        if noise:
            np.add(self._texture, self._grain(noise), out=self._luma)
        else:
            self._luma[:] = self._texture
        left = time_us * _BAR_SPEED_PX_S // 1_000_000 % (width - _BAR_PX)
        self._luma[barcode.height_px(width) + 8 :, left : left + _BAR_PX] = 235
        barcode.draw(self._luma, self._stream_id, counter, time_us)

    def _grain(self, noise: float) -> NDArray[np.uint8]:
        """A window at random into noise that was drawn once; modulo 256 it adds below zero too."""
        size = self._texture.size
        if noise != self._noise_of:
            spread = np.clip(self._draw_at.normal(0, noise / 2, _NOISE_SAMPLES), -1, 1) * _NOISE_LEVELS
            self._noise, self._noise_of = np.resize(spread.astype(np.int8).view(np.uint8), size * 2), noise
        start = int(self._draw_at.integers(size))
        return self._noise[start : start + size].reshape(self._texture.shape)


class Encoder:
    """libx264 as a camera's chip would do it: no delay, no B-frames, parameter sets before every key picture."""

    def __init__(self, spec: CameraSpec, stream_id: int) -> None:
        self.spec = spec
        self._scene = Scene(spec, stream_id)
        self._context = self._open(spec)
        self._next_pts = 0
        sequence, picture = rtp.split_nal_units(self._context.extradata or b"")
        self.parameter_sets = sequence, picture

    @staticmethod
    def _open(spec: CameraSpec) -> "av.VideoCodecContext":
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuv420p"
        rate = Fraction(spec.fps).limit_denominator(1001)
        context.framerate, context.time_base = rate, 1 / rate
        context.thread_count = 1
        parameters = "repeat-headers=1:annexb=1:sliced-threads=0:threads=1:scenecut=0"
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(spec.gop)}
        if spec.bitrate is None:
            options["crf"] = str(spec.crf)
        else:
            context.bit_rate = spec.bitrate
            parameters += f":vbv-maxrate={spec.bitrate // 1000}:vbv-bufsize={spec.bitrate // 1000}"
        context.options = {**options, "x264-params": parameters}
        context.flags |= Flags.global_header  # the session is described before there is a picture
        context.open()
        return context

    def take(self, counter: int, time_us: int, noise: float, *, force_key: bool) -> list[bytes]:
        """Draw and encode one picture; its NAL units."""
        self._scene.draw(counter, time_us, noise)
        frame = self._scene.frame
        frame.pts, self._next_pts = self._next_pts, self._next_pts + 1
        frame.pict_type = PictureType.I if force_key else PictureType.NONE
        return rtp.split_nal_units(b"".join(bytes(packet) for packet in self._context.encode(frame)))
