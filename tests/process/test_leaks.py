"""The leak check finds each kind of leak, and nothing where there is none."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncsvc.testing import Holdings, leaks_since


def test_nothing_is_left_behind_by_nothing() -> None:
    before = Holdings.now(names=False)
    with open(os.devnull) as file:
        file.read()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert leaks_since(before) == []


def test_a_descriptor_is_found() -> None:
    before = Holdings.now(names=False)
    fd = os.open(os.devnull, os.O_RDONLY)
    assert leaks_since(before) == [f"descriptor {fd} (/dev/null)"]
    os.close(fd)
    assert leaks_since(before) == []


def test_a_thread_is_found_and_a_daemon_is_none() -> None:
    before, end = Holdings.now(names=False), threading.Event()
    threads = [threading.Thread(target=end.wait, name=name, daemon=name == "daemon") for name in ("mine", "daemon")]
    for thread in threads:
        thread.start()
    assert leaks_since(before) == ["thread mine"]
    end.set()
    for thread in threads:
        thread.join()
    assert leaks_since(before) == []


def test_a_child_is_found_until_it_was_waited_for() -> None:
    before = Holdings.now(names=False)
    child = subprocess.Popen(["sleep", "60"])
    assert leaks_since(before) == [f"child process {child.pid}"]
    child.kill()
    child.wait()
    assert leaks_since(before) == []


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no /dev/shm to leave a name in")
def test_a_name_in_shared_memory_is_found() -> None:
    before, path = Holdings.now(), Path("/dev/shm") / f"leak-test-{os.getpid()}"
    path.write_bytes(b"")
    assert f"/dev/shm/{path.name}" in leaks_since(before)
    path.unlink()
    assert f"/dev/shm/{path.name}" not in leaks_since(before)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no /dev/shm to leave a name in")
def test_a_name_that_another_process_holds_is_that_ones() -> None:
    path = Path("/dev/shm") / f"leak-test-{os.getpid()}"
    holds = f"import mmap; f = open({str(path)!r}, 'r+b'); held = mmap.mmap(f.fileno(), 0); print(flush=True); input()"
    before = Holdings.now()
    path.write_bytes(bytes(4096))
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        assert f"/dev/shm/{path.name}" not in leaks_since(before)
    assert f"/dev/shm/{path.name}" in leaks_since(before)
    path.unlink()
