"""What can be an endpoint of ``live``: all that ZeroMQ connects to, and nothing that it takes for something else."""

import pytest

from syncsvc.client.live import check_endpoint
from syncsvc.client.presence import Patience, look
from syncsvc.errors import NoAnswer, UsageError


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1:5555",
        "tcp://localhost:1",
        "tcp://cam_host-1.example.:65535",
        "tcp://kamera.münchen:5555",
        "tcp://[::1]:5555",
        "tcp://[fe80::1%eth0.1]:5555",
        "ipc:///run/syncsvc/live",
        "ipc://here",
    ],
)
def test_what_can_be_connected_to_is_taken(endpoint: str) -> None:
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://:5555",
        "tcp://*:5555",
        "tcp://user@host:5555",
        "tcp://::1:5555",
        "tcp://[::1:5555",
        "tcp://[here]:5555",
        "tcp://127.0.0.1:0;127.0.0.1:5555",
        "tcp://a..b:5555",
        f"tcp://{'a' * 64}:5555",
        "tcp://host/path:5555",
        "tcp://\udcff:5555",
        "ipc://",
        "ipc:///tmp/\udcff",
        "ipc:///tmp/\0",
        "udp://127.0.0.1:5555",
    ],
)
def test_what_cannot_is_refused_with_what_can(endpoint: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_endpoint(endpoint)
    assert str(raised.value) == f"endpoint {endpoint!r}: allowed are tcp://HOST:PORT and ipc:///PATH"


@pytest.mark.parametrize("host", ["xn--" + "ü" * 60, "\u200e\u05d0a"])
def test_a_name_that_no_host_can_have_is_nobodys(host: str) -> None:
    with pytest.raises(NoAnswer, match=r"no service is there \(this can be no name of a host\)"):
        look(f"tcp://{host}:5555", Patience(1.0))
