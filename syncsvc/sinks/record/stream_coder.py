"""Pictures as they are kept: the camera's own where they come, others coded here, one in and one out."""

from fractions import Fraction
from typing import Any, Final, Literal

import av
import numpy as np
from numpy.typing import NDArray

from syncsvc import decoded, nal
from syncsvc.errors import FrameUndecodable
from syncsvc.layout import RAW_FORMATS, Codec, Layout
from syncsvc.model import Frame
from syncsvc.pictures import planes
from syncsvc.recording.segment import Take

CodecName = Literal["copy", "h264", "ffv1"]
CODECS: Final = ("copy", "h264", "ffv1")
_KEY_EVERY: Final = 50
_OPTIONS: Final = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "crf": "18", "g": str(_KEY_EVERY)},
    "ffv1": {"level": "3", "slicecrc": "1", "g": "1"},
}


def own_take(frame: Frame, coded: Frame) -> Take:
    """A frame whose picture came coded; ``coded`` is the same frame with it."""
    is_key = coded.keyframe or coded.format == "jpeg"
    data = coded.payload if isinstance(coded.payload, bytes) else bytes(coded.pixels)
    return Take(frame, coded.layout, data, is_key, False)


class StreamCoder:
    """Codes the raw pictures of one stream; ``coded`` ones are decoded first.

    Args:
        codec: ``h264``, visually lossless (CRF 18), or ``ffv1``, which gives back every bit.
        all_keys: each picture can be shown without the others.
    """

    def __init__(self, codec: Literal["h264", "ffv1"], *, all_keys: bool = False) -> None:
        self._codec, self._all_keys = codec, all_keys
        self._context: Any = None
        self._raw: Layout | None = None
        self._layout: Layout | None = None
        self._number = 0

    def restart(self) -> None:
        """The next picture refers to none before it."""
        self._context = None

    def take(self, frame: Frame) -> Take | None:
        """A frame with its picture coded here; None where it cannot be shown."""
        try:
            raw, pixels = self._pixels(frame)
        except FrameUndecodable:
            return None
        if self._context is None or raw != self._raw:
            self._begin(raw)
        packets = self._context.encode(self._picture(raw, pixels))
        data, is_key = b"".join(map(bytes, packets)), any(packet.is_keyframe for packet in packets)
        if self._layout is None:
            self._layout = self._described(raw, data)
        return Take(frame, self._layout, data, is_key, True)

    @staticmethod
    def _pixels(frame: Frame) -> tuple[Layout, NDArray[np.uint8]]:
        """A frame's pixels, and what they are."""
        if frame.format in RAW_FORMATS:
            return frame.layout, frame.pixels
        bgr = frame.to_bgr()
        return Layout("bgr24", frame.width, frame.height, "full"), bgr.reshape(-1)

    def _begin(self, raw: Layout) -> None:
        is_odd = raw.format != "gray8" and (raw.width % 2 or raw.height % 2)
        name = "ffv1" if self._codec == "ffv1" or is_odd else "libx264"  # x264 has no halves of pixels
        context: Any = av.CodecContext.create(name, "w")
        context.pix_fmt = _kept_as(raw, name)
        decoded.tell(context, raw if raw.format != "bgr24" or name == "ffv1" else _limited(raw))
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        context.thread_type, context.thread_count, context.max_b_frames = "NONE", 1, 0
        context.options = _OPTIONS[name] | ({"g": "1"} if self._all_keys else {})
        context.open()
        self._context, self._raw, self._layout, self._number = context, raw, None, 0

    def _picture(self, raw: Layout, pixels: NDArray[np.uint8]) -> Any:
        if raw.format == "bgr24":
            made: Any = av.VideoFrame.from_ndarray(pixels.reshape(raw.shape), "bgr24")
            made = made.reformat(format=self._context.pix_fmt, threads=1)
        else:
            made = av.VideoFrame(raw.width, raw.height, self._context.pix_fmt)
            for plane, packed in zip(made.planes, planes(pixels, raw), strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows[: packed.shape[0], : packed.shape[1]] = packed
        made.pts, self._number = self._number, self._number + 1
        return made

    def _described(self, raw: Layout, first: bytes) -> Layout:
        """What the coded pictures are."""
        name = self._context.codec.canonical_name
        sets = nal.parameter_sets(first, name) if name in nal.CODECS else {}
        extradata = b"".join(sets.values()) or bytes(self._context.extradata or b"")
        told = raw if raw.format != "bgr24" or name == "ffv1" else _limited(raw)
        return Layout("encoded", raw.width, raw.height, told.range, told.matrix, Codec(name, extradata))


def _limited(raw: Layout) -> Layout:
    """What x264 keeps of pictures in blue, green and red."""
    return Layout(raw.format, raw.width, raw.height)


def _kept_as(raw: Layout, name: str) -> str:
    """The pixel format of an encoder that loses nothing of a raw layout, or the nearest one."""
    if raw.format == "bgr24":
        return "bgr0" if name == "ffv1" else "yuv420p"
    if raw.format == "gray8":
        return "gray"
    return "yuvj420p" if raw.range == "full" and name != "ffv1" else "yuv420p"
