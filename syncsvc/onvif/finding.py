"""Who on the network is an ONVIF camera: one question to everybody, by WS-Discovery, and the answers of a few seconds.

Source: OASIS WS-Discovery 2005/04, as ONVIF Core chapter 7 uses it; SOAP-over-UDP for the repetitions.
"""

import fcntl
import ipaddress
import selectors
import socket
import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import OnvifError
from syncsvc.onvif.elements import Element, parse
from syncsvc.onvif.soap import envelope
from syncsvc.transport.hosts import look_up

EVERYBODY: Final = ("239.255.255.250", 3702)
MOST_DEVICES: Final = 1024
_REPEATED_NS: Final = (0, 250 * NS_PER_MS, 750 * NS_PER_MS)
_MAX_DATAGRAM: Final = 1 << 16
_SIOCGIFADDR: Final = 0x8915
_ADDRESSING: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_SCOPE: Final = "onvif://www.onvif.org/"
_TYPES: Final = (
    '<d:Types xmlns:n="http://www.onvif.org/ver10/network/wsdl">n:NetworkVideoTransmitter</d:Types>',
    '<d:Types xmlns:n="http://www.onvif.org/ver10/device/wsdl">n:Device</d:Types>',
)


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that answered.

    ``url`` is of its device service, at the address that the answer came from: what a stranger says leads nowhere else.
    """

    address: str
    url: str
    name: str = ""
    hardware: str = ""


def interfaces() -> Iterator[tuple[str, str]]:
    """Name and IPv4 address of each interface that has one, loopback too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has no IPv4 address
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                yield name, socket.inet_ntoa(answer[20:24])


def find(seconds: float, asked: Sequence[tuple[str, int]] = (), everybody: tuple[str, int] = EVERYBODY) -> list[Found]:
    """Ask, and gather the answers.

    Args:
        seconds: how long answers are waited for.
        asked: hosts and ports to ask instead of everybody, where multicast does not reach.
        everybody: multicast group and port.

    Raises:
        OnvifError: nothing could be sent.
    """
    with ExitStack() as stack:
        ways = [(stack.enter_context(sock), target) for sock, target in (_direct(asked) if asked else _ways(everybody))]
        return list(_gather(ways, seconds))


def _ways(everybody: tuple[str, int]) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    for _, address in interfaces():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sock.bind((address, 0))
        yield sock, everybody


def _direct(asked: Iterable[tuple[str, int]]) -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    for host, port in asked:
        try:
            _, address = next(look_up(host, port, socket.AF_INET, socket.SOCK_DGRAM))
        except OSError as error:
            raise OnvifError(f"{host}: {error.strerror or 'no such host'}") from error
        yield socket.socket(socket.AF_INET, socket.SOCK_DGRAM), (str(address[0]), int(address[1]))


def _gather(ways: Sequence[tuple[socket.socket, tuple[str, int]]], seconds: float) -> Iterator[Found]:
    ids = [uuid.uuid4() for _ in _TYPES]
    begun_ns, sent = SYSTEM_CLOCK.monotonic_ns(), 0
    seen: set[str] = set()
    with selectors.DefaultSelector() as selector:
        for sock, _ in ways:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
        while (over_ns := SYSTEM_CLOCK.monotonic_ns() - begun_ns) < seconds * NS_PER_S and len(seen) < MOST_DEVICES:
            if sent < len(_REPEATED_NS) and over_ns >= _REPEATED_NS[sent]:
                sent += 1
                _send(ways, ids)
                continue
            until_ns = _REPEATED_NS[sent] if sent < len(_REPEATED_NS) else round(seconds * NS_PER_S)
            for key, _ in selector.select(max(0.0, (until_ns - over_ns) / NS_PER_S)):
                for found in _receive(key.fileobj, ids):
                    if found.url not in seen:
                        seen.add(found.url)
                        yield found


def _send(ways: Sequence[tuple[socket.socket, tuple[str, int]]], ids: Sequence[uuid.UUID]) -> None:
    problems = []
    for sock, target in ways:
        for question_id, types in zip(ids, _TYPES, strict=True):
            try:
                sock.sendto(_probe(question_id, types), target)
            except OSError as error:
                problems.append(error)
    if len(problems) == len(ways) * len(ids):
        why = problems[0].strerror if problems else "no interface has an IPv4 address"
        raise OnvifError(f"nobody can be asked: {why}")


def _probe(question_id: uuid.UUID, types: str) -> bytes:
    return envelope(
        f'<d:Probe xmlns:d="{_DISCOVERY}">{types}</d:Probe>',
        f'<a:MessageID xmlns:a="{_ADDRESSING}">uuid:{question_id}</a:MessageID>'
        f'<a:To e:mustUnderstand="true" xmlns:a="{_ADDRESSING}">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>'
        f'<a:Action e:mustUnderstand="true" xmlns:a="{_ADDRESSING}">{_DISCOVERY}/Probe</a:Action>',
    )


def _receive(sock: object, ids: Sequence[uuid.UUID]) -> Iterator[Found]:
    assert isinstance(sock, socket.socket)
    with suppress(OSError, OnvifError):  # gone, a port that nobody listens at, or no answer to us
        data, sender = sock.recvfrom(_MAX_DATAGRAM)
        yield from answers_in(data, str(sender[0]), {str(one) for one in ids})


def answers_in(data: bytes, sender: str, ids: Iterable[str]) -> Iterator[Found]:
    """The cameras in one datagram, if it answers one of our questions.

    Raises:
        OnvifError: it is no XML, or too much of it.
    """
    document = parse(data)
    asked = document.text_at("Envelope", "Header", "RelatesTo").lower()
    if not any(one in asked for one in ids):
        return
    for match in document.every("ProbeMatch"):
        scopes = match.text_at("Scopes").split()
        types = match.text_at("Types")
        if not ("NetworkVideoTransmitter" in types or any(scope.startswith(_SCOPE) for scope in scopes)):
            continue  # printers answer too
        url = _service(match, sender)
        if url is not None:
            yield Found(sender, url, _scope(scopes, "name/"), _scope(scopes, "hardware/"))


def _service(match: Element, sender: str) -> str | None:
    """The address of the device service, of those that it gives the one at the sender's."""
    urls = [url for url in (at_host(text, sender) for text in match.text_at("XAddrs").split()) if url is not None]
    return next((url for url, is_own in urls if is_own), urls[0][0] if urls else None)


def at_host(url: str, host: str) -> tuple[str, bool] | None:
    """A service's URL with this host in it, and whether that was in it already; None where it is no URL of one."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and len(url) < 1024 and url.isprintable() and url.isascii():
            place = host if parts.port is None else f"{host}:{parts.port}"
            return urlunsplit((parts.scheme, place, parts.path or "/", "", "")), _is_same(parts.hostname, host)
    return None


def _is_same(named: str | None, host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(named or "") == ipaddress.ip_address(host)
    return named == host


def _scope(scopes: Iterable[str], key: str) -> str:
    found = next((scope for scope in scopes if scope.startswith(_SCOPE + key)), "")
    return unquote(found.removeprefix(_SCOPE + key))[:64]
