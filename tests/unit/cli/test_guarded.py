"""What a command that serves takes for keys on its command line, and results behind a gate."""

from pathlib import Path

import pytest
import zmq
from click.testing import CliRunner

from syncsvc.certificates import ClientKeys, Guard, KeyPair
from syncsvc.cli import main
from syncsvc.cli.guarded import guard_of
from syncsvc.client.connecting import connect
from syncsvc.errors import ConfigError, UsageError
from syncsvc.sinks.process.result_outlet import ResultOutlet
from syncsvc.wire.result import result_topic
from tests.e2e.harness import wait_for

NAMES = ("--keys", "--clients")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert CliRunner().invoke(main, ["keys", "new", str(tmp_path / "k")]).exit_code == 0
    return tmp_path / "k"


def test_off_loopback_keys_are_needed_and_one_folder_alone_is_refused(keys: Path) -> None:
    place = {"--live": "tcp://0.0.0.0:5555"}
    with pytest.raises(UsageError, match=r"--live: found 'tcp://0.0.0.0:5555', which is off loopback; .* needs --keys"):
        guard_of(None, None, NAMES, place)
    with pytest.raises(UsageError, match="belong together"):
        guard_of(keys, None, NAMES, place)
    guard = guard_of(keys, keys / "clients", NAMES, place)
    assert guard is not None
    assert guard.clients == {}
    assert guard_of(None, None, NAMES, {"--live": "tcp://127.0.0.1:5555"}) is None
    (keys / "server.key_secret").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        guard_of(keys, keys / "clients", NAMES, place)


def test_results_reach_who_is_on_the_list_and_nobody_else() -> None:
    server, alice, stranger = (KeyPair(*zmq.curve_keypair()) for _ in range(3))
    with ResultOutlet("tcp://127.0.0.1:0", Guard(server, {alice.public: "alice"})) as outlet:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sockets = [context.socket(zmq.SUB) for _ in range(3)]
        for sock, pair in zip(sockets, (stranger, None, alice), strict=True):
            sock.subscribe(b"")
            keys = None if pair is None else ClientKeys(pair, server.public, "")
            connect(sock, outlet.endpoint, keys)

        def is_served() -> bool:
            outlet.look()
            outlet.send([result_topic("all"), b"header"])
            return bool(sockets[2].poll(20))

        wait_for(is_served, "a result for who is on the list")
        assert not any(sock.poll(0) for sock in sockets[:2])
        for sock in sockets:
            sock.close(0)
        context.term()
