"""The values that travel: one frozen type per thing, the same inside the service and in a user's hands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from syncsvc import showing
from syncsvc.borrowed import Payload as Payload
from syncsvc.borrowed import PictureSource as PictureSource
from syncsvc.errors import FrameUndecodable, FrameWithoutPixels
from syncsvc.layout import RAW_FORMATS, Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ClockClass = Literal["rtcp", "kernel", "pts", "model", "arrival"]
StampKind = Literal["", "pts", "media", "playlist", "kernel"]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_MOST: Final = 2**62 - 1
"""So that the sum and the difference of two still fit the 64 bits of a batch's header."""
Natural = Annotated[int, Meta(ge=0, le=_MOST)]
Time = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
"""Nanoseconds of a clock, or between two of them."""
MissingReason = Literal["deadline", "stalled", "absent", "ended", "starting", "draining"]


class StreamState(Enum):
    """What a stream is doing; the value is the reason it is given as missing for."""

    STARTING = "starting"
    LIVE = "live"
    STALLED = "stalled"
    ABSENT = "absent"
    ENDED = "ended"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a capture process saw of one frame: facts, no conclusions.

    ``seq`` is -1 until the frame has taken its number. ``arrival_mono_ns`` is when ``demux`` returned its packet,
    ``start_mono_ns`` when its first part reached us: libavformat's parser holds a frame back until the next begins.

    ``stamp_ns`` is what the source itself says of the capture time, in UTC nanoseconds, true within ``doubt_ns``;
    ``stamp_kind`` says who speaks: ``pts`` of a file or a generator, ``media`` for a stamp inside a live stream,
    ``playlist`` for one in the list of its segments. A ``kernel`` stamp is on CLOCK_MONOTONIC. ``sender_report`` is the
    raw (NTP 64 bit, RTP 32 bit) pair where one rode on this packet, ``ntp_ns`` the frame's time in UTC by the last
    report, at the nominal rate, as libavformat reckons it. ``utc_less_mono_ns`` is by how much UTC was ahead of
    CLOCK_MONOTONIC when the origin of ``pts`` stamps was fixed, where they were made by this host's clock. Bounds are
    checked where a receiver reads it.
    """

    seq: Natural
    arrival_mono_ns: Time
    pts_ns: Int64 | None = None
    stamp_ns: Int64 | None = None
    stamp_kind: StampKind = ""
    is_key: bool = False
    sender_report: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0, le=2**32 - 1)]] | None = None
    ntp_ns: Int64 | None = None
    start_mono_ns: Time | None = None
    doubt_ns: Natural = 0
    utc_less_mono_ns: Int64 | None = None

    def numbered(self, seq: int) -> "Observation":
        """The same, of the frame that has taken this number; ``dataclasses.replace`` takes five times as long."""
        return Observation(
            seq, self.arrival_mono_ns, self.pts_ns, self.stamp_ns, self.stamp_kind, self.is_key, self.sender_report,
            self.ntp_ns, self.start_mono_ns, self.doubt_ns, self.utc_less_mono_ns,
        )  # fmt: skip

    @property
    def began_mono_ns(self) -> int:
        """When its first part reached us, as far as that is known."""
        return self.arrival_mono_ns if self.start_mono_ns is None else self.start_mono_ns


@dataclass(frozen=True, init=False, repr=False, eq=False, match_args=False)
class Frame(Struct, frozen=True, eq=False):
    """One frame with its capture time.

    A dataclass to whoever looks at it, and a Struct because hundreds are made at once, before a batch is in anybody's
    hands: that takes a fifteenth of the time.

    ``time_ns`` (UTC) is when the picture was taken, true within ``uncertainty_ns``, as ``clock`` says;
    ``arrival_ns`` (UTC) is when its packet reached the service. ``payload`` is any readable buffer, or a ``Payload``;
    None where the frame came in a header alone.
    ``decoder`` is the subscriber's, for a frame of an encoded stream.

    Pickled or deep-copied it becomes a frame of its own: its payload is copied, its lease stays behind, and an encoded
    one is decoded now, and takes its picture along (or the reason why there is none).
    """

    stream: str
    seq: int
    time_ns: int
    uncertainty_ns: int
    clock: ClockClass
    arrival_ns: int
    keyframe: bool
    layout: Layout
    payload: Any
    decoder: PictureSource | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What is printed of it: not the pixels."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in ("payload", "decoder")]

    def __repr__(self) -> str:
        return showing.frame_line(self)

    def _repr_html_(self) -> str:
        return showing.frame_table(self)

    def __reduce__(self) -> tuple[type["Frame"], tuple[Any, ...]]:
        *facts, payload, decoder = (getattr(self, name) for name in self.__struct_fields__)
        own = payload if isinstance(payload, bytes | None) else bytes(self.pixels)
        return type(self), (*facts, own, decoder and decoder.kept())

    @property
    def format(self) -> str:
        """Pixel format: ``i420``, ``bgr24``, ``gray8``, ``jpeg`` or ``encoded``."""
        return self.layout.format

    @property
    def width(self) -> int:
        """Pixels per row."""
        return self.layout.width

    @property
    def height(self) -> int:
        """Rows."""
        return self.layout.height

    @property
    def shape(self) -> tuple[int, ...]:
        """What ``from_dlpack`` makes of it: see ``Layout.shape``; a jpeg and an encoded payload are ``(nbytes,)``."""
        return self.layout.shape if self.layout.format in RAW_FORMATS else self.pixels.shape

    @property
    def pixels(self) -> "NDArray[np.uint8]":
        """The payload as sent: one-dimensional, uint8, read-only, no copy.

        Raises:
            FrameReclaimedError: it was leased, and held for too long (mode ``local`` only).
            FrameWithoutPixels: it came in a header alone.
        """
        if isinstance(self.payload, Payload):
            return self.payload.view()
        if self.payload is None:
            raise FrameWithoutPixels(self.stream, self.seq)
        import numpy as np

        flat = np.frombuffer(self.payload, np.uint8)
        flat.flags.writeable = False
        return flat

    def to_bgr(self) -> "NDArray[np.uint8]":
        """The picture as ``(height, width, 3)`` uint8, BGR, in memory of its own, honouring ``layout``'s colour space.

        A frame of an ``encoded`` stream is decoded now, and those before it back to its key frame where that was not
        done yet. In the order of ``seq`` each is decoded once.

        Raises:
            FrameReclaimedError: the frame was leased, and held for too long (mode ``local`` only).
            FrameUndecodable: it refers to a frame that was lost or has not come yet, or is damaged.
            FrameWithoutPixels: it came in a header alone.
            ValueError: the payload is not what ``layout`` says.
            ImportError: OpenCV, or PyAV for ``encoded``, cannot be loaded; the message says what to install.
        """
        if self.payload is None:
            raise FrameWithoutPixels(self.stream, self.seq)
        if self.layout.format != "encoded":
            from syncsvc.pictures import to_bgr

            return to_bgr(self.pixels, self.layout)
        if self.decoder is None:
            raise FrameUndecodable(self.stream, self.seq, "it did not come through a subscriber")
        return self.decoder.to_bgr()

    def to_rgb(self) -> "NDArray[np.uint8]":
        """The picture as ``(height, width, 3)`` uint8, RGB, in memory of its own; errors as with ``to_bgr``."""
        from syncsvc.pictures import to_rgb

        return to_rgb(self.to_bgr())

    def planes(self) -> tuple["NDArray[np.uint8]", ...]:
        """The payload's planes, uint8, read-only, no copy.

        Returns:
            Of i420 Y ``(height, width)``, U and V ``(ceil(height/2), ceil(width/2))``; of bgr24 one
            ``(height, width, 3)``, of gray8 one ``(height, width)``.

        Raises:
            FrameReclaimedError: the frame was leased, and held for too long (mode ``local`` only).
            ValueError: the payload is not what ``layout`` says, or a jpeg or encoded one, which has none.
        """
        from syncsvc.pictures import planes

        return planes(self.pixels, self.layout)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """The payload as a uint8 DLPack capsule of ``shape``: no copy, but for who cannot be told that it is read-only.

        Raises:
            BufferError: a copy is what can be had, and was not to be; or another device was asked for.
            FrameReclaimedError: the frame was leased, and held for too long (mode ``local`` only).
        """
        from syncsvc.pictures import dlpack

        return dlpack(self.pixels.reshape(self.shape), stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.pixels.__dlpack_device__()

    def __buffer__(self, flags: int) -> memoryview:  # the buffer protocol of classes, from Python 3.12 on (PEP 688)
        return self.pixels.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "NDArray[Any]":
        pixels = self.pixels
        if dtype is not None and pixels.dtype != dtype:
            return pixels.astype(dtype)
        return pixels.copy() if copy else pixels


@dataclass(frozen=True, slots=True, eq=False)
class FrameSet:
    """Frames that belong together: at most one per stream, at least two, within ``max_skew_ms``.

    ``spread_ns`` is the latest capture time less the earliest; ``missing`` names the group's streams without a frame.
    """

    spread_ns: int
    frames: Mapping[str, Frame]
    missing: tuple[str, ...]

    def __repr__(self) -> str:
        return showing.set_line(self)

    def _repr_html_(self) -> str:
        return showing.set_table(self)


@dataclass(frozen=True, slots=True)
class Counts:
    """One stream's account in one batch; ``captured = delivered + late + sum(dropped)``, always.

    ``skipped`` frames never reached the service, as far as the grid of their pts tells: they are outside of that.
    """

    captured: int = 0
    delivered: int = 0
    late: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        dropped = dict(self.dropped)
        for cause, count in other.dropped.items():
            dropped[cause] = dropped.get(cause, 0) + count
        return Counts(
            self.captured + other.captured, self.delivered + other.delivered, self.late + other.late, dropped,
            self.skipped + other.skipped,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """All frames of one window of one group, and the sets that they form.

    ``frames`` has an entry for every stream of the group, in the group's order, by capture time; ``missing`` says why
    a stream has no frame in the window, or had not been heard up to its end when the window closed.
    ``late_ns`` is how much later than ``max_latency_ms`` allows it left the service; 0 when in time. ``redelivered``
    says that a named subscription (mode ``lossless``) was sent it before, and may have had it in hand.
    """

    group: str
    seq: int
    epoch: int
    window_start_ns: int
    window_end_ns: int
    emitted_ns: int
    missing: Mapping[str, MissingReason]
    frames: Mapping[str, Sequence[Frame]]
    sets: Sequence[FrameSet]
    counts: Mapping[str, Counts]
    run_id: str = ""
    late_ns: int = 0
    redelivered: bool = False

    @property
    def complete(self) -> bool:
        """Whether every stream was heard for the whole window."""
        return not self.missing

    def __repr__(self) -> str:
        return showing.batch_line(self)

    def _repr_html_(self) -> str:
        return showing.batch_table(self)


@dataclass(frozen=True, slots=True, eq=False)
class LateFrame:
    """A frame that came after its window had closed, and the bounds of that window.

    ``seq`` and ``epoch`` are those of the batch that counts it as late. Of a group without windows (``window_ms:
    null``) the bounds are the frame's own time and the end of the last batch's window.
    """

    group: str
    seq: int
    epoch: int
    window_start_ns: int
    window_end_ns: int
    frame: Frame
    emitted_ns: int = 0
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Batches ``first_seq`` to ``last_seq`` (both included) never reached this subscriber, nor any of these windows.

    Windows are named by their start, UTC: the first and the last that are missing. Where windows have no common length
    (``window_ms: null``) ``last_window_ns`` is the last nanosecond that is. Where a new epoch begins whole, no batch of
    it is missing, and ``last_seq`` is ``first_seq - 1``: it is windows alone that never came, from before it began.
    """

    first_seq: int
    last_seq: int
    reason: str
    group: str = ""
    first_window_ns: int = 0
    last_window_ns: int = 0

    @property
    def batches(self) -> int:
        """How many batches are known to be missing; those of an epoch that is over cannot be counted."""
        return self.last_seq - self.first_seq + 1
