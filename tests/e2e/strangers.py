"""Who may be at an endpoint where somebody looks for a service: nobody, or another program."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import zmq

from tests.e2e.httpcamera import answer, http_camera

Stranger = Callable[[], AbstractContextManager[str]]
"""Gives the endpoint for as long as the block lasts."""


@contextmanager
def nobody() -> Iterator[str]:
    """A port that is bound, where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def web_server() -> Iterator[str]:
    """HTTP."""
    with http_camera({"/": lambda handler: answer(handler, "text/plain", b"hello")}) as url:
        yield url.replace("http://", "tcp://")


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"tcp://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def another_program() -> Iterator[str]:
    """Speaks ZeroMQ, and is no service."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as sock:
        yield f"tcp://127.0.0.1:{sock.bind_to_random_port('tcp://127.0.0.1')}"
