"""An ONVIF camera for tests, of which no machine of ours has one: it answers probes, and its services want a log-in."""

import base64
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from syncsvc.lifecycle import StopToken, Worker

GROUP, PORT = "239.255.255.250", 3702
ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"


@dataclass
class OnvifCamera:
    """One camera; ``login`` is how it wants to be logged in to: token (in the envelope), digest (HTTP) or none."""

    user: str = "admin"
    password: str = "pass<word"
    login: str = "token"
    clock_off: timedelta = timedelta()
    uri: str = "rtsp://admin:old@192.0.2.7:554/stream{number}?profile={token}"
    media_host: str = ""
    types: str = "dn:NetworkVideoTransmitter tds:Device"
    media: tuple[int, ...] = (1,)
    """Which versions of the media service it has."""
    answers: dict[str, bytes] = field(default_factory=dict)
    """What it answers instead, by the name of the question."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_off

    def answer(self, question: str) -> bytes:
        name = re.search(r"<e:Body><(\w+)", question)[1]  # type: ignore[index]
        self.asked.append(name)
        if name in self.answers:
            return self.answers[name]
        return envelope(getattr(self, f"_{name}")(question))

    def _GetSystemDateAndTime(self, _: str) -> str:  # noqa: N802  # ONVIF's name
        now = self.now()
        return (
            "<t:GetSystemDateAndTimeResponse><t:SystemDateAndTime><s:UTCDateTime>"
            f"<s:Time><s:Hour>{now.hour}</s:Hour><s:Minute>{now.minute}</s:Minute><s:Second>{now.second}</s:Second></s:Time>"
            f"<s:Date><s:Year>{now.year}</s:Year><s:Month>{now.month}</s:Month><s:Day>{now.day}</s:Day></s:Date>"
            "</s:UTCDateTime></t:SystemDateAndTime></t:GetSystemDateAndTimeResponse>"
        )

    def _GetCapabilities(self, _: str) -> str:  # noqa: N802
        url = self.url.replace("127.0.0.1", self.media_host or "127.0.0.1")
        return (
            "<t:GetCapabilitiesResponse><t:Capabilities>"
            + (f"<s:Media><s:XAddr>{url}/onvif/media</s:XAddr></s:Media>" if 1 in self.media else "")
            + "</t:Capabilities></t:GetCapabilitiesResponse>"
        )

    def _GetServices(self, _: str) -> str:  # noqa: N802
        services = "".join(
            f"<t:Service><t:Namespace>http://www.onvif.org/ver{version}0/media/wsdl</t:Namespace>"
            f"<t:XAddr>{self.url}/onvif/media{version}</t:XAddr></t:Service>"
            for version in self.media
        )
        return f"<t:GetServicesResponse>{services}</t:GetServicesResponse>"

    def _GetProfiles(self, question: str) -> str:  # noqa: N802
        if 2 not in self.media or "/ver20/" not in question:
            return self._profiles_1()
        profile = (
            '<t:Profiles token="p{n}" fixed="true"><t:Name>{name}</t:Name><t:Configurations><t:VideoEncoder token="v">'
            "<s:Name>v</s:Name><s:Encoding>H265</s:Encoding><s:Resolution><s:Width>{w}</s:Width><s:Height>{h}</s:Height>"
            "</s:Resolution><s:RateControl><s:FrameRateLimit>25.0</s:FrameRateLimit></s:RateControl></t:VideoEncoder>"
            "</t:Configurations></t:Profiles>"
        )
        some = profile.format(n=1, name="main", w=1920, h=1080) + profile.format(n=2, name="sub", w=640, h=360)
        return f"<t:GetProfilesResponse>{some}</t:GetProfilesResponse>"

    def _profiles_1(self) -> str:
        profile = (
            '<t:Profiles token="p{n}"><s:Name>{name}</s:Name><s:VideoEncoderConfiguration><s:Encoding>H264</s:Encoding>'
            "<s:Resolution><s:Width>{w}</s:Width><s:Height>{h}</s:Height></s:Resolution><s:RateControl>"
            "<s:FrameRateLimit>25</s:FrameRateLimit></s:RateControl></s:VideoEncoderConfiguration></t:Profiles>"
        )
        some = profile.format(n=1, name="main", w=1920, h=1080) + profile.format(n=2, name="sub", w=640, h=360)
        return f"<t:GetProfilesResponse>{some}</t:GetProfilesResponse>"

    def _GetStreamUri(self, question: str) -> str:  # noqa: N802
        token = re.search(r"<ProfileToken>(.*?)</", question)[1]  # type: ignore[index]
        uri = self.uri.format(number=token[-1], token=token)
        if "/ver20/" in question:
            return f"<t:GetStreamUriResponse><t:Uri>{uri}</t:Uri></t:GetStreamUriResponse>"
        return f"<t:GetStreamUriResponse><s:MediaUri><s:Uri>{uri}</s:Uri></s:MediaUri></t:GetStreamUriResponse>"

    def is_logged_in(self, question: str) -> bool:
        """Whether the envelope has a token of the right user, fresh by our own clock."""
        user, digest, nonce, created = (
            (re.search(rf"<\w:{name}(?: [^>]*)?>(.*?)</", question) or ["", ""])[1]
            for name in ("Username", "Password", "Nonce", "Created")
        )
        expected = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.password.encode()).digest()
        if user != self.user or digest != base64.b64encode(expected).decode():
            return False
        return abs(datetime.fromisoformat(created) - self.now()) < timedelta(seconds=30)


def envelope(body: str, header: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?><e:Envelope xmlns:e="{ENVELOPE}" xmlns:t="urn:t" xmlns:s="urn:s" xmlns:d="urn:d">'
        f"<e:Header>{header}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
    ).encode()


FAULT = envelope(
    '<e:Fault><e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value xmlns:ter="urn:ter">ter:NotAuthorized</e:Value>'
    "</e:Subcode></e:Code><e:Reason><e:Text>Sender not Authorized</e:Text></e:Reason></e:Fault>"
)


class _Handler(BaseHTTPRequestHandler):
    camera: OnvifCamera

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"])).decode()
        camera, is_free = self.camera, "GetSystemDateAndTime" in question
        if camera.login == "digest" and not is_free and self._has_digest() and "UsernameToken" in question:
            self._send(400, FAULT)  # one way to log in is enough
        elif camera.login == "digest" and not is_free and not self._has_digest():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5')
            self.end_headers()
        elif camera.login == "token" and not is_free and not camera.is_logged_in(question):
            self._send(400, FAULT)
        else:
            self._send(200, camera.answer(question))

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/soap+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _has_digest(self) -> bool:
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', self.headers.get("Authorization", "")))
        if "response" not in said:
            return False

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        one, two = md5(f"{self.camera.user}:cam:{self.camera.password}"), md5(f"POST:{self.path}")
        return said["response"] == md5(f"{one}:abc:{said['nc']}:{said['cnonce']}:auth:{two}")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def onvif_camera(camera: OnvifCamera, *, in_group: bool = False) -> Iterator[int]:
    """Serve it on loopback; the value is the UDP port that takes probes, that of the group where it is in it."""
    with ExitStack() as stack:
        handler = type("Handler", (_Handler,), {"camera": camera})
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        server.daemon_threads = False
        camera.url = f"http://127.0.0.1:{server.server_address[1]}"
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if in_group:
            udp.bind((GROUP, PORT))
            membership = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        else:
            udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.05)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        stack.enter_context(Worker("probes", lambda stop: _answer_probes(camera, udp, stop)))
        yield udp.getsockname()[1]


def _answer_probes(camera: OnvifCamera, udp: socket.socket, stop: StopToken) -> None:
    while not stop.is_set:
        try:
            data, sender = udp.recvfrom(65536)
        except TimeoutError:
            continue
        question = re.search(rb"MessageID[^>]*>(.*?)<", data)
        if question is not None:
            udp.sendto(probe_match(question[1].decode(), f"{camera.url}/onvif/device_service", camera.types), sender)


def probe_match(question: str, url: str, types: str = "dn:NetworkVideoTransmitter") -> bytes:
    scopes = "onvif://www.onvif.org/name/Yard%20Cam onvif://www.onvif.org/hardware/X100"
    return envelope(
        "<d:ProbeMatches><d:ProbeMatch><d:EndpointReference><d:Address>urn:uuid:1</d:Address></d:EndpointReference>"
        f"<d:Types>{types}</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>http://169.254.1.1/x {url}</d:XAddrs>"
        "</d:ProbeMatch></d:ProbeMatches>",
        f"<d:RelatesTo>{question}</d:RelatesTo>",
    )
