"""The two media services that cameras have: what each is asked, and where in its answers the streams are.

Source: ONVIF Media (ver10), which nearly all cameras have, and Media2 (ver20), which some have alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from syncsvc.onvif.elements import Element

MOST_PROFILES: Final = 16
_DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
_SCHEMA: Final = "http://www.onvif.org/ver10/schema"
_MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
_MEDIA2: Final = "http://www.onvif.org/ver20/media/wsdl"


@dataclass(frozen=True, slots=True)
class MediaService:
    """One version of the service."""

    where: str
    """Asks the device for the service's address."""
    address_in: Callable[[Element], str]
    """What it told; empty where it has none."""
    profiles: str
    """Asks the service for its profiles."""
    encoder: tuple[str, ...]
    """Where in a profile its video encoder is."""
    stream: str
    """Asks the service for a stream's URL; ``{token}`` is the profile's."""
    url: tuple[str, ...]
    """Where in the answer that is."""

    def profiles_in(self, body: Element) -> Iterator[tuple[str, Element, Element]]:
        """Token, profile and encoder of each, so many at most; an encoder that is not told is empty."""
        listed = body.at("GetProfilesResponse") or Element("")
        for one in [child for child in listed.children if child.name == "Profiles"][:MOST_PROFILES]:
            yield one.attributes.get("token", ""), one, one.at(*self.encoder) or Element("")

    def stream_of(self, token: str) -> str:
        """The question for the stream of a profile."""
        return self.stream.format(token=escape(token))

    def url_in(self, body: Element) -> str:
        """The URL that the camera told; empty where it told none."""
        return body.text_at("GetStreamUriResponse", *self.url)


def _second_address(body: Element) -> str:
    listed = body.at("GetServicesResponse") or Element("")
    found = (one for one in listed.children if one.text_at("Namespace") == _MEDIA2)
    return next((one.text_at("XAddr") for one in found), "")


SERVICES: Final = (
    MediaService(
        f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>',
        lambda body: body.text_at("GetCapabilitiesResponse", "Capabilities", "Media", "XAddr"),
        f'<GetProfiles xmlns="{_MEDIA}"/>',
        ("VideoEncoderConfiguration",),
        f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
        f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
        "<ProfileToken>{token}</ProfileToken></GetStreamUri>",
        ("MediaUri", "Uri"),
    ),
    MediaService(
        f'<GetServices xmlns="{_DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>',
        _second_address,
        f'<GetProfiles xmlns="{_MEDIA2}"><Type>VideoEncoder</Type></GetProfiles>',
        ("Configurations", "VideoEncoder"),
        f'<GetStreamUri xmlns="{_MEDIA2}"><Protocol>RTSP</Protocol>'
        "<ProfileToken>{token}</ProfileToken></GetStreamUri>",
        ("Uri",),
    ),
)
"""In the order in which they are asked: another one where no stream was told."""
