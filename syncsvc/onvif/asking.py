"""What one camera says of itself: its profiles, where their streams are, and how right its clock is.

Source: ONVIF Core: GetSystemDateAndTime; its streams by either version of the media service.
"""

import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import LoginRefused, OnvifError
from syncsvc.onvif.elements import Element
from syncsvc.onvif.finding import Found, at_host
from syncsvc.onvif.media import SERVICES, MediaService
from syncsvc.onvif.post import Device
from syncsvc.onvif.soap import Login, body_of, envelope, username_token

QUESTION_S: Final = 5.0
_AT_ONCE: Final = 16
_DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
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
        """The streams by the first service that tells of any; what was the matter with the first where none does."""
        problem, count = None, 0
        for nth, service in enumerate(SERVICES):
            try:
                for profile in self._profiles_of(service):
                    count += 1
                    yield profile
            except LoginRefused:  # another try might lock the account
                raise
            except OnvifError as error:
                if count:
                    raise
                problem = problem if nth else error
            if count:
                return
        if problem is not None:
            raise problem

    def _profiles_of(self, service: MediaService) -> Iterator[Profile]:
        place = at_host(service.address_in(self._ask(self._found.url, service.where)), self._found.address)
        if place is None:
            raise OnvifError("has no media service")
        for token, one, video in service.profiles_in(self._ask(place[0], service.profiles)):
            url = stream_url(service.url_in(self._ask(place[0], service.stream_of(token))))
            if url is not None:
                yield _profile(token, one, video, url)


def stream_url(told: str) -> str | None:
    """A stream's URL as a camera tells it, without a user in it; None where it is no URL of a stream."""
    if len(told) > _LONGEST_URL or not told.isascii() or not told.isprintable() or " " in told:
        return None
    with suppress(ValueError):
        parts = urlsplit(told)
        if parts.scheme in ("rtsp", "rtsps", "http", "https") and parts.hostname:
            return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return None


def _profile(token: str, told: Element, video: Element, url: str) -> Profile:
    return Profile(
        told.text_at("Name")[:64] or token[:64],
        url,
        video.text_at("Encoding")[:16],
        _number(video.text_at("Resolution", "Width")),
        _number(video.text_at("Resolution", "Height")),
        float(_number(video.text_at("RateControl", "FrameRateLimit").partition(".")[0])),  # Media2 has 25.0
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM_CLOCK.utc_ns() / NS_PER_S, UTC)
