"""Children: started, talked to, killed, reaped, and gone with their parent."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncsvc.daemon.child import SpawnedChild
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport.channel import MAX_MESSAGE_BYTES, Channel

ROOT = Path(__file__).resolve().parents[2]


def test_a_child_answers_is_killed_and_reaped_without_a_trace() -> None:
    child = SpawnedChild("tests.process.echo_child", "echo")
    child.channel.send({"say": "hello"})
    answer = child.channel.receive(20)
    assert answer is not None
    assert answer[0] == {"said": "hello", "parent": os.getpid(), "name": "echo"}
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
    child = SpawnedChild("tests.process.echo_child", "echo", without={"NORTH_PASSWORD", "NOT_SET", *needed})
    child.channel.send({"say": "hello"})
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
        "child = SpawnedChild('tests.process.echo_child', 'orphan')\n"
        "child.channel.send({'say': 'ready'})\n"
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


def test_a_channel_carries_maps_and_descriptors_in_order() -> None:
    ours, theirs = Channel.pair()
    reader, writer = os.pipe()
    ours.send({"number": 1}, (writer,))
    ours.send({"number": 2, "nested": {"list": [1, 2]}})
    os.close(writer)
    first = theirs.receive(0)
    assert first is not None
    assert first[0] == {"number": 1}
    [copy] = first[1]
    assert not os.get_inheritable(copy)
    os.write(copy, b"through")
    assert os.read(reader, 7) == b"through"
    second = theirs.receive(0)
    assert second is not None
    assert second[0]["nested"] == {"list": [1, 2]}
    assert theirs.receive(0) is None
    for fd in (copy, reader):
        os.close(fd)
    ours.close()
    with pytest.raises(LinkClosed):
        theirs.receive(0)
    with pytest.raises(LinkClosed):
        theirs.send({})
    theirs.close()


def flood(channel: Channel) -> None:
    for _ in range(1000):
        channel.send({"big": "x" * 100_000}, timeout_s=0.01)


def test_a_channel_whose_other_end_does_not_read_gives_up() -> None:
    ours, theirs = Channel.pair()
    with pytest.raises(LinkClosed):
        flood(ours)
    with pytest.raises(TransportError):
        ours.send({"big": "x" * MAX_MESSAGE_BYTES})
    ours.close()
    theirs.close()


def test_a_channel_that_is_closed_meanwhile_ends_the_wait() -> None:
    ours, theirs = Channel.pair()
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(LinkClosed):
            theirs.receive(20)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    ours.close()
    assert ended.wait(10)
    thread.join()
    theirs.close()
