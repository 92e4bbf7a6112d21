"""Demux and decode with PyAV, for network cameras and files alike: one thread, facts taken where ``demux`` returns."""

import socket
import struct
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av import VideoFrame
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer, Type
from av.stream import Disposition
from msgspec import Struct

from syncsvc.capture import stamps
from syncsvc.capture.jpeg import note_turn
from syncsvc.capture.placement import PresentationTimes
from syncsvc.capture.size_limit import claimed, too_big
from syncsvc.capture.source import Loss, Picture, Pulse
from syncsvc.capture.upright import UPRIGHT, Turn
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.layout import MAX_PIXELS
from syncsvc.model import Observation
from syncsvc.transport.page import Position

_SENDER_REPORT = struct.Struct("=I4xQIII")
KEPT_PACKETS = 64
_PARSED = frozenset({"h264", "hevc"})
"""Codecs whose frames libavformat cuts out of the stream: it sees the end of one in the start of the next."""
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
UNKNOWN_FPS = 30.0
MAX_FPS = 240.0


def open_container(
    source_id: str, source: Any, options: dict[str, str], timeout: tuple[float, float] | None, pulse: Pulse
) -> InputContainer:
    """Open an input: a URL, or something that reads like a file.

    Raises:
        SourceUnavailable: it cannot be opened; the message has no URL, because that may hold a password.
    """
    pulse(Position.OPENING)
    try:
        container: InputContainer = av.open(source, options=options, timeout=timeout)
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceUnavailable(source_id, f"cannot be opened: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """What went wrong, in words without the URL that libav puts behind."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return "its host's name is not known: no address was found for it"
    if isinstance(error, av.error.InvalidDataError):
        return "it is no video of a kind that is known here"
    return str(getattr(error, "strerror", None) or "it is not what it says it is")


class Accompanied(Struct, frozen=True):
    """A decoded picture, and the coded one that it was made of."""

    frame: VideoFrame
    coded: Picture


Unit = VideoFrame | Picture | Accompanied
"""A picture to be written in whatever form is wanted, or one that is a payload as it is."""
Sighting = tuple[Unit, Observation] | Loss
"""A picture and what was seen of its arrival, or a picture that is lost."""


@dataclass(frozen=True, slots=True)
class OpenInput:
    """A container that is open, and what its reader needs beside it."""

    source_id: str
    """For messages."""
    container: InputContainer
    pulse: Pulse
    """Says where the loop stands."""
    clock: Clock
    """For the arrivals."""
    arrived_at: Callable[[int], int | None] | None = None
    """When the input's byte at an offset came, where somebody knows: else it follows from the packets."""
    inspect: Callable[[Any], None] | None = None
    """Looks at each packet before it is read, and may refuse the source."""
    turn: Turn = UPRIGHT
    """Which way up its pictures are, as the container says."""
    max_pixels: int = MAX_PIXELS
    """Bigger pictures are refused."""
    presentation: PresentationTimes | None = None
    """Gives pictures their times, where those of their packets are in another order."""


def video_of(container: InputContainer) -> Any | None:
    """The track that players show: no cover, and the one that is marked as the default; None where there is none."""
    videos = [one for one in container.streams.video if not one.disposition & _NO_FILM]
    best = container.streams.best("video")
    if best in videos or not videos:
        return best if videos else None
    return max(videos, key=lambda one: bool(one.disposition & Disposition.default))


def confine(context: Any, max_pixels: int) -> None:
    """Let a decoder have one thread, for several hold frames back, and no bigger pictures than we take."""
    context.thread_type, context.thread_count = "NONE", 1
    context.options = {"max_pixels": str(max_pixels)}


class Demuxer(ABC):
    """A container's video, the track that players show, packet by packet, each with when it came.

    Raises:
        SourceUnavailable: it has no video, or none for which there is a decoder here.
    """

    def __init__(self, opened: OpenInput) -> None:
        self._input, self.container = opened, opened.container
        stream = video_of(self.container)
        if stream is None:
            raise SourceUnavailable(opened.source_id, "has no video")
        if stream.codec_context is None:
            raise SourceUnavailable(opened.source_id, "its video has a codec for which there is no decoder here")
        self.stream = stream
        context = self.stream.codec_context
        if not context.is_open:  # a recording that was rewound goes on with its decoder
            confine(context, opened.max_pixels)
        tick = self.stream.time_base or Fraction(1)
        self._tick = tick.numerator * NS_PER_S, tick.denominator  # libav's value is a new fraction each time it is read
        self._is_held_back = context.name in _PARSED
        self._previous_mono_ns: int | None = None
        self.read_to = 0
        """Where in its file the last packet ended, as far as the container says."""

    @property
    def declared_fps(self) -> float | None:
        """The rate of pictures that the container or the codec declares; None where neither does.

        Not libavformat's guess: most cameras write 25 frames a second as 50 fields, and it takes those for pictures.
        """
        rates = self.stream.average_rate, getattr(self.stream.codec_context, "framerate", None)
        return next((float(rate) for rate in rates if rate and 0 < float(rate) <= MAX_FPS), None)

    @property
    def fps(self) -> float:
        """Declared rate, or a guess on the high side."""
        return self.declared_fps or UNKNOWN_FPS

    def frames(self) -> Iterator[Sighting]:
        """Read until the end of the input; what was seen has the pts of the stream.

        Raises:
            SourceUnavailable: the input broke, or was silent for the read timeout.
        """
        packets, has_sent = self.container.demux(self.stream), False
        while True:
            self._input.pulse(Position.DEMUX)
            try:
                packet = next(packets, None)
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, OSError) as error:
                what = "stopped sending" if has_sent else "sent nothing"
                raise SourceUnavailable(self._input.source_id, f"{what}: {describe(error)}") from error
            arrival_mono_ns = self._input.clock.monotonic_ns()
            if packet is None:
                return
            if self._input.inspect is not None:
                self._input.inspect(packet)
            self._input.pulse(Position.DECODE)
            has_sent = True
            self.read_to = (packet.pos or 0) + packet.size
            yield from self._take(packet, arrival_mono_ns)

    @abstractmethod
    def _take(self, packet: Any, arrival_mono_ns: int) -> Iterator[Sighting]:
        """What a packet brings; one without bytes is the end."""

    def _see(self, packet: Any, arrival_mono_ns: int) -> Observation:
        """What a packet shows when it arrives."""
        ntp_ns, report = _ntp_of(packet)
        return Observation(
            -1,
            arrival_mono_ns,
            self._ns(packet.pts),
            is_key=bool(packet.is_keyframe),
            sender_report=report,
            ntp_ns=ntp_ns,
            start_mono_ns=self._start_of(packet, arrival_mono_ns),
        )

    @property
    def first_ns(self) -> int | None:
        """The pts of the input's first frame, as its container says."""
        start = self.stream.start_time
        return None if start is None else self.ns_of(start)

    def _ns(self, pts: int | None) -> int | None:
        """A packet's pts in nanoseconds of the stream's own time; None also for one beyond all reason."""
        ns = None if pts is None else self.ns_of(pts)
        return ns if ns is not None and abs(ns) < stamps.MAX_UTC_NS else None

    def ns_of(self, ticks: int) -> int:
        """So many ticks of the stream, in nanoseconds."""
        return ticks * self._tick[0] // self._tick[1]

    def ticks_of(self, ns: int) -> int:
        """So many nanoseconds, in ticks of the stream."""
        return ns * self._tick[1] // self._tick[0]

    def _start_of(self, packet: Any, arrival_mono_ns: int) -> int | None:
        """When the packet's first part came.

        A parser returns a frame when it meets the next one: so one began to arrive when the one before was returned.
        MPEG-TS holds one more back; there, and wherever the offset is known, the time of the first byte is exact.
        """
        if self._input.arrived_at is not None:
            return self._input.arrived_at(packet.pos) if packet.pos is not None else None
        before_mono_ns, self._previous_mono_ns = self._previous_mono_ns, arrival_mono_ns
        return before_mono_ns if self._is_held_back else arrival_mono_ns


