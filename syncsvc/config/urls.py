"""What a URL or an endpoint says, and what of it may be shown. Knows no pydantic, so logs can use it everywhere."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
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
KEYS_NEEDED: Final = (
    "127.0.0.0/8, localhost or [::1]; any other address of this host, in numbers, needs "
    "`security: {keys: DIR, clients: DIR}` (`syncsvc keys new DIR`)"
)

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PASSWORD_NAME: Final = re.compile(
    "pas|pwd|psw|secret|token|key|auth|cred|signature|jwt|hmac|^hdn|^(?:p|pw|sig|sid|sess|session|sessionid)$",
    re.IGNORECASE,
)
_USER_NAME: Final = re.compile("user|usr|login|account|^(?:u|un|uid)$", re.IGNORECASE)
_SIGN_NAME: Final = re.compile("^(?:pin|code|sign|sas|st|hash|md5|nonce|policy)$", re.IGNORECASE)
"""Of what may be worth something to others, but is too common a word to be looked for elsewhere."""
_PARAMETER: Final = re.compile(r"(?<![\w%.\[\]-])([\w%.\[\]-]+)(=|%3D)([^&;#\s'\"<>]+)", re.IGNORECASE)
_MEMBER: Final = re.compile(
    r"""(["']|%22)([\w.-]+)(\1(?:\s|%20)*(?::|%3A)(?:\s|%20)*\1)(.*?)(?=\1)""",
    re.IGNORECASE,
)
"""Of a JSON object, in a query or an answer: ``"password": "secret"``."""
_JOINED_PARAMETER: Final = re.compile(
    r"([A-Za-z%][\w%.-]*?)(=|%3D)([^&;#?\s'\"<>]+?)(?=_[A-Za-z]+=|[&;#?\s'\"<>]|$)", re.IGNORECASE
)
"""Some cameras join theirs by an underscore: ``user=admin_password=secret_channel=1``."""
_LOGIN_STEP: Final = re.compile(r"(?<=/)(?!(?:mp4|flv|smil|mp3|aac|raw|ngrp):)[^/?#&=:\s'\"<>]*:([^/?#&=\s'\"<>]+)")
_URL_IN_TEXT: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#\s'\"<>]*)([^\s'\"<>]*)")
_USERINFO_IN_TEXT: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"<>]*@")
_CODED_USERINFO: Final = re.compile(r"(%3A%2F%2F)[^\s'\"<>&]*%40", re.IGNORECASE)
_BEFORE_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{0,2}")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class RefusedError(ValueError):
    """A text is not what it should be; ``found`` and ``allowed`` are apart, so that a caller may mask the former."""

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"found {found}; allowed: {allowed}")
        self.found, self.allowed = found, allowed


def is_password_name(name: str) -> bool:
    """Whether what is called so is a password, a token or a key; better one too many."""
    return _PASSWORD_NAME.search(name) is not None


