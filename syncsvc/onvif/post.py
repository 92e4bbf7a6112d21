"""One question over HTTP to one device, bounded in time and bytes; a challenge is answered with Digest.

Certificates are not checked: cameras sign their own. Redirects are not followed, and a password never travels in clear.
"""

from http.client import responses
from typing import Final

import pycurl

from syncsvc.camera_http import HttpTrouble, address_of, log_in, new_handle, words_of
from syncsvc.errors import LoginRefused, OnvifError
from syncsvc.onvif.elements import MAX_BYTES
from syncsvc.onvif.soap import Login

_KIND: Final = "application/soap+xml; charset=utf-8"
_UNAUTHORIZED: Final = 401


class Device:
    """A device's ONVIF services at one host, as one user or as nobody.

    Args:
        login: answers the device's challenge, where it makes one.
        timeout_s: for one question, from the connection to the last byte.
    """

    def __init__(self, login: Login | None, timeout_s: float) -> None:
        self._login, self._curl = login, new_handle()
        self._curl.setopt(pycurl.TIMEOUT_MS, round(timeout_s * 1000))
        self._curl.setopt(pycurl.HTTPHEADER, [f"Content-Type: {_KIND}", "Expect:"])
        self.has_challenged = False
        """Whether the device asks for HTTP Digest; then it needs no log-in inside the envelope."""

    def post(self, url: str, question: bytes) -> bytes:
        """The body of the answer, whatever its HTTP status, for faults come with one of their own.

        Raises:
            LoginRefused: the device refuses this user, or nobody, in HTTP.
            OnvifError: no answer in time, one that is too long, or none that is one.
        """
        status, body = self._ask(url, question)
        if status == _UNAUTHORIZED and self._login is not None and not self.has_challenged:
            self.has_challenged = bool(self._curl.getinfo(pycurl.HTTPAUTH_AVAIL) & pycurl.HTTPAUTH_DIGEST)
            if self.has_challenged:  # not before: curl asks with an empty envelope where it expects a challenge
                log_in(self._curl, self._login.user, self._login.password, pycurl.HTTPAUTH_DIGEST)
                status, body = self._ask(url, question)
        if status == _UNAUTHORIZED:
            raise LoginRefused("wants a user and a password" if self._login is None else "refuses user or password")
        if status != 200 and b"Envelope" not in body:
            raise OnvifError(f"answers HTTP {status} {responses.get(status, '')}".rstrip())
        return body

    def _ask(self, url: str, question: bytes) -> tuple[int, bytes]:
        body = bytearray()

        def take(data: bytes) -> int:
            body.extend(data[: MAX_BYTES + 1 - len(body)])
            return len(data) if len(body) <= MAX_BYTES else 0

        curl = self._curl
        curl.setopt(pycurl.WRITEFUNCTION, take)
        curl.setopt(pycurl.POSTFIELDS, question)
        try:
            curl.setopt(pycurl.URL, address_of(url).url)
            curl.perform()
        except HttpTrouble as trouble:
            raise OnvifError(str(trouble)) from None
        except pycurl.error as error:
            if error.args[0] != pycurl.E_WRITE_ERROR:  # that is ours: enough was read to see that it is too long
                raise OnvifError(f"cannot be asked: {words_of(int(error.args[0]), curl)}") from error
        return curl.getinfo(pycurl.RESPONSE_CODE), bytes(body)
