"""What a URL or an endpoint says, and what of it may be shown. Knows no pydantic, so logs can use it everywhere."""

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

_WHITE: Final = re.compile(r"[\x00-\x20\x7f]")
KIND_OF_SCHEME: Final[Mapping[str, str]] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "http",
    "https": "http",
    "file": "file",
    "v4l2": "v4l2",
    "synthetic": "synthetic",
}
MAX_IPC_BYTES: Final = 107  # sockaddr_un.sun_path has 108, the last is NUL
MASK: Final = "***"

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
SECRET_PARAMETER: Final = re.compile(
    r"([?&;](?:[\w-]*(?:pass|pwd|secret|token|key|auth|credential|signature)[\w-]*|pw)=)([^&#\s'\"]+)", re.IGNORECASE
)
_USERINFO_IN_TEXT: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"<>]*@")
_BEFORE_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{0,2}")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class RefusedError(ValueError):
    """A text is not what it should be; ``found`` and ``allowed`` are apart, so that a caller may mask the former."""

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"found {found}; allowed: {allowed}")
        self.found, self.allowed = found, allowed


def redact_url(url: str) -> str:
    """The URL without user, password and secret parameters.

    A password may hold ``@``, ``/`` or ``:`` unescaped, so everything before the last ``@`` goes, and everything
    after ``//`` where what follows is neither a host nor a host and port. Better too much than a piece of a password.
    """
    scheme = _SCHEME.match(url)
    if scheme and KIND_OF_SCHEME.get(scheme[1].lower()) in ("file", "v4l2", "synthetic") and "://" not in url[5:]:
        return url
    prefix = _BEFORE_HOST.match(url)
    start = prefix[0] if prefix else ""
    if "@" in url:
        return _hide_parameters(f"{start}{MASK}@{url.rpartition('@')[2]}")
    authority = re.split("[/?#]", url[len(start) :], maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    if start.endswith("//") and colon and not _PORT.fullmatch(port) and not authority.endswith("]"):
        return f"{start}{MASK}"
    return _hide_parameters(url)


def redact_text(text: str) -> str:
    """Any text with the userinfo and the secret parameters of the URLs in it masked."""
    return _hide_parameters(_USERINFO_IN_TEXT.sub(rf"\g<1>{MASK}@", text))


def _hide_parameters(text: str) -> str:
    return SECRET_PARAMETER.sub(rf"\g<1>{MASK}", text)


def secrets_in(url: str) -> frozenset[str]:
    """Every password in a URL, as written and percent-decoded; a user name alone counts as one, being a token then."""
    found = {match[2] for match in SECRET_PARAMETER.finditer(url)}
    for up_to_some_at in ("://(.*?)@", "://(.*)@"):  # a password may hold one
        if match := re.search(up_to_some_at, url, re.DOTALL):
            user, colon, password = match[1].partition(":")
            found.add(password if colon else user)
    found |= {unquote(secret) for secret in found}
    return frozenset(secret for secret in found if secret)


def kind_of(url: str) -> str:
    """Which kind of stream a URL is, by its scheme.

    Raises:
        RefusedError: no scheme, or none that we know.
    """
    scheme = _SCHEME.match(url)
    known = ", ".join(KIND_OF_SCHEME)
    if scheme is None:
        raise RefusedError(
            "a URL without a scheme", f"URLs that begin with one of {known}, for example file:recordings/a.mp4"
        )
    kind = KIND_OF_SCHEME.get(scheme[1].lower())
    if kind is None:
        raise RefusedError("a URL with another scheme", f"the schemes {known}")
    return kind


def with_plain_scheme(url: str) -> str:
    """The URL with its scheme in small letters, as libraries know them: people write ``RTSP://`` too."""
    scheme = _SCHEME.match(url)
    return url if scheme is None else scheme[1].lower() + url[scheme.end(1) :]


def endpoint(text: str) -> tuple[str, int] | str:
    """Host and port of a ``tcp://`` endpoint on loopback, or the path of an ``ipc://`` one.

    Raises:
        RefusedError: it is neither, or not on loopback.
    """
    allowed = f"tcp://HOST:PORT on loopback (port 0 takes a free one) or ipc:///PATH of at most {MAX_IPC_BYTES} bytes"
    if text.startswith("tcp://"):
        return host_and_port(text.removeprefix("tcp://"), allowed, text)
    path = text.removeprefix("ipc://")
    if path == text or not path.startswith("/") or _WHITE.search(path) or path.endswith("/"):
        raise RefusedError(_quoted(text), allowed)
    if len(os.fsencode(path)) > MAX_IPC_BYTES:
        raise RefusedError(f"a path of {len(os.fsencode(path))} bytes", allowed)
    return os.path.normpath(path)


def host_and_port(text: str, allowed: str, whole: str = "") -> tuple[str, int]:
    """``HOST:PORT`` on loopback as a numeric address and a number.

    Args:
        text: what to read.
        allowed: what a refusal says is allowed.
        whole: what a refusal says was found, where ``text`` is only a part of it.

    Raises:
        RefusedError: it is not of that form, or off loopback.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise RefusedError(f"{_quoted(whole or text)} without a host or a port from 0 to 65535", allowed)
    if host == "localhost":
        return "127.0.0.1", int(port)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise RefusedError(_quoted(whole or text), allowed + "; an IPv6 address stands in brackets")
    if not _is_loopback(host):
        raise RefusedError(
            f"{_quoted(whole or text)}, which is off loopback",
            "127.0.0.0/8, localhost or [::1]; any other address needs `security`, which is not available yet",
        )
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host.strip("[]")) == ipaddress.IPv6Address("::1")
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return f"'{redact_url(text)}'"
