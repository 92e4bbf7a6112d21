"""An RTSP session that must not end while no picture comes: libavformat says that it is here only beside a picture."""

import re
from contextlib import suppress
from typing import Final

from syncsvc.capture.rtsp_call import RtspCall
from syncsvc.capture.rtsp_messages import RtspMessage
from syncsvc.lifecycle import StopToken

TIMEOUT_S: Final = 60.0
"""Silence after which a server may end a session, where it does not say."""
_SHARE: Final = 3
"""We speak so many times in that."""
_LEAST_PAUSE_S: Final = 0.5
_FIRST_CSEQ: Final = 10_000
"""Of our own requests: libavformat counts its own from one, and overlooks replies with other numbers."""


class RtspSession:
    """What the camera said when it set the session up."""

    def __init__(self, call: RtspCall) -> None:
        self._call = call
        self._name = self._url = ""
        self._cseq = _FIRST_CSEQ
        self.pause_s = TIMEOUT_S / _SHARE
        """Between two of our words."""
        self.is_playing = False
        self._heard = True

    def heard(self) -> None:
        """A picture came, beside which libav speaks. From any thread."""
        self._heard = True

    def learn(self, request: RtspMessage, reply: RtspMessage) -> None:
        """Take in that a request was granted."""
        name, _, options = reply.value("Session").partition(";")
        self._name = name.strip() or self._name
        timeout = re.search(r"timeout\s*=\s*(\d{1,6})", options, re.IGNORECASE)
        if timeout is not None and int(timeout[1]):
            self.pause_s = max(_LEAST_PAUSE_S, int(timeout[1]) / _SHARE)
        if request.method == "PLAY":
            self._url, self.is_playing = request.url, True

    def keep_alive(self, stop: StopToken) -> None:
        """Speak whenever nothing was heard for a pause, until the stop, or the connection's end."""
        while not stop.sleep(self.pause_s):
            was_heard, self._heard = self._heard, False
            if not was_heard:
                self.say_that_we_are_here()

    def say_that_we_are_here(self) -> None:
        """Ask for nothing; libav reads the reply, and thinks nothing of it.

        Raises:
            OSError: the connection is gone.
        """
        call, self._cseq = self._call, self._cseq + 1
        method = "GET_PARAMETER" if "GET_PARAMETER" in call.greeting.value("Public").upper() else "OPTIONS"
        told = {"CSeq": str(self._cseq)} | ({"Session": self._name} if self._name else {})
        if call.challenge is not None:
            told["Authorization"] = call.challenge.answer(method, self._url, call.user, call.password)
        with suppress(BlockingIOError):  # it takes nothing now: another time
            call.wire.connection.send(bytes(RtspMessage.request(method, self._url, told)))
