"""Kills, absences and freezes, for real: a batch every window whatever happens, and every frame accounted for."""

import os
import signal
from pathlib import Path
from typing import cast

import pytest

from syncsvc import FrameBatch, Gap, Subscriber
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.harness import LIMIT_S, PATIENCE, Following, Service, patient, wait_for

SMALL = "size=320x180"


def synthetic(fps: float = 25, seed: int = 1, more: str = "") -> dict[str, object]:
    return {"url": f"synthetic:?fps={fps}&{SMALL}&seed={seed}{more}"}


def names_in_shm() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if "syncsvc" in name}


def test_a_killed_capture_costs_the_others_nothing(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, width=320, height=180)]) as cameras,
        Service(
            tmp_path,
            {"north": {"url": cameras.urls["north"]}, "b": synthetic(), "c": synthetic(30, 2)},
            groups=patient("north", "b", "c"),
        ) as service,
        service.follow() as history,
    ):
        history.read_until()
        for stream in ("north", "b", "north"):
            history.read_until(since_ns=service.kill_capture(stream))
        assert service.stop() == 0
    history.check()
    assert len({batch.epoch for batch in history.batches}) == 1
    assert history.holes("c") == 0
    assert not history.dropped("c")
    assert set(history.dropped("north")) | set(history.dropped("b")) <= {"capture_died"}


def test_numbers_go_on_across_captures_and_the_lost_are_counted(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(200)}) as service, service.follow() as history:
        history.read(1)
        for _ in range(4):
            history.read_until(lambda batch: bool(batch.frames["a"]), since_ns=service.kill_capture("a"))
    history.check()
    assert history.holes("a") == history.told("a") or not history.is_whole
    assert set(history.dropped("a")) <= {"capture_died"}


def test_the_windows_of_a_killed_receiver_come_or_are_told_missing(tmp_path: Path) -> None:
    """Longer dead than windows are made up for would take a minute; a window that left and never came is enough."""
    with (
        Service(
            tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}, groups=patient("a", "b", window_ms=100)
        ) as service,
        service.subscribe(group="all", gaps="yield") as batches,
    ):
        items: list[FrameBatch | Gap] = [first := batches.receive(LIMIT_S)]
        assert isinstance(first, FrameBatch)
        service.kill_receiver()
        while not (isinstance(last := items[-1], FrameBatch) and last.epoch > first.epoch and last.complete):
            items.append(item := batches.receive(LIMIT_S))
            if isinstance(item, FrameBatch) and item.seq == 0:
                since_ns = cast(int, batches.header["since_ns"])
                before_ns = max(one.window_end_ns for one in items[:-1] if isinstance(one, FrameBatch))
                assert before_ns <= since_ns <= item.window_start_ns, "the service knows what it emitted"
    covered = list[int]()
    for item in items:
        if isinstance(item, FrameBatch):
            covered.append(item.window_start_ns)
        else:
            covered += range(item.first_window_ns, item.last_window_ns + 1, 100_000_000)
    assert covered == list(range(covered[0], covered[-1] + 1, 100_000_000))


def test_a_killed_receiver_comes_back_with_a_higher_epoch(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service, service.follow() as history:
        first = history.read_until()
        again = history.read_until(since_ns=service.kill_receiver())
        assert again.epoch > first.epoch
        assert again.window_start_ns > first.window_start_ns
        history.check()
        for stream in ("a", "b"):
            # Frames of a batch that the old receiver counted and could not send any more are the only ones untold.
            untold = history.holes(stream) - history.told(stream)
            assert not history.is_whole or untold in (0, *range(20, 32))
        assert service.stop() == 0


def test_a_service_that_is_stopped_while_it_has_no_receiver_says_the_last_word_by_another(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic()}) as service, service.follow():
        service.kill_receiver()
        again = int(wait_for(lambda: service.status()["receiver"]["pid"], "a receiver"))
        os.kill(again, signal.SIGKILL)
        wait_for(lambda: service.status()["receiver"]["pid"] != again, "its end")
        assert service.stop() == 0


