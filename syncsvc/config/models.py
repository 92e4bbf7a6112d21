"""The configuration as frozen values: every key, its default, its bounds and one line of why, in one place.

The JSON Schema, the messages and ``configs/reference.yaml`` all follow from these models; tests hold them together.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator

from syncsvc.certificates import Guard
from syncsvc.config.security import Security, refuse_strangers
from syncsvc.config.serving import Http, Publish
from syncsvc.config.spool_keys import SpoolKeys, refuse_unspoolable
from syncsvc.config.strictness import Model, refused, some
from syncsvc.config.urls import endpoint, host_and_port, redact_url, secrets_in
from syncsvc.layout import MAX_PIXELS

NAME_PATTERN: Final = "^[a-z0-9_-]{1,64}$"
MIN_BARCODE_WIDTH: Final = 160  # five pixels for each of the barcode's 32 columns

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Side = Annotated[int, Field(ge=16, le=8192)]
Pixels = Literal["i420", "bgr24", "gray8", "jpeg", "encoded"]
UncodedPixels = Literal["i420", "bgr24", "gray8", "jpeg"]
TimeoutMs = Annotated[int, Field(ge=100, le=3_600_000)]
LEAST_READ_TIMEOUT_MS: Final = 3000
Shift = Annotated[float, Field(ge=-86_400_000, le=86_400_000)]


class StreamKeys(Model):
    """The keys that every stream has."""

    from_url: ClassVar[frozenset[str]] = frozenset({"kind"})
    """Fields that the URL decides; they are no keys of the file."""

    url: Annotated[str, Field(min_length=1, max_length=4096)]
    """Where the frames come from; the scheme decides the kind: rtsp, rtsps, http, https, file, v4l2, synthetic."""
    pixels: Pixels = "i420"
    """Payload format of the frames; encoded sends the source's own coded pictures, and nothing is decoded here."""
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of pixels: jpeg, from 1 to 100; null is 85."""
    size: Annotated[tuple[Side, Side], Field(strict=False)] | None = None
    """Null keeps the camera's size; [width, height] scales in the capture process."""
    coded: bool = False
    """Whether the source's own coded pictures are handed on too, beside the decoded ones, under coded/GROUP."""
    max_pixels: Annotated[int, Field(ge=256, le=268_435_456)] = MAX_PIXELS
    """A bigger picture is refused, and said; the memory of a capture follows from it. The default is 8K."""
    latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Known constant latency from exposure to wire, subtracted from modelled and arrival stamps; 0 is unknown."""
    stall_after_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 3000
    """Silence after which the stream counts as stalled and no longer holds its groups back."""

    @property
    def carries(self) -> Literal["raw", "coded", "both"]:
        """What comes of it: raw pictures, coded ones, or both."""
        return "coded" if self.pixels in ("jpeg", "encoded") else "both" if self.coded else "raw"

    @model_validator(mode="after")
    def _suits_the_pixels(self) -> Self:
        if self.quality is not None and self.pixels != "jpeg":
            raise refused(f"{self.quality}", f"null, or pixels: jpeg (they are {self.pixels} here)", "quality")
        if self.pixels == "encoded" and self.size is not None:
            allowed = "null with pixels: encoded, which decodes nothing; other pixels are scaled"
            raise refused(f"{list(self.size)}", allowed, "size")
        if self.coded and "encoded" not in get_args(type(self).model_fields["pixels"].annotation):
            raise refused("true", "false, because they come without a codec", "coded")
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redact_url(value) if name == "url" else value


class NetworkKeys(StreamKeys):
    """The keys of cameras on the network."""

    open_timeout_ms: TimeoutMs = 10_000
    """How long the camera may take to let us in: battery and on-demand cameras take up to half a minute."""
    read_timeout_ms: TimeoutMs | None = None
    """Silence after which the camera is opened anew; null is 3000, or stall_after_ms where that is more."""

    @property
    def timeouts_s(self) -> tuple[float, float]:
        """The two in seconds; what is null decided."""
        read_ms = self.read_timeout_ms or max(LEAST_READ_TIMEOUT_MS, self.stall_after_ms)
        return self.open_timeout_ms / 1000, read_ms / 1000


class RtspStream(NetworkKeys):
    """An RTSP camera."""

    kind: Literal["rtsp"] = "rtsp"
    transport: Literal["auto", "tcp", "udp"] = "auto"
    """How RTP travels: tcp, inside RTSP, loses nothing, udp loses rather than waits; auto is tcp, then udp."""
    clock: Literal["auto", "rtcp", "model", "arrival"] = "auto"
    """The clock that stamps the frames; auto takes the best one that proves plausible, rtcp vouches for NTP."""


class HttpStream(NetworkKeys):
    """A camera that speaks HTTP: JPEGs, HLS, MPEG-TS, FLV."""

    from_url: ClassVar[frozenset[str]] = frozenset({"kind", "every_s"})

    kind: Literal["http"] = "http"
    every_s: Annotated[float, Field(ge=0.01, le=3600)] = 1.0
    """How often a camera is asked that answers with a single picture: ``?every=1s``, which is ours, in the URL."""
    clock: Literal["auto", "model", "arrival"] = "auto"
    """The clock that stamps the frames; auto takes the best one that proves plausible."""

    @model_validator(mode="after")
    def _stall_outlasts_a_turn(self) -> "HttpStream":
        if "every_s" in self.model_fields_set and self.stall_after_ms <= self.every_s * 1000:
            raise refused(f"{self.stall_after_ms}", f"more than the {self.every_s:g} s of `every`", "stall_after_ms")
        return self


class FileStream(StreamKeys):
    """A recording."""

    from_url: ClassVar[frozenset[str]] = frozenset({"kind", "path", "fps"})

    kind: Literal["file"] = "file"
    path: Path
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    pace: Literal["realtime", "asap"] = "realtime"
    """realtime plays as recorded, all files of a group from one instant; asap plays as fast as can be."""
    loop: bool = False
    """Whether the recording begins again at its end."""
    timestamps: Path | None = None
    """CSV with the columns stream, frame, time_s: the capture times as recorded; relative to this file."""
    offset_ms: Shift = 0.0
    """Added to every stamp: when it began later than it says; given, also as 0, it vouches for that."""
    clock: Literal["auto", "arrival", "model", "pts"] = "auto"
    """The clock that stamps the frames; pts takes the media's own stamps as they are."""


