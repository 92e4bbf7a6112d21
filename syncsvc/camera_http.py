"""How cameras speak HTTP, for every client of them here: by curl, which answers whatever they ask of who logs in.

Certificates are not checked, and old TLS is good enough: cameras sign their own, and never learn a new one. No proxy,
no redirect by itself, no other protocol: a camera decides nothing about where we connect.
"""

import os
from typing import Final, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

import pycurl

_PORTS: Final = {"http": 80, "https": 443}
_WORDS: Final = {
    pycurl.E_COULDNT_RESOLVE_HOST: "its name does not resolve",
    pycurl.E_OPERATION_TIMEDOUT: "timed out",
    pycurl.E_GOT_NOTHING: "closed the connection without an answer",
    pycurl.E_PARTIAL_FILE: "closed the connection before the end",
    pycurl.E_UNSUPPORTED_PROTOCOL: "answers in another protocol than HTTP",
    getattr(pycurl, "E_WEIRD_SERVER_REPLY", 8): "answers in another protocol than HTTP",
    pycurl.E_SSL_CONNECT_ERROR: "speaks no TLS that we speak",
}


class HttpTrouble(Exception):
    """A question that was not answered; the text is for people, and has no URL."""


class Address(NamedTuple):
    """A URL taken apart: what is asked for, and as whom. The one place that decides which host a URL means.

    ``origin`` is scheme, host and port; two URLs with the same one mean the same server.
    """

    url: str
    origin: tuple[str, str, int]
    user: str | None
    password: str


def address_of(url: str) -> Address:
    """Take a URL of a camera apart; what curl gets of it is put together again, so that it sees the same host.

    Raises:
        HttpTrouble: it is none, or a user's name would add lines to a request.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise HttpTrouble("is at no address of HTTP")
        host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise HttpTrouble("has an address that is none") from None
    user, password = parts.username and unquote(parts.username), unquote(parts.password or "")
    if not f"{user}{password}".isprintable():
        raise HttpTrouble("a user's name or a password with control characters, which no camera takes")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if parts.port is None else f"{shown}:{port}"
    return Address(f"{parts.scheme}://{netloc}{_target(parts)}", (parts.scheme, host, port), user, password)


def _target(parts: SplitResult) -> str:
    """Path and query, as they go into the request line."""
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="%/?:@!$&'()*+,;=~[]")


def new_handle() -> pycurl.Curl:
    """A curl that speaks to cameras; it keeps its connection, its cookies and the challenge that it last answered."""
    curl = pycurl.Curl()
    for option, value in (
        (pycurl.NOSIGNAL, 1),
        (pycurl.PROXY, ""),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.HTTP200ALIASES, ["ICY 200 OK"]),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.COOKIEFILE, ""),
        (pycurl.ACCEPT_ENCODING, "identity"),  # curl unpacks what comes packed all the same
        (pycurl.USERAGENT, "syncsvc"),
        (pycurl.SSL_VERIFYPEER, 0),
        (pycurl.SSL_VERIFYHOST, 0),
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_0),
        (pycurl.SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0"),
    ):
        curl.setopt(option, value)
    return curl


def log_in(curl: pycurl.Curl, user: str | None, password: str, schemes: int) -> None:
    """Answer challenges of these schemes from now on (``pycurl.HTTPAUTH_...``), or none where there is no user."""
    if user is None:
        curl.unsetopt(pycurl.USERNAME)
        curl.unsetopt(pycurl.PASSWORD)
        return
    curl.setopt(pycurl.HTTPAUTH, schemes)
    curl.setopt(pycurl.USERNAME, user.encode())
    curl.setopt(pycurl.PASSWORD, password.encode())


def words_of(code: int, curl: pycurl.Curl) -> str:
    """What went wrong, in words without a URL."""
    errno = curl.getinfo(pycurl.OS_ERRNO)
    if code in (pycurl.E_COULDNT_CONNECT, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR) and errno:
        return os.strerror(errno)
    return _WORDS.get(code) or f"curl says: {curl.errstr() or 'nothing'}"
