"""Packets as the source coded them, timed and described without a decoder: ``pixels: encoded``, and JPEG from JPEG.

Every codec's own rules are kept, so that any decoder takes the payloads in order: H.264 and H.265 leave with start
codes (Annex B), and each key frame with its parameter sets, whatever the container had.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError

from syncsvc import decoded, nal
from syncsvc.capture import stamps
from syncsvc.capture.decode import Decoder, Demuxer, OpenInput, Sighting, with_stamp
from syncsvc.capture.jpeg import coded, jpeg_layout, plain_jpeg
from syncsvc.capture.source import Loss, Picture
from syncsvc.capture.upright import UPRIGHT, Turn, turn_of, turn_of_message
from syncsvc.clock import NS_PER_S
from syncsvc.errors import SourceUnavailable
from syncsvc.layout import MAX_EXTRADATA_BYTES, Codec, ColorRange, Layout, jpeg_header

_MJPEG = Codec("mjpeg")
B_FRAMES = (
    "sends B-frames, which do not come in the order of their times: they are lost to `pixels: encoded`. Switch them "
    "off in the camera, or take other pixels"
)


class PassThrough(Demuxer):
    """The coded pictures of a container's first video stream, in the order in which they come.

    ``reads_stamps``: look into H.264 and H.265 for the time stamps that cameras put beside the picture.
    """

    def __init__(self, opened: OpenInput, *, reads_stamps: bool = False) -> None:
        super().__init__(opened)
        self._codec = self.stream.codec_context.codec.canonical_name  # `av1`, whichever library decodes it here
        self._is_nal, self._reads_stamps = self._codec in nal.CODECS, reads_stamps
        extradata = self.stream.codec_context.extradata or b""
        self._filter: BitStreamFilterContext | None = None
        self._sets: dict[int, bytes] = {}
        if self._is_nal and extradata[:1] == b"\1":  # avcC, hvcC: lengths before the units instead of start codes
            self._filter = self._start_codes()
        elif self._is_nal:
            self._sets, extradata = nal.parameter_sets(extradata, self._codec), b""
        self._layout: Layout | None = None
        self._turn = opened.turn
        """By the container, as far as somebody looked; the codec's own word goes before it."""
        self._may_have_matrix = reads_stamps and self._filter is not None
        self.has_b_frames = False
        """Whether one came whose order is not that of its time."""
        self._head = b""
        self._numbers, self._number_bits = nal.FrameNumbers(), 0
        if self._sets:
            self._learn({})
        elif not self._is_nal:
            self._describe(extradata[:MAX_EXTRADATA_BYTES], None)
        self._has_begun = False
        self._last_pts: int | None = None
        self._ticks_per_s = self.ticks_of(NS_PER_S)

    def _start_codes(self) -> BitStreamFilterContext:
        """What puts start codes where the container has lengths.

        Raises:
            SourceUnavailable: the container's parameters are damaged.
        """
        try:
            return BitStreamFilterContext(f"{self._codec}_mp4toannexb", self.stream)
        except (FFmpegError, ValueError) as error:
            raise SourceUnavailable(self._input.source_id, "its parameters of the codec cannot be read") from error

    def _take(self, packet: Any, arrival_mono_ns: int) -> Iterator[Sighting]:
        if not packet.size:
            return  # the end
        seen, is_key = self._see(packet, arrival_mono_ns), packet.is_keyframe  # first: the filter takes the packet away
        if (refused := self._refused(packet)) is not None:  # it came before the next one all the same
            yield refused
            return
        if is_key and self._may_have_matrix:
            self._may_have_matrix = False
            self.show_by(_turn_of_container(packet))
        data = self._converted(packet)
        if data is not None and self._is_nal and self._reads_stamps:
            data = bytes(data)
            seen = with_stamp(seen, stamps.first_of(nal.user_data(data, self._codec)))
        picture = self._picture(data, is_key)
        if isinstance(data, bytes) and self._codec == "h264" and not self._numbers.follows(data, self._number_bits):
            yield Loss("network_loss")  # one for all that are missing here: how many is not known
        yield picture if isinstance(picture, Loss) else (picture, seen)

    def coded_of(self, packet: Any) -> Picture | None:
        """A packet's coded picture, for who does the rest itself; None where it has none."""
        if not packet.size or self._refused(packet) is not None:
            return None
        is_key = packet.is_keyframe
        picture = self._picture(self._converted(packet), is_key)
        return picture if isinstance(picture, Picture) else None

    def _refused(self, packet: Any) -> Loss | None:
        """Why a packet is not handed on; what follows it is told apart by the hole that it leaves."""
        if packet.is_corrupt:
            return self._lose("decode_error")
        is_cut, self._has_begun = not (self._has_begun or packet.is_keyframe), True
        if is_cut:  # the hole in the numbers says that what follows does not refer to an earlier session's frames
            return self._lose("no_key")
        if self._is_out_of_order(packet.pts):
            self.has_b_frames = True
            return self._lose("b_frame", B_FRAMES)
        return None

    def _converted(self, packet: Any) -> Any:
        """The packet with start codes, where it had lengths; None where it cannot be read."""
        if self._filter is None:
            return packet
        try:
            return next(iter(self._filter.filter(packet)), None)
        except FFmpegError:
            return None

    def _picture(self, data: Any, is_key: bool) -> Picture | Loss:
        """What is handed on of a packet, or of its bytes."""
        if data is None:
            return self._lose("decode_error")
        head = b""
        if self._is_nal:  # parameters come with the key frames; to ask libav for others costs more than all the rest
            if is_key:
                data = bytes(data)
                if (said := nal.orientation(data, self._codec)) is not None:
                    self.show_by(turn_of_message(said))
                self._learn(nal.parameter_sets(data, self._codec))
                head = self._head
        elif self._codec == "mjpeg":
            data = bytes(data)
            self._measure(data)
        elif data.has_sidedata("new_extradata"):
            self._describe(bytes(data.get_sidedata("new_extradata"))[:MAX_EXTRADATA_BYTES], None)
        return Loss("no_parameters") if self._layout is None else coded(self._layout, data, head)

    def show_by(self, turn: Turn) -> None:
        """Take in which way up pictures are from now on."""
        self._turn = turn
        if self._layout is not None and self._layout.rotation != turn.rotation:
            self._layout = replace(self._layout, rotation=turn.rotation)

    def _is_out_of_order(self, pts: int | None) -> bool:
        """Whether it is shown before one that came before it; a fall of a second or more is a new timeline."""
        last = self._last_pts
        if pts is None or (last is not None and last - self._ticks_per_s < pts < last):
            return pts is not None
        self._last_pts = pts
        return False

    def _lose(self, cause: str, problem: str = "") -> Loss:
        """A hole in the numbers is made already."""
        self._numbers.forget()
        return Loss(cause, problem)

    def _learn(self, found: dict[int, bytes]) -> None:
        """Take a key frame's parameter sets in; ``_head`` is what must stand before it where it lacks some."""
        kinds = nal.PARAMETER_SETS[self._codec]
        is_whole = all(kind in found for kind in kinds)
        sets = found if is_whole else {**self._sets, **found}
        extradata = b"".join(sets.get(kind, b"") for kind in kinds)[:MAX_EXTRADATA_BYTES]
        self._head = b"" if is_whole else extradata
        if self._layout is None or sets != self._sets:
            self._sets = sets
            shape = nal.shape_of(sets, self._codec)
            self._number_bits = shape.number_bits if shape else 0
            self._describe(extradata, shape)

    def _describe(self, extradata: bytes, shape: nal.Shape | None) -> None:
        """Make the layout anew; what the bitstream does not tell, the container may."""
        context = self.stream.codec_context
        shape = shape or nal.Shape(context.width, context.height)
        told: ColorRange = "full" if context.color_range == decoded.FULL_RANGE else "limited"
        matrix = decoded.matrix_of(int(context.colorspace))
        if shape.width and shape.height:
            codec = Codec(self._codec, extradata)
            self._layout = Layout(
                "encoded", shape.width, shape.height, shape.range or told, shape.matrix or matrix, codec,
                self._turn.rotation,
            )  # fmt: skip

    def _measure(self, data: bytes) -> None:
        """Motion JPEG says in every picture how big it is, and which way up."""
        header = jpeg_header(data)
        if header is not None and (layout := jpeg_layout(header, _MJPEG, self._turn)) != self._layout:
            self._layout = layout


def _turn_of_container(packet: Any) -> Turn:
    """What a container says of its pictures, which it tells beside decoded ones alone."""
    with suppress(FFmpegError, ValueError):
        shown = [*packet.decode(), *packet.stream.codec_context.decode(None)]
        return turn_of(shown[0]) if shown else UPRIGHT
    return UPRIGHT


class JpegPassThrough(Decoder):
    """Motion JPEG as JPEG files: as they come where any reader can read them, else decoded, to be compressed again."""

    def _take(self, packet: Any, arrival_mono_ns: int) -> Iterator[Sighting]:
        picture = plain_jpeg(bytes(packet), self._input.turn) if packet.size else None
        if picture is None:
            yield from super()._take(packet, arrival_mono_ns)
        else:
            yield picture, self._see(packet, arrival_mono_ns)
