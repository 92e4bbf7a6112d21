"""Bound sockets with every limit set: high-water marks, time-outs, sizes, and no endpoint taken from another."""

import os
import socket
from pathlib import Path

import zmq

from syncsvc.errors import BindError
from syncsvc.publish.gate import LEAST_MESSAGE_BYTES, Gate
from syncsvc.transport.socket_files import path_of

LINGER_MS = 3000
PATIENCE_MS = 200
"""How long one attempt to send waits where subscribers are waited for."""
SEND_BUFFER_BYTES = 2**20
"""Asked of the kernel per subscriber: a frame in a few writes instead of fifteen."""


def bind(
    context: "zmq.Context[zmq.Socket[bytes]]",
    kind: int,
    endpoint: str,
    *,
    send_mark: int,
    most_bytes: int,
    gate: Gate | None = None,
) -> tuple["zmq.Socket[bytes]", str]:
    """A bound socket, and its endpoint, with the port that was taken where 0 was asked for.

    Each peer may be ``send_mark`` messages behind (SNDHWM), and send messages of ``most_bytes`` (MAXMSGSIZE). Where
    there is a ``gate``, over TCP it lets in whom it knows.

    Raises:
        BindError: the endpoint is in use, or not to be had.
    """
    path = path_of(endpoint)
    if path is not None and _is_served(path):
        raise BindError(endpoint, "is already in use")  # libzmq would take the path over without a word
    sock: zmq.Socket[bytes] = context.socket(kind)
    for option, value in (
        (zmq.SNDHWM, send_mark),
        (zmq.RCVHWM, 64),
        (zmq.LINGER, LINGER_MS),
        (zmq.SNDBUF, SEND_BUFFER_BYTES if kind == zmq.XPUB else -1),
        (zmq.MAXMSGSIZE, most_bytes if gate is None else max(most_bytes, LEAST_MESSAGE_BYTES)),
        (zmq.HANDSHAKE_IVL, 2000),
        # TCP notices a peer that vanished; ZMTP heartbeats would cut off a subscriber that is only slow.
        (zmq.TCP_KEEPALIVE, 1),
        (zmq.TCP_KEEPALIVE_IDLE, 5),
        (zmq.TCP_KEEPALIVE_INTVL, 2),
        (zmq.TCP_KEEPALIVE_CNT, 3),
        (zmq.IPV6, int("[" in endpoint)),
        (zmq.SNDTIMEO, PATIENCE_MS),
    ):
        sock.set(option, value)
    if gate is not None:
        gate.lock(sock, endpoint)
    mask = os.umask(0o177) if path is not None else None  # 0600 from the beginning: nobody else comes in
    try:
        sock.bind(f"{endpoint.removesuffix('0')}*" if endpoint.endswith(":0") else endpoint)
    except (zmq.ZMQError, OSError) as error:
        sock.close(0)
        what = "is already in use" if getattr(error, "errno", 0) == zmq.EADDRINUSE else str(error)
        raise BindError(endpoint, what) from error
    finally:
        if mask is not None:
            os.umask(mask)
    return sock, sock.get_string(zmq.LAST_ENDPOINT).rstrip("\0")


def _is_served(path: Path) -> bool:
    """Whether a process listens at a socket's path, or the path is something else that is not ours to remove."""
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return not path.is_socket()  # what a service left behind that was killed
        except OSError:
            return True
    return True