class V4l2Stream(StreamKeys):
    """A local camera; what the URL leaves out, the driver decides."""

    from_url: ClassVar[frozenset[str]] = frozenset({"kind", "device", "fps", "device_size", "fourcc"})

    kind: Literal["v4l2"] = "v4l2"
    pixels: UncodedPixels = "i420"
    """Payload format of the frames; encoded is not among them, because they come without a codec."""
    device: Path
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    device_size: Annotated[tuple[Side, Side], Field(strict=False)] | None = None
    fourcc: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9]{4}$")] | None = None
    clock: Literal["auto", "model", "arrival"] = "auto"
    """The clock that stamps the frames; auto takes the kernel's stamp where there is one."""


class SyntheticKeys(Model):
    """What a generated stream is like; every default means "no fault"."""

    fps: Annotated[float, Field(gt=0, le=1000)] = 25.0
    width: Annotated[int, Field(ge=MIN_BARCODE_WIDTH, le=8192)] = 640
    height: Annotated[int, Field(ge=32, le=8192)] = 360
    offset_ms: Shift = 0.0
    """Error of the stamps: stamp less true time."""
    drift_ppm: Annotated[float, Field(ge=-100_000, le=100_000)] = 0.0
    """Rate error of the stamps."""
    jitter_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Spread of the random delay between capture and arrival."""
    latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Constant delay between capture and arrival."""
    phase_ms: Shift = 0.0
    """Shift of the frame grid against whole seconds."""
    drop: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fraction of the frames that are lost before capture."""
    stall: tuple[Annotated[float, Field(gt=0, le=86_400)], Annotated[float, Field(gt=0, le=86_400)]] | None = None
    """(every, for) in seconds: how often the stream falls silent, and for how long."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1
    """Same seed, same faults."""

    @model_validator(mode="after")
    def _fits(self) -> "SyntheticKeys":
        if self.height * 8 < self.width:
            raise refused(
                f"size={self.width}x{self.height}", "a height of at least an eighth of the width, for the barcode"
            )
        if self.stall is not None and self.stall[1] >= self.stall[0]:
            raise refused(f"stall={self.stall[0]:g}:{self.stall[1]:g}", "a second number smaller than the first")
        return self


class SyntheticStream(StreamKeys):
    """Barcoded frames, made in the capture process."""

    from_url: ClassVar[frozenset[str]] = frozenset({"kind", "spec"})

    kind: Literal["synthetic"] = "synthetic"
    pixels: UncodedPixels = "i420"
    """Payload format of the frames; encoded is not among them, because they come without a codec."""
    spec: SyntheticKeys = SyntheticKeys()
    clock: Literal["auto", "arrival", "model", "pts"] = "auto"
    """The clock that stamps the frames; auto is pts here."""

    @model_validator(mode="after")
    def _stall_outlasts_a_frame(self) -> "SyntheticStream":
        if self.stall_after_ms * self.spec.fps <= 1000:
            allowed = f"more than one frame's {1000 / self.spec.fps:g} ms"
            raise refused(f"{self.stall_after_ms}", allowed, "stall_after_ms")
        return self


Stream = Annotated[RtspStream | HttpStream | FileStream | V4l2Stream | SyntheticStream, Field(discriminator="kind")]
STREAM_MODELS: Final[Mapping[str, type[StreamKeys]]] = {
    "rtsp": RtspStream,
    "http": HttpStream,
    "file": FileStream,
    "v4l2": V4l2Stream,
    "synthetic": SyntheticStream,
}


