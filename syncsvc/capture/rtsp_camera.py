"""RTSP cameras: we call, libavformat reads.

Options and traps were measured: ``probesize=32`` opens in 66 ms instead of 1.1 s and loses no key frame;
``allowed_media_types=video`` keeps pts a pure oscillator.
"""

from contextlib import ExitStack, closing

from av.container import InputContainer

from syncsvc.capture.decode import Demuxer, OpenInput, open_container
from syncsvc.capture.readers import reader_of
from syncsvc.capture.rtp_jpeg import SizeCheck
from syncsvc.capture.rtsp_bridge import RtspBridge
from syncsvc.capture.rtsp_call import OpeningTime, RtspCall
from syncsvc.capture.source import Pulse
from syncsvc.capture.spec import RtspSpec
from syncsvc.clock import Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.transport.page import Position

_OPTIONS = {"allowed_media_types": "video", "probesize": "32", "analyzeduration": "0"}


def open_rtsp(spec: RtspSpec, clock: Clock, pulse: Pulse, opened: ExitStack) -> Demuxer:
    """Open the camera; what is to be closed afterwards is put on ``opened``.

    Raises:
        SourceUnavailable: it is not there, refuses us, or sends no picture within the read timeout.
        AccessRefused: because of user or password.
    """
    pulse(Position.OPENING)
    call = opened.enter_context(closing(RtspCall(spec.name, spec.url, OpeningTime(clock, spec.open_timeout_s))))
    bridge = opened.enter_context(closing(RtspBridge(call, spec.transport)))

    def at(position: Position) -> None:
        if position is Position.DECODE:
            bridge.session.heard()
        pulse(position)

    container = opened.enter_context(_libav(spec, bridge, at))
    inspect = SizeCheck(spec.name) if call.video.is_jpeg else None
    return reader_of(spec, OpenInput(spec.name, container, at, clock, inspect=inspect))


def _libav(spec: RtspSpec, bridge: RtspBridge, pulse: Pulse) -> InputContainer:
    """Let libav in; all before the first picture is timed by the bridge."""
    options, patience_s = {**_OPTIONS, **bridge.options}, max(spec.timeouts_s)
    try:
        return open_container(spec.name, bridge.url, options, (patience_s, spec.read_timeout_s), pulse)
    except SourceUnavailable:
        if bridge.problem is not None:
            raise bridge.problem from None
        raise
