"""Subscribers on the service's host: the same batches without a copy, and leases that hurt nobody."""

import asyncio
import copy
import os
import pickle
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syncsvc import AsyncSubscriber, FrameBatch, FrameReclaimedError, Gap, Subscriber
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import LinkClosed, SubscriberClosed, UsageError
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.publish.leases import GRACE_NS
from syncsvc.transport import leasing
from syncsvc.transport.leasing import RINGS_KEPT, LeaseSocket
from tests.e2e.harness import PATIENCE, History, Service, find_data, patient, wait_for
from tests.e2e.local_reader import is_gone, is_true
from tests.e2e.test_recordings import NAMES, reference_sets, streams

ROOT = Path(__file__).parents[2]
CAMERAS = {
    name: {"url": f"synthetic:?fps={fps}&size=320x180&seed={seed}"}
    for seed, (name, fps) in enumerate({"a": 25, "b": 30}.items(), 1)
}


def frames_of(batch: FrameBatch) -> list[Any]:
    return [frame for some in batch.frames.values() for frame in some]


def complete(subscriber: Subscriber[Any]) -> FrameBatch:
    """The next batch that has everything."""
    while not isinstance(batch := subscriber.receive(30), FrameBatch) or not batch.complete:
        pass
    return batch


@contextmanager
def taking(subscriber: Subscriber[Any]) -> Iterator[Callable[[int], None]]:
    """A subscriber that lets no batch wait, whatever the test is busy with; the value waits for so many whole ones."""
    taken: list[int] = []

    def take(stop: StopToken) -> None:
        while not stop.is_set:
            taken.append(complete(subscriber).seq)

    def more(count: int) -> None:
        goal = len(taken) + count
        wait_for(lambda: len(taken) >= goal, "whole batches")

    with Worker("takes", take) as worker:
        more(1)
        yield more
    assert worker.error is None


