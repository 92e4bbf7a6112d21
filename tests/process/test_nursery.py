"""The nursery: forked captures are the daemon's own children, die with it, and survive the nursery."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Host:
    """A process that plays the daemon (``nursery_host``)."""

    def __init__(self, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.nursery_host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **variables},
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, words: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> str:
        """Kill it; what it and its children said on stderr."""
        self.process.kill()
        _, told = self.process.communicate(timeout=20)
        return told


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(SECRET="canary")
    yield host
    host.end()


def status_of(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def gone(pids: list[int]) -> bool:
    """Whether these processes end within ten seconds; they are watched from before ``pids`` may be used again."""
    return all(select.select([pid], [], [], 10)[0] for pid in pids)


def test_a_forked_capture_is_the_daemons_child_and_shows_nothing_of_its_secrets(host: Host) -> None:
    pid = host.ask("bear north")
    assert status_of(pid)["PPid"] == str(host.process.pid)
    assert status_of(pid)["Threads"] == "1"
    assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert status_of(host.ask("nursery"))["Threads"] == "1"


def test_captures_come_and_go_without_a_trace(host: Host) -> None:
    before = host.ask("fds"), host.ask("children")
    for _ in range(5):
        host.ask("bear one")
        host.ask("bear two")
        os.kill(int(host.ask("bear three")), signal.SIGKILL)
        assert host.ask("start one") == "Misconfigured"
        assert host.ask("end one") == "78"
        assert host.ask("end three") == "-9"
        assert host.ask("start two") == "Misconfigured"
        assert host.ask("end two") == "78"
    assert (host.ask("fds"), host.ask("children")) == before


def test_nothing_outlives_the_daemon(host: Host) -> None:
    pids = [int(host.ask("bear one")), int(host.ask("bear two")), int(host.ask("nursery"))]
    pidfds = [os.pidfd_open(pid) for pid in pids]
    host.end()
    assert gone(pidfds)
    for fd in pidfds:
        os.close(fd)


def test_the_end_of_the_nursery_hurts_no_capture(host: Host) -> None:
    first, before = host.ask("bear first"), host.ask("nursery")
    assert host.ask("kill") != before
    second = host.ask("bear second")
    assert host.ask("start first") == "Misconfigured"
    assert host.ask("end first") == "78"
    children = host.ask("children").split()
    assert second in children
    assert first not in children
    assert len(children) == 2


def test_a_nursery_that_has_threads_forks_nobody(tmp_path: Path) -> None:
    hook = "import threading, sys\nif 'syncsvc.capture.nursery' in sys.orig_argv:\n"
    hook += "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    (tmp_path / "sitecustomize.py").write_text(hook)
    host = Host(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    pid = host.ask("bear alone")
    assert host.ask("start alone") == "Misconfigured"
    assert b"syncsvc.capture.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert host.ask("end alone") == "78"
    assert "a library starts threads at import" in host.end()
