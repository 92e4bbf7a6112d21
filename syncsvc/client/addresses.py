"""Which family of addresses ZeroMQ is to look for: it takes one alone, and says nothing where that is the wrong one."""

import socket

from syncsvc.transport.hosts import host_and_port, look_up

PATIENCE_S = 0.25
"""For who has addresses of both families."""


def is_ipv6(endpoint: str) -> bool:
    """Whether an endpoint is reached over IPv6: by its address or, where a name has both, by who answers.

    Where nobody answers it is IPv4, which services bind by default.
    """
    if not endpoint.startswith("tcp://"):
        return False
    if endpoint.startswith("tcp://["):
        return True
    try:
        found = dict(look_up(*host_and_port(endpoint)))
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