def redact_url(url: str) -> str:
    """The URL without user, password and whatever else is called like them, in its path or in its query.

    A password may hold ``@``, ``/`` or ``:`` unescaped, so everything before the last ``@`` goes, and everything
    after ``//`` where what follows is neither a host nor a host and port. Better too much than a piece of a password.
    """
    scheme = _SCHEME.match(url)
    if scheme and KIND_OF_SCHEME.get(scheme[1].lower()) in ("file", "v4l2", "synthetic") and "://" not in url[5:]:
        return url
    prefix = _BEFORE_HOST.match(url)
    start = prefix[0] if prefix else ""
    if "@" in url:
        return redact_text(f"{start}{MASK}@{url.rpartition('@')[2]}")
    authority = re.split("[/?#]", url[len(start) :], maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    if start.endswith("//") and colon and not _PORT.fullmatch(port) and not authority.endswith("]"):
        return f"{start}{MASK}"
    return redact_text(url)


def redact_text(text: str) -> str:
    """Any text with what is called like a user or a password masked, and in its URLs whatever may be one."""
    text = _CODED_USERINFO.sub(rf"\g<1>{MASK}%40", _USERINFO_IN_TEXT.sub(rf"\g<1>{MASK}@", text))
    text = _MEMBER.sub(_hidden_member, text)
    text = _URL_IN_TEXT.sub(lambda url: url[1] + _hidden_in_path(url[2]), text)
    return _PARAMETER.sub(_hidden_parameter, text)


def _is_secret(name: str) -> bool:
    return any(kind.search(name) for kind in (_PASSWORD_NAME, _USER_NAME, _SIGN_NAME))


def _hidden_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{MASK}" if _is_secret(unquote(found[1])) else found[0]


def _hidden_member(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{found[3]}{MASK}" if _is_secret(found[2]) else found[0]


def _hidden_in_path(rest: str) -> str:
    """``/token/abc`` and ``/user:password/`` as they may be shown, of what stands behind a URL's host."""
    path, mark, query = re.split("([?#]|$)", rest, maxsplit=1)
    steps, before = path.split("/"), ""
    for at, step in enumerate(steps):
        word, before = before, unquote(step)
        if step and "=" not in word and (_PASSWORD_NAME.match(word) or _USER_NAME.match(word)):
            steps[at] = MASK
    return _LOGIN_STEP.sub(MASK, "/".join(steps)) + mark + query


def secrets_in(url: str) -> frozenset[str]:
    """Every password in a URL, as written and percent-decoded; a user name alone counts as one, being a token then."""
    found = {match[3] for match in _PARAMETER.finditer(url) if is_password_name(unquote(match[1]))}

    def note(value: str) -> str:
        found.update((value, value.partition("/")[0]))
        return value

    with_passwords(url, note)
    for up_to_some_at in ("://(.*?)@", "://(.*)@"):  # a password may hold one
        if match := re.search(up_to_some_at, url, re.DOTALL):
            user, colon, password = match[1].partition(":")
            found.add(password if colon else user)
    if where := _URL_IN_TEXT.match(url):
        found |= {match[1] for match in _LOGIN_STEP.finditer(re.split("[?#]", where[2], maxsplit=1)[0])}
    found |= {unquote(secret) for secret in found}
    return frozenset(secret for secret in found if secret)


def with_passwords(url: str, changed: Callable[[str], str]) -> str:
    """The URL with the values of its parameters that are called like passwords changed."""

    def change(found: re.Match[str]) -> str:
        is_password = is_password_name(unquote(found[1]))
        return f"{found[1]}{found[2]}{changed(found[3])}" if is_password else found[0]

    return _JOINED_PARAMETER.sub(change, url)


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
    """Host and port of a ``tcp://`` endpoint, or the path of an ``ipc://`` one.

    Raises:
        RefusedError: it is neither, or has no numeric address.
    """
    allowed = f"tcp://HOST:PORT (port 0 takes a free one) or ipc:///PATH of at most {MAX_IPC_BYTES} bytes"
    if text.startswith("tcp://"):
        return host_and_port(text.removeprefix("tcp://"), allowed, text)
    path = text.removeprefix("ipc://")
    if path == text or not path.startswith("/") or _WHITE.search(path) or path.endswith("/"):
        raise RefusedError(_quoted(text), allowed)
    if len(os.fsencode(path)) > MAX_IPC_BYTES:
        raise RefusedError(f"a path of {len(os.fsencode(path))} bytes", allowed)
    return os.path.normpath(path)


def host_and_port(text: str, allowed: str, whole: str = "") -> tuple[str, int]:
    """``HOST:PORT`` as a numeric address and a number.

    Args:
        text: what to read.
        allowed: what a refusal says is allowed.
        whole: what a refusal says was found, where ``text`` is only a part of it.

    Raises:
        RefusedError: it is not of that form, or has a name that is not ``localhost``.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise RefusedError(f"{_quoted(whole or text)} without a host or a port from 0 to 65535", allowed)
    if host == "localhost":
        return "127.0.0.1", int(port)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise RefusedError(_quoted(whole or text), allowed + "; an IPv6 address stands in brackets")
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
        else:
            ipaddress.IPv4Address(host)
    except ValueError:
        raise RefusedError(f"{_quoted(whole or text)}, which is off loopback", KEYS_NEEDED) from None
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a numeric address, without brackets, is of this host alone."""
    return ipaddress.ip_address(host).is_loopback


def _quoted(text: str) -> str:
    return f"'{redact_url(text)}'"
