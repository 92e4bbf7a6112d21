"""Tells systemd how we are (sd_notify): eight lines instead of a dependency."""

import os
import socket


def notify(state: str) -> None:
    """Send a state such as ``READY=1`` to the service manager, where there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
            except OSError:
                return  # a manager that does not listen is no reason to stop