class GroupConfig(Model):
    """Streams that are synchronized with each other."""

    streams: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """Members, in the order that sets list them."""
    window_ms: Annotated[int, Field(ge=1, le=60_000)] | None = 1000
    """Length of a batch's window; windows are [k*window, (k+1)*window) in UTC. Null: one batch per set, at once."""
    max_skew_ms: Annotated[float, Field(ge=0, lt=60_000)] = 40.0
    """Widest spread of one set, smaller than the window."""
    max_latency_ms: Annotated[float, Field(gt=0, le=60_000)] = 500.0
    """A batch leaves at most this long after its window ends, whoever is missing."""
    reference: str | None = None
    """Stream of which every set holds a frame; null: none, and every stream drives in turn, fewest frames first."""
    min_streams: Annotated[int, Field(ge=2)] = 2
    """A set has frames of at least so many streams."""
    late: Literal["topic", "drop"] = "topic"
    """What happens to frames whose window has closed: sent on late/GROUP, or only counted."""

    @field_validator("streams")
    @classmethod
    def _unique(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(streams):
            if name in streams[:index]:
                raise refused(f"'{name}' twice", "each stream once", index)
        return streams

    @model_validator(mode="after")
    def _fits(self) -> "GroupConfig":
        if self.window_ms is not None and self.max_skew_ms >= self.window_ms:
            raise refused(f"{self.max_skew_ms:g}", f"less than window_ms, which is {self.window_ms}", "max_skew_ms")
        if self.reference is not None and self.reference not in self.streams:
            raise refused(f"'{self.reference}'", f"null or a stream of this group: {some(self.streams)}", "reference")
        if self.min_streams > len(self.streams) and "min_streams" in self.model_fields_set:
            has = f"{len(self.streams)} stream{'s' if len(self.streams) > 1 else ''}"
            raise refused(f"{self.min_streams}", f"as many as the group has at most: {has}", "min_streams")
        return self


class Config(Model):
    """One daemon's configuration."""

    streams: Annotated[Mapping[Name, Stream], Field(min_length=1)]
    """The sources, by name."""
    groups: Annotated[Mapping[Name, GroupConfig], Field(min_length=1, default_factory=dict)]
    """What is synchronized with what; left out: one group "all" with every stream."""
    publish: Publish = Publish()
    http: Http | None = Http()
    """Null switches it off."""
    security: Security | None = None
    """Keys, tokens and what captures may do; any tcp address but loopback needs it."""
    spool: SpoolKeys | None = None
    """Batches of coded pictures on disk, where subscribers may begin."""
    _variables: frozenset[str] = frozenset()
    _guard: Guard | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_group_by_default(cls, values: Any) -> Any:
        streams = values.get("streams") if isinstance(values, Mapping) else None
        if isinstance(streams, Mapping) and streams and "groups" not in values:
            return {**values, "groups": {"all": {"streams": tuple(streams)}}}
        return values

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        for name, group in self.groups.items():
            for index, stream in enumerate(group.streams):
                if stream not in self.streams:
                    allowed = f"a name from `streams`: {some(tuple(self.streams))}"
                    raise refused(f"'{stream}'", allowed, "groups", name, "streams", index)
        asap = [name for name, one in self.streams.items() if isinstance(one, FileStream) and one.pace == "asap"]
        other = [name for name in self.streams if name not in asap]
        if asap and other:
            allowed = f"asap for all streams of a daemon or for none; '{other[0]}' is not asap"
            raise refused("asap", allowed, "streams", asap[0], "pace")
        refuse_unspoolable(self.spool, {name: one.streams for name, one in self.groups.items()}, self.streams)
        self._check_endpoints()
        return self

    def _check_endpoints(self) -> None:
        taken: dict[tuple[str, int] | str, str] = {}
        written = {("publish", "live"): self.publish.live, ("publish", "control"): self.publish.control}
        named = {path: endpoint(text) for path, text in written.items()}
        refuse_strangers({path: (place, written[path]) for path, place in named.items()}, self.http, self.security)
        if self.http is not None:
            named["http", "bind"] = host_and_port(self.http.bind, "")
        for path, place in named.items():
            if isinstance(place, tuple) and place[1] == 0:
                continue
            if place in taken:
                raise refused("an endpoint twice", f"another one than that of {taken[place]}", *path)
            taken[place] = ".".join(path)

    @property
    def secrets(self) -> frozenset[str]:
        """Every password in the streams' URLs, and the token, for the redaction of logs."""
        token = self.security.http_token if self.security else None
        return frozenset({token} if token else ()).union(*(secrets_in(stream.url) for stream in self.streams.values()))

    @property
    def variables(self) -> frozenset[str]:
        """The names of the environment's variables that the file mentions: children need none of them."""
        return self._variables

    def with_variables(self, names: Iterable[str]) -> Self:
        """The same configuration, of a file that mentions these variables."""
        copy = self.model_copy()
        copy._variables = frozenset(names)
        return copy

    @property
    def guard(self) -> Guard | None:
        """What the files of `security` say: our own keys, and the clients that are let in; None: there are no keys."""
        return self._guard

    def with_guard(self, guard: Guard | None) -> Self:
        """The same configuration, with what its files say."""
        copy = self.model_copy()
        copy._guard = guard
        return copy
