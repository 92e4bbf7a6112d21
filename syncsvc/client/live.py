"""Batches over ZeroMQ: one SUB socket."""

import os
import re
import threading
from collections.abc import Sequence
from typing import Any, Final

import zmq

from syncsvc.certificates import ClientKeys
from syncsvc.client.connecting import connect
from syncsvc.client.inlet import Inlet
from syncsvc.errors import SubscriberClosed, UsageError
from syncsvc.wire import BATCH_PREFIX, CODED_PREFIX, HEAD_PREFIX
from syncsvc.wire.result import RESULT_PREFIX

DEFAULT_LIVE: Final = "tcp://127.0.0.1:5555"
"""``publish.live`` of a configuration that does not say."""
_LABEL = r"[^\s/:;@*?\[\].\ud800-\udfff]{1,63}"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]"
_ENDPOINT = re.compile(rf"tcp://(?:{_HOST}):(?P<port>[0-9]{{1,5}})|ipc://[^\0\n\ud800-\udfff]+")
"""Nothing that ZeroMQ, or a look at who is there, takes for something else: an IPv6 address is in brackets."""
_OPTIONS = {
    zmq.LINGER: 0,
    # A host that vanishes without a word is noticed by TCP. Not by ZMTP heartbeats: while a subscriber is at its
    # high-water mark they time out, and libzmq 4.3.5 aborts the process at the next receive ("_input_stopped").
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 2,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.RECONNECT_IVL: 20,  # first pause; it doubles
    zmq.RECONNECT_IVL_MAX: 1000,
}
_MARK = 2
"""Per group: more only means older batches, and each may be a hundred megabytes. What leaves at once has room at the
service."""
_ALL_GROUPS_MARK = 16
_HEADERS_MARK = 256
"""Of headers alone, which are some kilobytes each."""
_RESULTS_MARK = 64
"""Of results, of which there is one for each frame, and each may be a picture."""


def check_endpoint(endpoint: str) -> None:
    """Refuse what cannot be an endpoint of ``live``.

    Raises:
        UsageError: it cannot.
    """
    found = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if not found or not 0 < int(found["port"] or 1) < 65_536:  # ZeroMQ itself would try a port of 99999 for ever
        raise UsageError(f"endpoint {endpoint!r}: allowed are tcp://HOST:PORT and ipc:///PATH")


def _mark(topics: Sequence[bytes]) -> int:
    """How many messages may wait here: windows of several groups close at the same instant."""
    if topics[0].startswith(HEAD_PREFIX):
        return _HEADERS_MARK
    if topics[0].startswith(RESULT_PREFIX):
        return _RESULTS_MARK
    return _ALL_GROUPS_MARK if topics[0] in (BATCH_PREFIX, CODED_PREFIX) else _MARK * len(topics)


class LiveInlet(Inlet):
    """Messages of the service, whole, as they come."""

    def __init__(self, endpoint: str, topics: Sequence[bytes], keys: ClientKeys | None = None) -> None:
        """Connect when the service is there, and again whenever it comes back; ``topics`` are subscribed to at first.

        Raises:
            UsageError: ZeroMQ does not take the endpoint.
        """
        super().__init__()
        self._using = threading.Lock()  # a socket is one thread's at a time, and whoever closes it may be another one
        # A context of its own: with the process-wide one, threads and descriptors would outlive ``close``.
        self._context = zmq.Context()
        try:
            self._socket = self._context.socket(zmq.SUB)
            for option, value in _OPTIONS.items():
                self._socket.setsockopt(option, value)
            self._socket.setsockopt(zmq.RCVHWM, _mark(topics))
            for topic in topics:
                self._socket.setsockopt(zmq.SUBSCRIBE, topic)
            connect(self._socket, endpoint, keys)
            self._fd = self._socket.fileno()
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise UsageError(f"endpoint {endpoint!r}: {error.strerror}") from error

    def take(self) -> Sequence[Any] | None:
        """See ``Inlet``."""
        with self._using:
            self.check_open()
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            except zmq.ZMQError as error:
                raise SubscriberClosed(f"the socket is gone: {error}") from error
        # Views keep ZeroMQ's memory alive, so that pixels are copied when they are converted, and not before.
        return [part.buffer for part in parts]

    def fileno(self) -> int:
        """See ``Inlet``; ZeroMQ makes it readable for other news too."""
        return self._fd

    def is_here(self) -> bool:
        """See ``Inlet``; true too where only ``take`` can say what is wrong."""
        with self._using:
            try:
                return bool(self._socket.poll(0))
            except zmq.ZMQError:
                return True

    def own_fileno(self) -> int | None:
        """See ``Inlet``."""
        with self._using:
            return None if self.is_closed else os.dup(self._fd)

    def subscribe(self, topic: bytes) -> None:
        """See ``Inlet``."""
        with self._using:
            self.check_open()
            self._socket.subscribe(topic)

    def close(self) -> None:
        """See ``Inlet``."""
        super().close()
        with self._using:
            self._context.destroy(linger=0)
