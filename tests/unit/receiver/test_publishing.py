"""In which order the sockets of a service are bound."""

import logging
from pathlib import Path
from typing import Any

import pytest
import zmq

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import BindError
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.publish.live import LiveOutlet
from syncsvc.receiver.publishing import Publishing
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport import leasing


def publishing(live: str, control: str) -> Publishing:
    plan = ReceiverPlan("run", 1, live, control, 0, False, {}, {})
    nothing = pytest.fail
    return Publishing(
        plan, SYSTEM_CLOCK, UtcMapper(SYSTEM_CLOCK), hello=nothing, status=nothing, leave=nothing,
        backlog_of=nothing, on_failure=nothing,
    )  # fmt: skip


def is_listened_to(endpoint: str) -> bool:
    sock = leasing.connect(endpoint, is_ours=True)
    if sock is not None:
        sock.close()
    return sock is not None


def test_who_finds_live_bound_finds_who_serves_this_host_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, bind, found = f"ipc://{tmp_path}/live", LiveOutlet.bind, []

    def watched(self: LiveOutlet, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, *more: Any) -> str:
        found.append(is_listened_to(endpoint))
        return bind(self, context, endpoint, *more)

    monkeypatch.setattr(LiveOutlet, "bind", watched)
    ours = publishing(live, f"ipc://{tmp_path}/control")
    assert ours.bind() == (live, f"ipc://{tmp_path}/control")
    ours.start()
    ours.end("draining", 10)
    assert found == [True]
    assert not is_listened_to(live)


def test_a_port_that_is_free_is_listened_at_as_soon_as_it_is_known() -> None:
    ours = publishing("tcp://127.0.0.1:0", "tcp://127.0.0.1:0")
    live, _ = ours.bind()
    assert is_listened_to(live)
    assert not is_listened_to("tcp://127.0.0.1:0")
    ours.start()
    ours.end("draining", 10)


def test_an_endpoint_that_another_has_is_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    first = publishing("tcp://127.0.0.1:0", "tcp://127.0.0.1:0")
    live, _ = first.bind()
    with caplog.at_level(logging.INFO), pytest.raises(BindError, match="already in use"):
        publishing(live, "tcp://127.0.0.1:0").bind()
    assert caplog.messages == []
    assert is_listened_to(live), "the other goes on"
    first.start()
    first.end("draining", 10)
