"""How a client connects: the one place where its sockets take an address, and its keys."""

import os
from typing import Final

import zmq

from syncsvc.certificates import ClientKeys, read_client
from syncsvc.client.addresses import is_ipv6
from syncsvc.errors import NoAnswer, UsageError
from syncsvc.transport.monitor import event_of

KEYS_VARIABLE: Final = "SYNCSVC_KEYS"
Keys = str | os.PathLike[str] | None
"""A folder with ``client.key_secret`` and ``server.key``; None: the one of SYNCSVC_KEYS, or none."""


def keys_in(folder: Keys) -> ClientKeys | None:
    """The keys of a client; None where it has none.

    Raises:
        UsageError: that is no folder's name.
        ConfigError: a file is missing or no certificate, or others can read the secret.
    """
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise UsageError(f"keys {folder!r}: allowed is a folder with client.key_secret and server.key")
    where = os.environ.get(KEYS_VARIABLE) if folder is None else os.fspath(folder)
    return read_client(where) if where else None


def connect(sock: "zmq.Socket[bytes]", endpoint: str, keys: ClientKeys | None) -> None:
    """Connect a socket, over TCP by keys where there are any; ``ipc://`` needs none: a file has its owner.

    Raises:
        zmq.ZMQError: ZeroMQ does not take the endpoint.
    """
    sock.set(zmq.IPV6, int(is_ipv6(endpoint)))
    if keys is not None and endpoint.startswith("tcp://"):
        sock.set(zmq.CURVE_SERVERKEY, keys.server)
        sock.set(zmq.CURVE_PUBLICKEY, keys.keys.public)
        sock.set(zmq.CURVE_SECRETKEY, keys.keys.secret)
    sock.connect(endpoint)


class Admission:
    """Whether a socket was let in by its keys; made before it connects, for its thread."""

    def __init__(self, sock: "zmq.Socket[bytes]", keys: ClientKeys | None) -> None:
        self._socket, self._keys = sock, keys
        kinds = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_CONNECTED
        self._monitor = sock.get_monitor_socket(kinds) if keys is not None else None

    def check(self, endpoint: str) -> None:
        """Say why nobody answers, where that is for our keys.

        Raises:
            NoAnswer: the service does not know ours, or has others than we think.
        """
        if self._monitor is None or self._keys is None:
            return
        seen = set()
        while self._monitor.poll(0):
            seen.add(event_of(self._monitor.recv_multipart())[0])
        if zmq.EVENT_HANDSHAKE_FAILED_AUTH in seen:
            ours = self._keys.keys.public.decode()
            problem = f"the service does not let this client in: its key ({ours}, of {self._keys.folder})"
            raise NoAnswer(endpoint, f"{problem} is not on its list, or was revoked (`syncsvc keys client` there)")
        if zmq.EVENT_CONNECTED in seen and zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen:
            problem = f"it does not have the keys of {os.path.join(self._keys.folder, 'server.key')}"
            raise NoAnswer(endpoint, f"who is there cannot be trusted: {problem}, or lets nobody in now")

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