class Damage:
    """How far a damaged picture reaches: those after it decode without an exception, and refer to it.

    A key frame ends it. A camera that refreshes its picture piece by piece (periodic intra refresh) sends none after
    the first: there it ends with the second place in a row where one may begin to decode, for between the two every
    piece came anew.
    """

    def __init__(self) -> None:
        self._is_there = self._is_refreshing = False

    def begin(self) -> None:
        """A picture could not be decoded."""
        self._is_there, self._is_refreshing = True, False

    def reaches(self, *, is_corrupt: bool, is_key: bool, is_entry: bool) -> bool:
        """Whether the next picture is damaged.

        Args:
            is_corrupt: the decoder says so.
            is_key: it refers to no other.
            is_entry: one may begin to decode with its packet: a key frame, or the first of a refresh.
        """
        if is_corrupt:
            self.begin()
        elif is_key or (is_entry and self._is_refreshing):
            self._is_there = False
        elif is_entry:
            self._is_refreshing = True
        return self._is_there


class Decoder(Demuxer):
    """Frames of a container's first video stream, each with what was seen of its own packet."""

    def __init__(self, opened: OpenInput) -> None:
        super().__init__(opened)
        self._seen: OrderedDict[int, Observation] = OrderedDict()
        self._damage = Damage()
        self._is_jpeg = self.stream.codec_context.name == "mjpeg"

    def _take(self, packet: Any, arrival_mono_ns: int) -> Iterator[Sighting]:
        sighted, order = self._see(packet, arrival_mono_ns), self._input.presentation
        if order is not None and packet.size:
            order.feed(packet.pts, packet.dts)
        if packet.pts is not None:
            self._seen[packet.pts] = sighted
            if len(self._seen) > KEPT_PACKETS:
                self._seen.popitem(last=False)
        try:
            decoded = packet.decode()
        except (av.error.FFmpegError, ValueError):
            self._damage.begin()
            yield too_big(claimed(packet, self.stream.codec_context), self._input.max_pixels) or Loss("decode_error")
            return
        for frame in decoded:
            if self._is_jpeg and packet.size:
                note_turn(frame, memoryview(packet))
            own = None if frame.pts is None else self._seen.pop(frame.pts, None)
            if own is None:  # the decoder may have held it back while other packets came
                own = replace(sighted, pts_ns=self._ns(frame.pts), is_key=bool(frame.key_frame))
            if order is not None:
                own = replace(own, pts_ns=self._ns(order.next(frame.pts, is_key=bool(frame.key_frame))))
            if self._damage.reaches(is_corrupt=frame.is_corrupt, is_key=bool(frame.key_frame), is_entry=own.is_key):
                yield Loss("decode_error")
            else:
                yield frame, own


