"""What one camera says of itself: its profiles, where their streams are, and how right its clock is.

Source: ONVIF Core and Media (version 1, which cameras of both versions have): GetSystemDateAndTime, GetCapabilities,
GetProfiles, GetStreamUri.
"""

import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import LoginRefused, OnvifError
from syncsvc.onvif.elements import Element
from syncsvc.onvif.finding import Found, at_host
from syncsvc.onvif.post import Device
from syncsvc.onvif.soap import Login, body_of, envelope, username_token

QUESTION_S: Final = 5.0
MOST_PROFILES: Final = 16
_AT_ONCE: Final = 16
_DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
_SCHEMA: Final = "http://www.onvif.org/ver10/schema"
_LONGEST_URL: Final = 2048


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream of a camera; what it does not say is empty or 0. No user and no password is in ``url``."""

    name: str
    url: str
    encoding: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0


@dataclass(frozen=True, slots=True)
class AskedCamera:
    """A camera that was found, and what it said; ``problem`` is why it did not say all.

    ``clock_off_s`` is how far its clock is ahead of ours, to a second and the way there and back.
    """

    found: Found
    profiles: tuple[Profile, ...] = ()
    clock_off_s: float | None = None
    problem: str = ""


def ask_all(found: Iterable[Found], login: Login | None, timeout_s: float = QUESTION_S) -> Iterator[AskedCamera]:
    """Ask each camera, several at a time; without a log-in only for its clock. In the given order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda one: _Conversation(one, login, timeout_s).camera(), found)


class _Conversation:
    def __init__(self, found: Found, login: Login | None, timeout_s: float) -> None:
        self._found, self._login = found, login
        self._device = Device(login, timeout_s)
        self._ahead = timedelta()

    def camera(self) -> AskedCamera:
        """Ask for everything, as far as it goes."""
        off_s, problem, profiles = None, "", list[Profile]()
        try:
            off_s = self._clock_off_s()
            if self._login is not None:
                profiles.extend(self._profiles())
        except OnvifError as error:
            problem = str(error)
        return AskedCamera(self._found, tuple(profiles), off_s, problem)

    def _ask(self, url: str, body: str, *, as_nobody: bool = False) -> Element:
        header = ""
        if self._login is not None and not as_nobody and not self._device.has_challenged:
            header = username_token(self._login, secrets.token_bytes(16), _now() + self._ahead)
        was_challenged = self._device.has_challenged
        try:
            return body_of(self._device.post(url, envelope(body, header)))
        except OnvifError as error:
            # Who asks for HTTP Digest may take offence at a log-in in the envelope too; from now on there is none.
            has_other_way = bool(header) and self._device.has_challenged and not was_challenged
            has_name = self._login is not None and as_nobody and isinstance(error, LoginRefused)
            if not has_other_way and not has_name:
                raise
            return self._ask(url, body)

    def _clock_off_s(self) -> float | None:
        """Its clock less ours; its log-in wants its own time, so this is asked first, and needs none."""
        body = self._ask(self._found.url, f'<GetSystemDateAndTime xmlns="{_DEVICE}"/>', as_nobody=True)
        told = body.at("GetSystemDateAndTimeResponse", "SystemDateAndTime", "UTCDateTime")
        if told is None:
            return None
        try:
            day = [int(told.text_at("Date", part)) for part in ("Year", "Month", "Day")]
            time = [int(told.text_at("Time", part)) for part in ("Hour", "Minute", "Second")]
            moment = datetime(day[0], day[1], day[2], time[0], time[1], min(time[2], 59), tzinfo=UTC)
        except (ValueError, OverflowError):
            return None
        self._ahead = moment - _now()
        return self._ahead.total_seconds()

    def _profiles(self) -> Iterator[Profile]:
        question = f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>'
        told = self._ask(self._found.url, question).text_at("GetCapabilitiesResponse", "Capabilities", "Media", "XAddr")
        service = at_host(told, self._found.address)
        if service is None:
            raise OnvifError("has no media service")
        listed = self._ask(service[0], f'<GetProfiles xmlns="{_MEDIA}"/>').at("GetProfilesResponse")
        some = [] if listed is None else [one for one in listed.children if one.name == "Profiles"][:MOST_PROFILES]
        for one in some:
            url = self._stream_url(service[0], one.attributes.get("token", ""))
            if url is not None:
                yield _profile(one, url)

    def _stream_url(self, service: str, token: str) -> str | None:
        body = self._ask(
            service,
            f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
            f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
            f"<ProfileToken>{escape(token)}</ProfileToken></GetStreamUri>",
        )
        return stream_url(body.text_at("GetStreamUriResponse", "MediaUri", "Uri"))


def stream_url(told: str) -> str | None:
    """A stream's URL as a camera tells it, without a user in it; None where it is no URL of a stream."""
    if len(told) > _LONGEST_URL or not told.isascii() or not told.isprintable() or " " in told:
        return None
    with suppress(ValueError):
        parts = urlsplit(told)
        if parts.scheme in ("rtsp", "rtsps", "http", "https") and parts.hostname:
            return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return None


def _profile(told: Element, url: str) -> Profile:
    video = told.at("VideoEncoderConfiguration") or Element("")
    return Profile(
        told.text_at("Name")[:64] or told.attributes.get("token", "")[:64],
        url,
        video.text_at("Encoding")[:16],
        _number(video.text_at("Resolution", "Width")),
        _number(video.text_at("Resolution", "Height")),
        float(_number(video.text_at("RateControl", "FrameRateLimit"))),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM_CLOCK.utc_ns() / NS_PER_S, UTC)
