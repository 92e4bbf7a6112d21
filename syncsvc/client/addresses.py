"""Which family of addresses ZeroMQ is to look for: it takes one alone, and says nothing where that is the wrong one."""

import socket

PATIENCE_S = 0.25
"""For who has addresses of both families."""


def is_ipv6(endpoint: str) -> bool:
    """Whether an endpoint is reached over IPv6: by its address or, where a name has both, by who answers.

    Where nobody answers it is IPv4, which services bind by default.
    """
    if not endpoint.startswith("tcp://"):
        return False
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if host.startswith("["):
        return True
    try:
        found = {entry[0]: entry[4] for entry in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)}
    except (OSError, ValueError):  # ZeroMQ looks again, and refuses what is no host
        return False
    if len(found) == 1:
        return socket.AF_INET6 in found
    return not _answers(found.get(socket.AF_INET)) and _answers(found.get(socket.AF_INET6))


def _answers(address: tuple[object, ...] | None) -> bool:
    if address is None:
        return False
    try:
        socket.create_connection((str(address[0]), int(str(address[1]))), PATIENCE_S).close()
    except OSError:
        return False
    return True
