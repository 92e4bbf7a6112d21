"""The process that forks captures is killed: those that run go on, those that come after it are forked by another."""

import os
import signal
from pathlib import Path

import pytest

from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.harness import Service, patient, wait_for
from tests.e2e.test_reload import synthetic
from tests.processes import state_of, told_of


def nursery_of(service: Service) -> int | None:
    """The nursery of a running daemon; a capture has its command line, and one stream's name as its name."""
    for pid in service.survivors():
        if b"capture.nursery" in told_of(pid, "cmdline") and b"python" in told_of(pid, "comm"):
            return pid
    return None


def zombies_of(service: Service) -> list[str]:
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return [pid for pid in children if state_of(pid) == "Z"]


def test_a_killed_nursery_costs_no_frame(tmp_path: Path) -> None:
    streams = {"a": synthetic(100, 1), "b": synthetic(50, 2)}
    with Service(tmp_path, streams, groups=patient("a", "b")) as service, service.follow() as history:
        history.read_until()
        descriptors = len(os.listdir(f"/proc/{service.process.pid}/fd"))
        for _ in range(2):
            before = wait_for(lambda: nursery_of(service), "the nursery")
            os.kill(before, signal.SIGKILL)
            wait_for(lambda before=before: nursery_of(service) not in (None, before), "the next nursery")
        history.read_until(since_ns=SYSTEM_CLOCK.utc_ns())
        assert not history.dropped("a")
        assert not history.dropped("b")
        history.read_until(since_ns=service.kill_capture("b"))
        assert not zombies_of(service)
        wait_for(lambda: len(os.listdir(f"/proc/{service.process.pid}/fd")) == descriptors, "descriptors to go")
        assert service.stop() == 0
    history.check()
    assert not history.dropped("a")
    assert set(history.dropped("b")) <= {"capture_died"}


def test_a_variable_that_a_reload_makes_a_secret_is_hidden_from_later_captures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_PASSWORD", "c4nary-w0rd")
    with Service(tmp_path, {"a": synthetic(25, 1)}) as service:
        pid = service.capture_pid("a")
        assert b"c4nary" in told_of(pid, "environ")
        gate = {"url": "rtsp://admin:${GATE_PASSWORD}@127.0.0.1:1/stream"}
        service.reload(streams={"a": synthetic(50, 1), "gate": gate})
        wait_for(lambda: "cannot be opened" in service.log, "the first failure")
        service.capture_pid("a", other_than=pid)
        for child in (service.capture_pid("a"), wait_for(lambda: nursery_of(service), "the nursery")):
            told = told_of(child, "environ")
            assert told
            assert b"c4nary" not in told
        assert service.stop() == 0
