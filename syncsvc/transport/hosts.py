"""Looks names of hosts up: what can be no name is an OSError like that of a name that nobody has."""

import errno
import socket
from collections.abc import Iterator


def look_up(
    host: str, port: int, family: int = socket.AF_UNSPEC, kind: int = socket.SOCK_STREAM
) -> Iterator[tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]]:
    """The addresses that a host goes by, each with its family, as ``connect`` takes them; may take long.

    Raises:
        OSError: nobody goes by that name.
    """
    try:
        found = socket.getaddrinfo(host, port, family, kind)
    except UnicodeError:  # a label that is empty, too long, or of characters that no name has
        raise OSError(errno.EINVAL, "this can be no name of a host") from None
    for its_family, _, _, _, address in found:
        yield its_family, address


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Of ``tcp://HOST:PORT``; an IPv6 address without its brackets."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