def test_an_absent_camera_joins_and_a_stopped_one_is_missing(tmp_path: Path) -> None:
    spec = CameraSpec("north", fps=25, width=320, height=180)
    with VirtualCameras([spec]) as cameras:
        cameras.stop("north")
        streams = {"north": {"url": cameras.urls["north"]}, "b": synthetic()}
        with (
            Service(tmp_path, streams, groups=patient("north", "b")) as service,
            service.follow() as history,
        ):
            history.read_until(lambda batch: batch.missing == {"north": "absent"})
            cameras.start("north")
            history.read_until()
            cameras.stop("north")
            history.read_until(lambda batch: batch.missing.get("north") in ("absent", "stalled"))
            cameras.start("north")
            history.read_until()
            assert service.stop() == 0
    history.check()
    assert not history.dropped("b")


def test_a_frozen_capture_is_killed_and_replaced(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(25, 2)}) as service, service.follow() as history:
        history.read_until()
        history.read_until(since_ns=service.kill_capture("a", signal.SIGSTOP))
        assert "is killed: no heartbeat" in service.log
    history.check()
    assert not history.dropped("b")


def test_a_stopped_subscriber_costs_another_nothing(tmp_path: Path) -> None:
    with (
        Service(tmp_path, {"a": synthetic()}) as service,
        service.subscribe() as lazy,
        service.follow() as eager,
    ):
        eager.read(8)  # the lazy one reads nothing meanwhile, and its high-water mark is two batches
        assert eager.is_whole
        assert isinstance(lazy.receive(timeout_s=5), FrameBatch)
        assert service.stop() == 0
    eager.check()


def test_nothing_survives_a_killed_daemon(tmp_path: Path) -> None:
    before = names_in_shm()
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service:
        with service.follow() as history:
            history.read_until()
        service.process.kill()
        service.process.wait()
        wait_for(lambda: not service.survivors(), "the end of every process")
    assert names_in_shm() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_emits_the_window_under_way_and_exits_0(tmp_path: Path, number: int) -> None:
    streams = {"a": synthetic(), "b": synthetic(30, 2)}
    with Service(tmp_path, streams) as service, service.follow() as history:
        history.read_until()
        service.process.send_signal(number)
        last = history.read_until(lambda batch: "draining" in batch.missing.values())
        assert last.window_end_ns - last.window_start_ns == 1_000_000_000
        assert last.frames["a"]
        assert service.process.wait(LIMIT_S) == 0
    history.check()


def test_a_reload_leaves_unchanged_streams_alone(tmp_path: Path) -> None:
    groups = {"all": {"streams": ["a", "b"], **PATIENCE}}
    with (
        Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}, groups=groups) as service,
        service.follow() as history,
    ):
        history.read_until()
        pid = service.capture_pid("a")
        reloaded = service.reload(streams={"a": synthetic(), "c": synthetic(15, 3)}, groups=patient("a", "c"))
        batch = history.read_until(lambda batch: "c" in batch.frames and batch.complete, since_ns=reloaded)
        assert list(batch.frames) == ["a", "c"]
        service.path.write_text("streams: {}\n")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "kept as it was" in service.log, "the refusal")
        history.read_until(since_ns=SYSTEM_CLOCK.utc_ns())
        assert service.capture_pid("a") == pid
        assert service.stop() == 0
    assert history.holes("a") == 0
    assert {batch.epoch for batch in history.batches} == {history.batches[0].epoch}
    assert history.is_whole


def test_the_first_window_is_the_one_in_which_ready_was_printed(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/live"
    with Subscriber(endpoint) as early:  # it waits for the service: no window is over before it listens
        streams = {"a": {"url": "rtsp://127.0.0.1:1/none"}}
        with Service(tmp_path, streams, publish={"live": endpoint}) as service, Following(early) as history:
            history.read(3)
            assert history.batches[0].seq <= 1
            assert all(b.missing["a"] in ("starting", "absent") and not b.frames["a"] for b in history.batches)
            assert service.stop() == 0
    history.check()