@contextmanager
def reader(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """A subscriber in a process of its own, which holds a batch."""
    command = [sys.executable, "-m", "tests.e2e.local_reader", endpoint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("holds")
            yield process
        finally:
            process.kill()


def shows(process: subprocess.Popen[str]) -> dict[str, int]:
    """What the pixels that the reader holds show now."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    words = process.stdout.readline().split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}


def test_the_same_batches_without_a_copy(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS) as service,
        Subscriber(service.live, mode="local") as local,
        service.subscribe() as live,
    ):
        here, there = complete(local), complete(live)
        while here.seq != there.seq:
            here, there = (complete(local), there) if here.seq < there.seq else (here, complete(live))
        assert local.header == live.header
        for one, other in zip(frames_of(here), frames_of(there), strict=True):
            assert (one.stream, one.seq, one.time_ns) == (other.stream, other.seq, other.time_ns)
            assert np.array_equal(one.pixels, other.pixels)
            assert not one.pixels.flags.owndata
            assert not one.pixels.flags.writeable
            assert is_true(one, one.pixels)
        frame = frames_of(here)[0]
        assert np.shares_memory(frame.pixels, frame.pixels)
        assert np.array_equal(frame.to_bgr(), frames_of(there)[0].to_bgr())
        assert np.array_equal(np.from_dlpack(frame).reshape(-1), frame.pixels)
        assert np.shares_memory(np.from_dlpack(frame), frame.pixels)
        wait_for(lambda: service.status()["local"]["leases"], "the status")
        local.close()
        with pytest.raises(SubscriberClosed):
            local.receive(1)


def slots_of(service: Service) -> list[int]:
    """How many slots the streams' rings have; nothing until all are known."""
    slots = [stream["ring_slots"] for stream in service.status()["streams"].values()]
    return slots if all(slots) else []


def rings_of(pid: int) -> set[str]:
    """The rings that a capture has mapped."""
    return set(re.findall(r"syncsvc-ring-\d+", Path(f"/proc/{pid}/maps").read_text()))


def test_the_first_subscriber_lets_rings_grow_in_place_and_costs_no_frame(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS, groups=patient("a", "b")) as service, service.subscribe() as live:
        complete(live)
        before = wait_for(lambda: slots_of(service), "the rings")
        with service.costing(), Subscriber(service.live, mode="local") as local:
            held = [(frame, frame.pixels) for frame in frames_of(complete(local))]
            wait_for(lambda: min(slots_of(service)) > max(before), "rings that have grown")
            for _ in range(3):
                complete(local)
            assert all(is_true(frame, view) for frame, view in held)
        assert [rings_of(service.capture_pid(name)) for name in CAMERAS] == [{"syncsvc-ring-1"}] * 2


def test_a_frame_that_is_held_too_long_is_reclaimed_and_a_view_of_it_is_not_torn(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS, groups=patient("a", "b")) as service,
        Subscriber(service.live, mode="local") as local,
        service.costing(),
    ):
        complete(local)
        first = complete(local)
        seen, unseen = frames_of(first)[::2], frames_of(first)[1::2]
        views = [frame.pixels for frame in seen]
        slices = [view[: view.size // 2] for view in views]
        before = [part.copy() for part in slices]
        del views
        wait_for(lambda: local.stats.reclaimed and is_gone(unseen[0]), "the lease's end")
        for _ in range(3):
            complete(local)
        assert all(is_gone(frame) for frame in (*seen, *unseen))
        with pytest.raises(FrameReclaimedError, match="held for longer than its lease"):
            seen[0].to_bgr()
        assert all(np.array_equal(part, old) for part, old in zip(slices, before, strict=True)), "a view was rewritten"
        assert local.stats.reclaimed == len(seen) + len(unseen)
        assert service.status()["local"]["leases_revoked"] >= len(frames_of(first))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_leased_frames_outlive_the_lease_and_cost_nobody_a_slot(
    tmp_path: Path, copied: Callable[[FrameBatch], FrameBatch]
) -> None:
    with (
        Service(tmp_path, CAMERAS, groups=patient("a", "b")) as service,
        Subscriber(service.live, mode="local") as local,
        service.costing(),
    ):
        complete(local)
        kept = [frames_of(copied(complete(local))) for _ in range(3)]
        held = complete(local)
        wait_for(lambda: local.stats.reclaimed, "the lease's end")
        for _ in range(3):
            complete(local)
        assert all(is_gone(frame) for frame in frames_of(held))
        with pytest.raises(FrameReclaimedError):
            copied(held)
        assert all(is_true(frame, frame.pixels) for frames in kept for frame in frames)
        assert local.stats.reclaimed <= len(frames_of(held)), "the copies took no lease along"


def test_frames_that_two_groups_bring_are_called_back_from_who_takes_both(tmp_path: Path) -> None:
    groups = {name: {"streams": ["a", "b"], **PATIENCE} for name in ("one", "two")}
    with (
        Service(tmp_path, CAMERAS, groups=groups) as service,
        Subscriber(service.live, mode="local") as local,
        service.costing(group="one"),
    ):
        held = [frame for _ in range(4) for frame in frames_of(complete(local))]
        views = [frame.pixels for frame in held[len(held) // 2 :]]
        wait_for(lambda: local.receive(30) and local.stats.reclaimed >= len(held), "the leases' end")
        batches = [complete(local) for _ in range(4)]
        assert {batch.group for batch in batches} == set(groups)
        assert all(is_true(frame, view) for frame, view in zip(held[len(held) // 2 :], views, strict=True))
        assert service.status()["local"]["cut_off"] == 0


def test_batches_that_nobody_takes_become_a_gap_and_cost_nobody_a_frame(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS, groups=patient("a", "b")) as service,
        Subscriber(service.live, mode="local", gaps="yield") as idle,
        service.costing(),
        Subscriber(service.live, mode="local") as busy,
    ):
        seq = complete(idle).seq
        wait_for(lambda: busy.receive(30).seq >= seq + 4, "more batches than may wait")
        gap, batch = idle.receive(30), idle.receive(30)
        assert isinstance(gap, Gap)
        assert isinstance(batch, FrameBatch)
        assert (gap.first_seq, gap.reason, batch.seq) == (seq + 1, "lost", gap.last_seq + 1)
        assert not is_gone(frames_of(batch)[0])


def test_a_killed_subscriber_gives_everything_back(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS, groups=patient("a", "b")) as service,
        Subscriber(service.live, mode="local") as other,
        taking(other) as more,
        service.costing(),
    ):
        with reader(service.live) as process:
            held = wait_for(lambda: service.status()["local"]["leases"], "its leases")
            assert shows(process)["true"] > 0
            process.send_signal(signal.SIGKILL)
        wait_for(lambda: service.status()["local"]["subscribers"] == 1, "its end")
        more(3)
        assert held > 0
        assert service.status()["local"]["cut_off"] == 0
        assert other.stats.missed == 0


def test_a_stopped_subscriber_is_cut_off_and_what_it_holds_is_never_rewritten(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS) as service,
        Subscriber(service.live, mode="local") as other,
        taking(other) as more,
        service.costing(),
        reader(service.live) as process,
    ):
        held = shows(process)["true"]
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: service.status()["local"]["cut_off"], "the cut")
        more(5)  # all slots of the old rings would have been used again
        process.send_signal(signal.SIGCONT)
        assert shows(process)["true"] == held
        assert other.stats.missed == 0
        assert "a subscriber on this host is cut off" in service.log


@contextmanager
def dawdler(endpoint: str) -> Iterator[None]:
    """A subscriber that takes everything, and gives back one frame at a time, each shortly before its grace is over."""

    def dawdle(stop: StopToken) -> None:
        sock = leasing.connect(endpoint)
        assert sock is not None
        link: LeaseSocket[leasing.FromService] = LeaseSocket(sock, leasing.FromService)
        link.send(leasing.Hello(None))
        called_back: deque[int] = deque()
        with suppress(LinkClosed):
            while not stop.sleep(0.8 * GRACE_NS / NS_PER_S):
                while (word := link.receive()) is not None:
                    message, fd = word
                    if fd is not None:
                        os.close(fd)
                    elif isinstance(message, leasing.Leased):
                        link.send(leasing.Taken("all", 1))
                    elif isinstance(message, leasing.Revoked):
                        called_back.extend(message.leases)
                if called_back:
                    link.send(leasing.Freed([called_back.popleft()]))
        link.close()

    with Worker("dawdles", dawdle) as worker:
        yield
    assert worker.error is None


def test_who_gives_back_one_frame_after_the_other_costs_the_others_none(tmp_path: Path) -> None:
    with (
        Service(tmp_path, CAMERAS) as service,
        Subscriber(service.live, mode="local") as other,
        taking(other) as more,
        service.costing(),
        dawdler(service.live),
    ):
        wait_for(lambda: service.status()["local"]["cut_off"], "the cut")
        more(3)
        assert (other.stats.missed, service.status()["local"]["cut_off"]) == (0, 1)


def test_a_killed_receiver_leaves_views_whole_and_comes_back(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS) as service, Subscriber(service.live, mode="local") as local:
        before = complete(local)
        frames = frames_of(before)
        views = [frame.pixels for frame in frames]
        back_ns = service.kill_receiver()
        while (after := complete(local)).window_start_ns < back_ns:
            pass
        assert after.epoch > before.epoch
        complete(local)
        complete(local)
        assert all(is_true(frame, view) for frame, view in zip(frames, views, strict=True))


def test_what_is_held_outlives_the_subscriber_and_the_service(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS) as service:
        with Subscriber(service.live, mode="local") as local:
            frames = frames_of(complete(local))
            view = frames[0].pixels
        with service.subscribe() as live:
            for _ in range(4):
                complete(live)
        assert is_true(frames[0], view)
    assert all(is_true(frame, frame.pixels) for frame in frames), "also those that were not looked at before"


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_recordings_come_whole_also_to_who_keeps_everything(tmp_path: Path, pace: str) -> None:
    folder = find_data("four-cameras")
    cameras = streams(folder, pace, folder / "timestamps.csv")
    groups = {"rig": {"streams": list(NAMES), "max_skew_ms": 60, **PATIENCE}}
    with Service(tmp_path, cameras, groups=groups, publish={"wait_for": 1}) as service:
        with Subscriber(service.live, group="rig", mode="local") as local:
            batches = list(local)
            assert local.stats.missed == 0
        assert service.process.wait(30) == 0, service.log
    history = History()
    for batch in batches:
        history.take(batch)
    history.check()
    sets = {frozenset((name, frame.seq) for name, frame in one.frames.items()) for b in batches for one in b.sets}
    assert sets == {frozenset(one.items()) for one in reference_sets(folder)}
    if pace == "asap":  # nothing is lost for being slow, frames neither
        assert all(frame.pixels.size == frame.layout.size_bytes for batch in batches for frame in frames_of(batch))


def test_auto_takes_local_and_live_where_the_service_is_another_users(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS) as service:
        with Subscriber(service.live.replace("127.0.0.1", "localhost"), mode="auto") as auto:
            complete(auto)
            assert service.status()["local"]["subscribers"] == 1
        if os.geteuid() != 0:
            pytest.skip("only root can become somebody else")
        code = (
            "import os, sys; os.setgid(65534); os.setuid(65534)\n"
            "from syncsvc import Subscriber\n"
            "with Subscriber(sys.argv[1], mode='auto') as auto:\n"
            "    auto.receive(30); print(type(auto._inlet._inlet).__name__)"
        )
        # Its code is loaded before it becomes somebody who may not read it.
        code = "import encodings.idna, syncsvc.client.subscriber\n" + code
        done = subprocess.run(
            [sys.executable, "-c", code, service.live],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
        assert done.stdout.strip() == "LiveInlet", done.stderr
        wait_for(lambda: service.status()["local"]["subscribers"] == 0, "nobody")


def test_auto_waits_for_a_service_that_is_not_there_yet(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/live"
    with Subscriber(endpoint, mode="auto") as auto, Subscriber(endpoint, mode="local") as local:
        with pytest.raises(TimeoutError):
            auto.receive(0.2)
        with pytest.raises(TimeoutError):
            local.receive(0.2)
        with Service(tmp_path, CAMERAS, publish={"live": endpoint, "control": f"ipc://{tmp_path}/control"}) as service:
            assert complete(auto).run_id == complete(local).run_id
            wait_for(lambda: service.status()["local"]["subscribers"] == 2, "both are counted")


def test_asyncio_takes_them_too(tmp_path: Path) -> None:
    async def body(endpoint: str, mode: Any) -> list[int]:
        async with AsyncSubscriber(endpoint, mode=mode) as batches:
            with pytest.raises(TimeoutError):
                await batches.receive(0.001)
            found = [await batches.receive(30) for _ in range(3)]
            assert all(not is_gone(frame) for frame in frames_of(found[-1]))
        return [batch.seq for batch in found]

    with Service(tmp_path, CAMERAS) as service:
        for mode in ("local", "auto"):
            first, second, third = asyncio.run(body(service.live, mode))
            assert first < second < third


def test_local_is_refused_for_what_is_elsewhere() -> None:
    with pytest.raises(UsageError, match="mode 'local' is for a service on this host"):
        Subscriber("tcp://192.0.2.1:5555", mode="local")


def test_a_group_that_a_reload_brings_leaves_as_much_room_as_any(tmp_path: Path) -> None:
    first, sets = {"one": {"streams": ["a", "b"]}}, {"sets": {"streams": ["a", "b"], "window_ms": None}}
    with Service(tmp_path, CAMERAS, groups=first) as service, Subscriber(service.live, mode="local") as whole:
        complete(whole)
        service.reload(groups=first | sets)
        with Subscriber(service.live, group="sets", mode="local") as local, service.subscribe(group="sets") as clock:
            seq, count = complete(local).seq, 8  # for less than their lease
            wait_for(lambda: clock.receive(30).seq >= seq + count, "sets that wait")
            assert [local.receive(30).seq - seq for _ in range(count)] == [*range(1, count + 1)]


def test_a_live_subscriber_to_another_group_takes_nothing_from_a_local_one(tmp_path: Path) -> None:
    groups = {"short": {"streams": ["a", "b"], "window_ms": 500}, "long": {"streams": ["a", "b"]}}
    with Service(tmp_path, CAMERAS, groups=groups) as service, Subscriber(service.live, "long", mode="local") as local:
        complete(local)
        for _ in range(3):  # it comes in the middle of a window: its first batch was not copied yet
            with service.subscribe(group="short") as live:
                live.receive(30)
            complete(local)
        complete(local)
        assert local.stats.missed == 0


def test_a_batch_may_come_from_more_rings_than_are_remembered(tmp_path: Path) -> None:
    groups = {"slow": {"streams": ["a", "b"], "window_ms": 3000}}

    def capture_b_anew(seed: int) -> int:
        """From when on what arrives is another capture's, which has a ring of its own."""
        pid, captured = service.capture_pid("b"), service.status()["streams"]["b"]["captured"]
        service.reload(streams=CAMERAS | {"b": {"url": f"synthetic:?fps=30&size=320x180&seed={seed}"}})
        service.capture_pid("b", other_than=pid)
        anew_ns = SYSTEM_CLOCK.utc_ns()
        wait_for(lambda: service.status()["streams"]["b"]["captured"] > captured + 10, "frames again")
        return anew_ns

    with Service(tmp_path, CAMERAS, groups=groups) as service, Subscriber(service.live, mode="local") as local:
        local.receive(30)
        for attempt in range(8):  # until all of it falls into one window
            edges = [capture_b_anew(10 * attempt + turn) for turn in range(RINGS_KEPT)]
            batch = local.receive(30)
            while batch.window_end_ns < edges[-1]:
                batch = local.receive(30)
            spans = [*pairwise([batch.window_start_ns, *edges, batch.window_end_ns])]
            arrivals = [frame.arrival_ns for frame in batch.frames["b"]]
            if all(any(begun < arrival < ended for arrival in arrivals) for begun, ended in spans):
                break
        else:
            pytest.fail("no window had frames of so many rings")
        assert all(is_true(frame, frame.pixels) for frame in frames_of(batch))
        assert local.receive(30).seq == batch.seq + 1


@pytest.mark.parametrize("mode", ["local", "auto"])
def test_a_subscriber_that_nobody_has_any_more_leaves(tmp_path: Path, mode: Any) -> None:
    with Service(tmp_path, CAMERAS) as service:
        subscriber = Subscriber(service.live, mode=mode)
        frame = frames_of(complete(subscriber))[0]
        assert service.status()["local"]["subscribers"] == 1
        del subscriber
        wait_for(lambda: service.status()["local"]["subscribers"] == 0, "nobody")
        assert is_true(frame, frame.pixels)


def test_a_stream_that_returns_has_room_for_leases_again(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS) as service:
        without = wait_for(lambda: slots_of(service), "the rings")
        with Subscriber(service.live, mode="local") as local:
            wait_for(lambda: min(slots_of(service), default=0) > max(without), "rings with room for leases")
            room = slots_of(service)
            service.reload(streams={"a": CAMERAS["a"]})
            wait_for(lambda: "b" not in service.status()["streams"], "its end")
            service.reload(streams=CAMERAS)
            wait_for(lambda: slots_of(service) == room, "its return, with room for leases again")
            assert not any(is_gone(frame) for frame in frames_of(complete(local)))
