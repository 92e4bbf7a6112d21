"""How threads start, end and fail."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncsvc.lifecycle import LongTurns, Standstill, StopToken, Worker
from tests.e2e.harness import wait_for


def test_a_stop_token_ends_a_wait() -> None:
    token = StopToken()
    assert not token.sleep(0)
    assert not token.sleep(-5)
    token.set()
    assert token.is_set
    assert token.sleep(3600)


def test_who_waits_for_something_else_as_well_is_woken_by_the_stop_whenever_it_comes() -> None:
    token, woken = StopToken(), list[str]()
    token.on_set(lambda: woken.append("before"))
    assert not woken
    token.set()
    token.on_set(lambda: woken.append("after"))
    assert woken == ["before", "after"]


def test_a_worker_runs_until_it_is_asked_to_end() -> None:
    ran = threading.Event()

    def body(stop: StopToken) -> None:
        ran.set()
        stop.sleep(3600)

    with Worker("one", body) as worker:
        assert ran.wait(10)
        assert worker.is_alive
        assert not worker.join(0)
    assert not worker.is_alive
    assert worker.error is None


def test_what_moves_between_two_looks_is_not_stuck_however_long_that_took() -> None:
    watch = Standstill(looks=3, apart_ns=10)
    assert not any(watch.look(mark=now, now_ns=now) for now in (0, 1_000, 900_000))
    assert not watch.look(mark=900_000, now_ns=5_000_000), "a watcher that did not get to look accuses nobody"


def test_what_stands_still_for_so_many_looks_is_stuck_and_looks_in_a_row_are_one() -> None:
    watch = Standstill(looks=3, apart_ns=10)
    assert not any(watch.look(mark=7, now_ns=now) for now in (0, 1, 2, 3, 10, 11, 12, 20))
    assert watch.look(mark=7, now_ns=30)
    assert not watch.look(mark=8, now_ns=31)


def test_a_failure_is_kept_and_told_once() -> None:
    told: list[tuple[str, BaseException]] = []
    error = ValueError("broken")

    def body(stop: StopToken) -> None:
        raise error

    worker = Worker("one", body, lambda name, what: told.append((name, what))).start()
    assert worker.join(10)
    assert told == [("one", error)]
    assert worker.error is error


def test_even_an_exit_is_kept() -> None:
    def body(stop: StopToken) -> None:
        raise SystemExit(3)

    worker = Worker("one", body).start()
    assert worker.stop(10)
    assert isinstance(worker.error, SystemExit)


def test_a_worker_that_does_not_end_in_time_is_told_of() -> None:
    release = threading.Event()
    worker = Worker("stubborn", lambda stop: assert_set(release.wait(10))).start()
    assert not worker.stop(0)
    release.set()
    assert worker.join(10)
    assert worker.error is None


def assert_set(is_set: bool) -> None:
    if not is_set:
        pytest.fail("nobody released it")


def _slice_ns(thread: Path = Path("/proc/thread-self/sched")) -> int:
    """A thread's slice, as the kernel has it; 0 where it does not tell."""
    found = re.search(r"se\.slice\s*:\s*(\d+)", thread.read_text() if thread.exists() else "")
    return int(found[1]) if found else 0


@pytest.mark.skipif(_slice_ns() == 0, reason="the kernel does not tell slices")
def test_long_turns_are_longer_than_the_usual_ones_and_end_with_each_sleep() -> None:
    told: list[int] = []
    token = LongTurns()

    def body() -> None:
        told.append(_slice_ns())
        token.begin()
        told.append(_slice_ns())
        token.sleep(3600)
        told.append(_slice_ns())

    thread = threading.Thread(target=body)
    thread.start()
    asleep = Path(f"/proc/self/task/{thread.native_id}/sched")
    wait_for(lambda: len(told) == 2 and _slice_ns(asleep) == told[0], "the thread sleeps")
    token.set()
    thread.join()
    usual, long, again = told
    assert usual < long == again


def test_a_worker_that_finds_no_room_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="thread one cannot be started: the machine has no room for another"):
        Worker("one", lambda _: None).start()


def test_memory_that_a_thread_frees_and_takes_again_costs_no_page_faults_once_it_is_kept() -> None:
    code = """
import resource, sys
from threading import Thread
import cv2, numpy as np
from syncsvc.lifecycle import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
picture = np.random.default_rng(1).integers(0, 255, (540, 960, 3), np.uint8)
def work():
    for _ in range(30):
        cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 95))
thread = Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""

    def faults(how: str) -> int:
        command = [sys.executable, "-c", code, how]
        return int(subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout)

    assert faults("kept") < faults("given back") - 2_000
