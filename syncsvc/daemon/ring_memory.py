"""How much memory the streams of a configuration will take, reckoned before anything starts.

The captures reckon the same way (``RingPlan.slots``, ``ring_bytes``) once they know what comes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from syncsvc.capture.probe import Sight
from syncsvc.config.models import Config, Stream, SyntheticStream
from syncsvc.daemon.planning import ring_plan
from syncsvc.errors import MemoryShortage
from syncsvc.layout import RAW_FORMATS, Layout, PixelFormat
from syncsvc.transport.memfd import RESERVE_BYTES
from syncsvc.transport.ring_size import ring_bytes

ASSUMED_SIZE: Final = (1920, 1080)
ASSUMED_FPS: Final = 25.0
_LEAST_FPS: Final = 1.0
_LEAST_CODED_BYTES: Final = 1 << 16
_PIXELS_PER_CODED_BYTE: Final = {"jpeg": 4, "encoded": 8}
"""On the high side for a key frame; a ring of coded pictures grows with what comes."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Demand:
    """The ring of one stream: ``slots`` frames of ``slot_bytes`` each.

    ``coded_bytes`` of each slot are for a coded picture beside the payload. ``most_bytes`` is what it may grow to for
    subscribers on this host, ``certain_bytes`` the least that it takes whatever of rate and size is only assumed.
    """

    name: str
    width: int
    height: int
    fps: float
    slots: int
    slot_bytes: int
    coded_bytes: int
    most_bytes: int
    certain_bytes: int
    is_assumed: bool

    @property
    def payload_bytes(self) -> int:
        """Of one frame, without the coded picture beside it."""
        return self.slot_bytes - self.coded_bytes

    @property
    def ring_bytes(self) -> int:
        """What it takes."""
        return ring_bytes(self.slots, self.slot_bytes)

    def __str__(self) -> str:
        """In one line, with the arithmetic."""
        what = f"{self.width}x{self.height} at {self.fps:g}/s"
        assumed = f"assuming {what}" if self.is_assumed else what
        beside = f", {self.coded_bytes / _MIB:.2f} of it for the coded picture" if self.coded_bytes else ""
        return f"{mib(self.ring_bytes)} = {self.slots} frames of {self.slot_bytes / _MIB:.2f} MiB{beside} ({assumed})"


def mib(size_bytes: int) -> str:
    """So many bytes for eyes."""
    return f"{size_bytes / _MIB:,.0f} MiB"


def demands(config: Config, seen: Mapping[str, Sight]) -> list[Demand]:
    """What each stream will take.

    Args:
        config: the configuration.
        seen: what a probe found, by stream; what it leaves open is assumed to be 1080p at 25 frames a second.
    """
    return [_demand(name, stream, config, seen.get(name)) for name, stream in config.streams.items()]


def _demand(name: str, stream: Stream, config: Config, seen: Sight | None) -> Demand:
    size, fps = _known(stream, seen)
    width, height = size or ASSUMED_SIZE
    coded_bytes = _coded_bytes(stream, seen)
    slot_bytes = _slot_bytes(stream.pixels, width, height) + coded_bytes
    plan, rate = ring_plan(name, config), fps or ASSUMED_FPS
    least_bytes = _slot_bytes(stream.pixels, *size) if size and stream.pixels in RAW_FORMATS else 0
    return Demand(
        name,
        width,
        height,
        rate,
        plan.slots(rate),
        slot_bytes,
        coded_bytes,
        ring_bytes(plan.most_slots(rate), slot_bytes),
        ring_bytes(plan.slots(fps or _LEAST_FPS), least_bytes) if least_bytes else 0,
        size is None or fps is None,
    )


def _known(stream: Stream, seen: Sight | None) -> tuple[tuple[int, int] | None, float | None]:
    """Size and rate, as far as they are known before the stream is captured."""
    size = _seen_size(seen)
    fps = seen.fps if seen and seen.fps else None
    if isinstance(stream, SyntheticStream):
        size, fps = (stream.spec.width, stream.spec.height), stream.spec.fps
    return stream.size or size, fps


def _seen_size(seen: Sight | None) -> tuple[int, int] | None:
    return (seen.width, seen.height) if seen and seen.width and seen.height else None


def _slot_bytes(pixels: PixelFormat, width: int, height: int) -> int:
    if pixels in RAW_FORMATS:
        return Layout(pixels, width, height).size_bytes
    return max(_LEAST_CODED_BYTES, width * height // _PIXELS_PER_CODED_BYTE[pixels])


def _coded_bytes(stream: Stream, seen: Sight | None) -> int:
    """Room for the camera's own picture beside a payload; that has the size that the camera sends."""
    if not stream.coded or stream.pixels == "encoded":
        return 0
    return _slot_bytes("encoded", *(_seen_size(seen) or ASSUMED_SIZE))


def refuse_what_cannot_fit(some: Iterable[Demand], available_bytes: int) -> None:
    """Refuse demands that certainly exceed what can be had.

    Raises:
        MemoryShortage: they do; the message has the numbers.
    """
    wanted = [one for one in some if one.certain_bytes]
    total = sum(one.certain_bytes for one in wanted)
    if not wanted or total <= available_bytes - RESERVE_BYTES:
        return
    biggest = sorted(wanted, key=lambda one: -one.certain_bytes)[:3]
    names = ", ".join(f"{one.name} {mib(one.certain_bytes)}" for one in biggest)
    more = f" and {len(wanted) - 3} more" if len(wanted) > 3 else ""
    raise MemoryShortage(
        f"the streams need {mib(total)} at least ({names}{more}), {mib(available_bytes)} are available of which "
        f"{mib(RESERVE_BYTES)} stay free; take a smaller `size`, fewer streams, a shorter window or `pixels: encoded`"
    )


def memory_lines(some: Iterable[Demand], available_bytes: int, *, was_probed: bool = False) -> list[str]:
    """What the streams will take, one line each, and in sum; and whether that fits."""
    some = list(some)
    width = max((len(one.name) for one in some), default=0)
    total, most = sum(one.ring_bytes for one in some), sum(one.most_bytes for one in some)
    lines = ["memory   for frames that wait for their batch", *(f"  {one.name:{width}}  {one}" for one in some)]
    lines.append(
        f"  in sum {mib(total)}, with subscribers in mode local up to {mib(most)}; {mib(available_bytes)} are available"
    )
    if any(one.is_assumed for one in some):
        asked = "the cameras did not say" if was_probed else "`check --probe` asks the cameras for"
        lines.append(f"  what is assumed, {asked}")
    if total > available_bytes - RESERVE_BYTES:
        lines.append("  that does not fit, if it is as assumed: streams will be left out")
    return lines
