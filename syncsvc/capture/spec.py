"""What a capture is told of its stream, its ring and its start, and what it says of its recording: values."""

from math import ceil
from typing import Literal

import msgspec

from syncsvc.clock import NS_PER_S
from syncsvc.layout import MAX_PIXELS

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 3.0
"""How long a camera may keep its capture waiting, where nobody says otherwise; the watchdog allows for both."""
Sandboxing = Literal["auto", "required", "off"]
EX_UNAVAILABLE = 75
EX_CONFIG = 78
"""Exit codes of a capture: its source is not there (now); it is refused."""


class RingPlan(msgspec.Struct, frozen=True):
    """How long a frame may have to wait for its batch: window, latency budget, two skews and a quarter second.

    ``longest_ns`` is what that may become while the capture runs, once subscribers on this host keep frames longer, and
    ``least_ns`` what it is without them (0: they add nothing).
    """

    span_ns: int
    longest_ns: int = 0
    least_ns: int = 0

    @property
    def least(self) -> "RingPlan":
        """The same without what subscribers on this host add."""
        return RingPlan(self.least_ns or self.span_ns, self.longest_ns)

    def slots(self, fps: float) -> int:
        """Slots that a stream of this rate needs, and four to work with."""
        return ceil(fps * self.span_ns / NS_PER_S) + 4

    def most_slots(self, fps: float) -> int:
        """Slots that it may come to need."""
        return RingPlan(max(self.span_ns, self.longest_ns)).slots(fps)


class CaptureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What every capture is told of its stream; the kinds add their own."""

    name: str
    pixels: str
    size: tuple[int, int] | None = None
    ring: RingPlan
    quality: int = 85
    """Of JPEGs."""
    coded: bool = False
    """Whether the source's own coded pictures are handed on beside the decoded ones."""
    max_pixels: int = MAX_PIXELS
    """A bigger picture is refused."""
    sandbox: Sandboxing = "auto"
    """Whether the capture gives up rights: as many as the machine lets it, all or it does not start, or none."""

    @property
    def kind(self) -> str:
        """What kind of source it is, as the configuration and the status call it."""
        return str(self.__struct_config__.tag)

    @property
    def timeouts_s(self) -> tuple[float, float]:
        """How long its source may take to open, and be silent."""
        return OPEN_TIMEOUT_S, READ_TIMEOUT_S

    @property
    def has_known_rate(self) -> bool:
        """Whether its source says how often frames come, and not only what a camera was set to."""
        return False

    @property
    def is_patient(self) -> bool:
        """Whether a full ring pauses the reader instead of costing a frame."""
        return False

    @property
    def playing(self) -> tuple[object, ...]:
        """What recording is played, and how: while that is the same, another capture goes on where one stopped."""
        return ()


class NetworkSpec(CaptureSpec, frozen=True, kw_only=True):
    """A camera on the network."""

    url: str
    open_timeout_s: float = OPEN_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S

    @property
    def timeouts_s(self) -> tuple[float, float]:
        """As configured."""
        return self.open_timeout_s, self.read_timeout_s


class RtspSpec(NetworkSpec, tag="rtsp", frozen=True, kw_only=True):
    """An RTSP camera."""

    transport: Literal["auto", "tcp", "udp"] = "auto"


class HttpSpec(NetworkSpec, tag="http", frozen=True, kw_only=True):
    """A camera that speaks HTTP; one that answers with a single picture is asked every so often."""

    every_s: float = 1.0


class FileSpec(CaptureSpec, tag="file", frozen=True, kw_only=True):
    """A recording; ``timestamps`` is the path of its sidecar, ``offset_ns`` None where nobody said one.

    ``fps`` is that of a sequence of pictures: a folder, or files that are numbered as its path says (``%06d``).
    """

    path: str
    pace: Literal["realtime", "asap"] = "realtime"
    loop: bool = False
    timestamps: str | None = None
    offset_ns: int | None = None
    fps: float | None = None

    @property
    def has_known_rate(self) -> bool:
        """Its index says it."""
        return True

    @property
    def is_patient(self) -> bool:
        """Recordings played ``asap`` lose nothing."""
        return self.pace == "asap"

    @property
    def playing(self) -> tuple[object, ...]:
        """The file, its times, its pace and whether it begins again."""
        return self.path, self.fps, self.timestamps, self.pace, self.loop, self.offset_ns


class V4l2Spec(CaptureSpec, tag="v4l2", frozen=True, kw_only=True):
    """A local camera; what is None, the driver decides."""

    device: str
    fps: float | None = None
    device_size: tuple[int, int] | None = None
    fourcc: str | None = None


class SyntheticSpec(CaptureSpec, tag="synthetic", frozen=True, kw_only=True):
    """A generated stream; the configuration's reference says what each means."""

    fps: float = 25.0
    width: int = 640
    height: int = 360
    offset_ms: float = 0.0
    drift_ppm: float = 0.0
    jitter_ms: float = 0.0
    latency_ms: float = 0.0
    phase_ms: float = 0.0
    drop: float = 0.0
    stall: tuple[float, float] | None = None
    seed: int = 1

    @property
    def has_known_rate(self) -> bool:
        """It is made here."""
        return True


AnySpec = RtspSpec | HttpSpec | FileSpec | V4l2Spec | SyntheticSpec


class Recorded(msgspec.Struct, frozen=True):
    """What a recording says of when it was made; all in nanoseconds.

    ``origin_ns`` is the recorded time of its first frame, where a sidecar has one. ``created_ns`` is the container's
    creation time (UTC), ± ``doubt_ns``, and ``length_ns`` how long it plays.
    """

    origin_ns: int | None = None
    created_ns: int | None = None
    doubt_ns: int = 0
    length_ns: int = 0


class Start(msgspec.Struct, frozen=True):
    """When a recording begins: ``origin_ns`` of its recorded times is ``utc_ns``, at ``mono_ns`` of this host.

    ``doubt_ns`` is how exactly that places it beside the others of its group.
    """

    utc_ns: int
    mono_ns: int
    origin_ns: int
    doubt_ns: int = 0
