"""Children: started, talked to, killed, reaped, and gone with their parent."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syncsvc.daemon.child import SpawnedChild
from tests.process.echo_child import Said, Say

ROOT = Path(__file__).resolve().parents[2]


def test_a_child_answers_is_killed_and_reaped_without_a_trace() -> None:
    child = SpawnedChild[Said]("tests.process.echo_child", "echo", Said)
    child.channel.send(Say("hello"))
    answer = child.channel.receive(20)
    assert answer is not None
    assert answer[0] == Said("hello", os.getpid(), "echo")
    assert child.poll() is None
    assert child.reap(0.01) is None
    child.kill()
    assert child.reap(10) == -signal.SIGKILL
    child.kill()
    assert child.reap(1) == -signal.SIGKILL


def test_a_child_does_not_inherit_what_may_hold_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GLIBC_TUNABLES", "PYTHONDONTWRITEBYTECODE")
    for name in ("HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GLIBC_TUNABLES", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("NORTH_PASSWORD", "canary-hunter2")
    monkeypatch.setenv("NORTH_PASSWORDS", "another")
    child = SpawnedChild[Said]("tests.process.echo_child", "echo", Said, without={"NORTH_PASSWORD", "NOT_SET", *needed})
    child.channel.send(Say("hello"))
    assert child.channel.receive(20) is not None
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    child.kill()
    child.reap(10)
    assert b"canary" not in environment
    names = {entry.partition(b"=")[0].decode() for entry in environment.split(b"\0")}
    assert "NORTH_PASSWORD" not in names
    assert {"NORTH_PASSWORDS", "PYTHONPATH", *needed} <= names
    assert os.environ["NORTH_PASSWORD"] == "canary-hunter2"


def test_a_child_dies_with_its_parent() -> None:
    code = (
        "import os, sys, signal\n"
        "from syncsvc.daemon.child import SpawnedChild\n"
        "from tests.process.echo_child import Said, Say\n"
        "child = SpawnedChild('tests.process.echo_child', 'orphan', Said)\n"
        "child.channel.send(Say('ready'))\n"
        "child.channel.receive(20)\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pidfd = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    poller = select.poll()
    poller.register(pidfd)
    assert poller.poll(10_000), "it outlived its parent"
    os.close(pidfd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_whole_group_does_not_hurt_a_child_that_still_imports(number: int) -> None:
    child = SpawnedChild[Said]("tests.process.echo_child", "echo", Said)
    os.kill(child.pid, number)
    child.channel.send(Say("hello"))
    assert child.channel.receive(20) is not None
    child.kill()
    assert child.reap(20) == -signal.SIGKILL