def with_side_data(unit: Unit, seen: Observation) -> Observation:
    """The observation with the stamp that H.264 or H.265 carries beside the picture, where there is one."""
    frame = unit.frame if isinstance(unit, Accompanied) else unit
    return with_stamp(seen, _stamp_beside(frame)) if isinstance(frame, VideoFrame) else seen


def with_stamp(seen: Observation, stamp: stamps.MediaStamp | None) -> Observation:
    """The observation with a stamp inside the live stream, where there is one."""
    if stamp is None:
        return seen
    return replace(seen, stamp_ns=stamp.utc_ns, stamp_kind="media", doubt_ns=stamp.doubt_ns)


def _stamp_beside(frame: VideoFrame) -> stamps.MediaStamp | None:
    """The precision time stamp in a frame's side data.

    Not through ``frame.side_data``: the frame would keep what it returns, which keeps the frame, and pictures that only
    the garbage collector frees doubled the time that decoding takes.
    """
    try:
        beside = SideDataContainer(frame)  # type: ignore[call-arg]  # its stub lacks the argument
        found = [bytes(side) for side in beside if side.type is Type.SEI_UNREGISTERED]
    except ValueError:  # side data of a kind that PyAV has no name for
        return None
    return stamps.first_of(found)


def _ntp_of(packet: Any) -> tuple[int | None, tuple[int, int] | None]:
    """The packet's NTP time by the last sender report (UTC ns), and the raw report where one rode on it."""
    ntp_ns, report = None, None
    for side in packet.iter_sidedata():
        kind = str(side.data_type)
        if kind == "prft":
            ntp_ns = struct.unpack_from("=q", bytes(side))[0] * 1000
        elif kind == "rtcp_sr":
            _, ntp, rtp, _, _ = _SENDER_REPORT.unpack_from(bytes(side))
            report = ntp, rtp
    return ntp_ns, report
