"""What is wrong with a stream, in words that say what was seen, and a code that programs can hold on to."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncsvc.doctor.content import Comparison
    from syncsvc.doctor.diagnosis import StreamDiagnosis

NO_LATENCY_MS = 3.0
"""No camera has so little from exposure to the first packet; a report that is stamped when it is sent shows it."""
OTHERS_LATENCY_MS = 10.0
DISAGREEMENT_MS = 15.0
UNUSUAL_PPM = 200.0
FPS_TOLERANCE = 0.02
NEVER_CAME_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing; the codes are listed in docs/doctor.md."""

    code: str
    text: str


def findings_of(
    stream: "StreamDiagnosis",
    streams: "Mapping[str, StreamDiagnosis]",
    content: "Iterable[Comparison] | None" = None,
) -> tuple[Finding, ...]:
    """Everything worth a word about a stream, the gravest first."""
    if not stream.delivery.frames:
        return (Finding("no_frames", f"no frame came{f': {stream.problem}' if stream.problem else ''}"),)
    found = [finding for look in _LOOKS for finding in look(stream)]
    return (*found, *_sent_reports(stream, streams), *_contradicted(stream, content or ()))


def _ntp(stream: "StreamDiagnosis") -> Iterator[Finding]:
    ntp = stream.ntp
    widest_ms = max(map(abs, ntp.steps_ms), default=0.0)
    texts = {
        "silent": ("ntp_absent", "it sends no sender reports: its frames have no time of the camera's own"),
        "zero": ("ntp_zero", "its sender reports carry no time: NTP is 0"),
        "uptime": ("ntp_uptime", "its sender reports count from when it was switched on: it has no date"),
        "ahead": ("ntp_ahead", f"its clock is {_span(ntp.offset_s)} ahead, at least: set its NTP server"),
        "behind": ("ntp_behind", f"its clock is {_span(ntp.offset_s)} behind: set its NTP server"),
        "steps": ("ntp_steps", f"its clock stepped {_times(len(ntp.steps_ms))}, by {widest_ms:.0f} ms at most"),
    }
    if ntp.verdict in texts:
        yield Finding(*texts[ntp.verdict])


def _clock(stream: "StreamDiagnosis") -> Iterator[Finding]:
    pts_clock = stream.pts_clock
    if stream.is_doubtful:
        yield Finding("doubtful", "a better clock of it was caught lying: it follows the other streams' sets")
    if pts_clock.is_grid:
        yield Finding(
            "pts_grid",
            f"its pts count frames, not time: they say {stream.delivery.pts_fps or 0:.2f} frames/s, and "
            f"{stream.delivery.fps or 0:.2f} come",
        )
    elif stream.drift is not None and abs(stream.drift[0]) - stream.drift[1] > UNUSUAL_PPM:
        yield Finding("drift", f"its clock is {stream.drift[0]:+.0f} ppm off, more than a crystal should be")
    if pts_clock.steps_ms:
        widest = max(pts_clock.steps_ms, key=abs)
        yield Finding("pts_steps", f"its pts stepped {_times(len(pts_clock.steps_ms))}, by {widest:+.0f} ms at most")
    if stream.delivery.pts_not_rising:
        yield Finding("pts_not_rising", f"the pts of {stream.delivery.pts_not_rising} frames did not rise")
    usual = max(1, stream.delivery.sessions)  # the first picture of an RTSP session has none
    if stream.delivery.pts_missing > usual and not stream.is_mjpeg:
        yield Finding("pts_missing", f"{stream.delivery.pts_missing} frames had no pts")


def _recording(stream: "StreamDiagnosis") -> Iterator[Finding]:
    if stream.is_untimed and stream.proposed_offset_ms is None:
        yield Finding(
            "untimed",
            "it does not say, to the millisecond, when it was made: offset_ms places it, and --content measures that",
        )


def _delivery(stream: "StreamDiagnosis") -> Iterator[Finding]:
    delivery, pauses = stream.delivery, stream.delivery.pauses
    declared = stream.declared_fps if stream.is_punctual and not stream.is_mjpeg else None
    if declared and delivery.fps and not stream.pts_clock.is_grid and abs(delivery.fps / declared - 1) > FPS_TOLERANCE:
        yield Finding("fps", f"declares {declared:g} frames/s and delivers {delivery.fps:.2f}")
    if pauses.are_at_keys:
        yield Finding(
            "pauses_at_keys",
            f"it pauses at key frames, every {pauses.every_s or 0:.1f} s, for up to {pauses.longest_ms:.0f} ms",
        )
    elif pauses.count:
        yield Finding("pauses", f"it paused {_times(pauses.count)}, for {pauses.longest_ms:.0f} ms at most")
    if delivery.never_came > NEVER_CAME_SHARE * delivery.frames:
        yield Finding("never_came", f"{delivery.never_came} frames never came, by the gaps in its pts")
    lost = {cause: count for cause, count in delivery.losses.items() if count}
    if lost:
        yield Finding("losses", "frames lost: " + ", ".join(f"{count} {cause}" for cause, count in lost.items()))
    if delivery.sessions > 1:
        yield Finding("reconnects", f"it was opened {delivery.sessions} times")


_LOOKS: tuple[Callable[["StreamDiagnosis"], Iterator[Finding]], ...] = (_ntp, _clock, _recording, _delivery)


def _sent_reports(stream: "StreamDiagnosis", streams: "Mapping[str, StreamDiagnosis]") -> Iterator[Finding]:
    """Reports stamped when they were sent make the latency vanish; so does a clock that is behind by just so much."""
    ntp = stream.ntp
    if ntp.latency_ms is None or ntp.latency_ms > NO_LATENCY_MS:
        return
    others = [
        other.ntp.latency_ms
        for other in streams.values()
        if other is not stream and other.ntp.latency_ms is not None and other.ntp.latency_ms >= OTHERS_LATENCY_MS
    ]
    is_on_frames = ntp.on_frame_share > 0.8
    if is_on_frames or others:
        beside = f", where others have {min(others):.0f} ms and more" if others else ""
        why = ", and its reports' RTP times are those of pictures" if is_on_frames else ""
        yield Finding(
            "ntp_sent",
            f"its pictures seem to arrive {ntp.latency_ms:.1f} ms after they were taken{beside}{why}: the reports may "
            "be stamped when they are sent, or its clock is ahead; --content can tell",
        )


def _contradicted(stream: "StreamDiagnosis", content: "Iterable[Comparison]") -> Iterator[Finding]:
    for comparison in content:
        if comparison.first != stream.name or not comparison.is_accepted or comparison.disagreement_ms is None:
            continue
        if stream.is_untimed:  # it has no clock to be wrong
            continue
        if abs(comparison.disagreement_ms) > DISAGREEMENT_MS:
            word = "later" if comparison.disagreement_ms > 0 else "earlier"
            yield Finding(
                "content",
                f"{comparison.second} shows the same {abs(comparison.disagreement_ms):.0f} ms {word}, by both streams' "
                "own clocks: one of them is wrong",
            )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _span(seconds: float | None) -> str:
    size = abs(seconds or 0.0)
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if size >= 2 * length:
            return f"{size / length:.1f} {unit}"
    return f"{size:.2f} s" if size >= 0.1 else f"{size * 1000:.1f} ms"
