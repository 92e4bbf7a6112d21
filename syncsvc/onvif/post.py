"""One question over HTTP to one device, bounded in time and bytes; a challenge is answered with Digest.

Certificates are not checked: cameras sign their own. Redirects are not followed, and a password never travels in clear.
"""

import http.client
import socket
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from syncsvc.camera_http import digest_answer, tls_context
from syncsvc.errors import LoginRefused, OnvifError
from syncsvc.onvif.elements import MAX_BYTES
from syncsvc.onvif.soap import Login

_KIND: Final = "application/soap+xml; charset=utf-8"


class Device:
    """A device's ONVIF services at one host, as one user or as nobody.

    Args:
        login: answers the device's challenge, where it makes one.
        timeout_s: for one question, from the connection to the last byte.
    """

    def __init__(self, login: Login | None, timeout_s: float) -> None:
        self._login, self._timeout_s = login, timeout_s
        self.has_challenged = False
        """Whether the device asks for HTTP Digest; then it needs no log-in inside the envelope."""

    def post(self, url: str, question: bytes) -> bytes:
        """The body of the answer, whatever its HTTP status, for faults come with one of their own.

        Raises:
            LoginRefused: the device refuses this user, or nobody, in HTTP.
            OnvifError: no answer in time, one that is too long, or none that is one.
        """
        parts = urlsplit(url)
        status, headers, body = self._ask(parts, question, {})
        if status == http.client.UNAUTHORIZED and self._login is not None:
            authorization = _digest(parts, self._login, headers.get_all("WWW-Authenticate", []))
            if authorization is not None:
                self.has_challenged = True
                status, headers, body = self._ask(parts, question, {"Authorization": authorization})
        if status == http.client.UNAUTHORIZED:
            raise LoginRefused("wants a user and a password" if self._login is None else "refuses user or password")
        if status != http.client.OK and b"Envelope" not in body:
            raise OnvifError(f"answers HTTP {status} {http.client.responses.get(status, '')}".rstrip())
        return body

    def _ask(
        self, parts: SplitResult, question: bytes, more: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = _connection(parts, self._timeout_s)
        # A time-out of a socket is for each drop of a dripping answer; this one is for all of them.
        bell = threading.Timer(self._timeout_s, _hang_up, (connection,))
        bell.daemon = True
        bell.start()
        try:
            headers = {"Content-Type": _KIND, "User-Agent": "syncsvc", "Connection": "close", **more}
            connection.request("POST", parts.path or "/", question, headers)
            response = connection.getresponse()
            body = response.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OnvifError(f"cannot be asked: {_describe(error)}") from error
        finally:
            bell.cancel()
            bell.join()
            connection.close()
        return response.status, response.headers, body


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise OnvifError("has an address that is none") from error
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls_context())


def _hang_up(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):  # it went by itself
            sock.shutdown(socket.SHUT_RDWR)


def _digest(parts: SplitResult, login: Login, challenges: list[str]) -> str | None:
    """The answer to a Digest challenge; None where there is none that we know."""
    for text in challenges:
        scheme, _, rest = text.strip().partition(" ")
        if scheme.lower() != "digest":
            continue
        url = f"{parts.scheme}://{parts.netloc}{parts.path or '/'}"
        with suppress(ValueError):  # an algorithm that urllib does not have; the next challenge may have another
            if answer := digest_answer(rest, "POST", url, login.user, login.password):
                return answer
    return None


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(getattr(error, "strerror", None) or type(error).__name__)
