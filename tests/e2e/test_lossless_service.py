"""Mode ``lossless`` of the real service: recordings, cameras, and processes that are killed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from syncsvc import Gap, Subscriber, SubscriptionEnded
from tests.e2e.harness import LIMIT_S, Service, patient, wait_for
from tests.mutated_files import FRAMES, film


def test_recordings_wait_for_who_is_slow_and_for_who_comes_back_and_everybody_gets_the_same(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", "mkv")
    streams = {"a": {"url": "file:a.mkv", "pace": "asap", "coded": True}}
    publish = {"wait_for": 3, "history": 2}
    groups = {"all": {"streams": ["a"], "window_ms": 200}}
    with (
        Service(tmp_path, streams, publish=publish, groups=groups) as service,
        service.subscribe(group="all") as live,
        Subscriber(service.live, "all", "lossless", payload="coded", start="oldest") as coded,
    ):
        seen, wanted, coded_frames = [], [], 0
        with Subscriber(service.live, "all", "lossless", name="slow") as before:
            wait_for(lambda: service.status()["lossless"]["subscribers"] == 2, "both of them")
            for _ in range(4):
                seen.append(noted(before))
                wanted.append(noted(live))
                coded_frames += sum(len(pixels) > 0 for pixels in noted(coded)[1])
        with Subscriber(service.live, "all", "lossless", name="slow") as after:
            header, pixels = noted(after)
            assert header.pop("redelivered")
            assert (header, pixels) == seen[-1]
            while coded_frames < FRAMES:
                coded_frames += sum(len(pixels) > 0 for pixels in noted(coded)[1])
                wanted.append(noted(live))
                seen.append(noted(after))
            assert seen == wanted
            assert sum(len(pixels) for _, pixels in seen) == coded_frames == FRAMES
            with pytest.raises(SubscriptionEnded):
                after.receive(LIMIT_S)
        assert service.process.wait(LIMIT_S) == 0, service.log
        assert not after.stats.gaps


def noted(batches: Subscriber) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the payloads of the next batch."""
    batch = batches.receive(LIMIT_S)
    return dict(batches.header), [bytes(frame.pixels) for frame in batch.frames["a"]]


def test_a_full_history_takes_no_slot_and_a_receiver_that_is_killed_leaves_a_gap_that_is_told(tmp_path: Path) -> None:
    streams = {"a": {"url": "synthetic:?fps=25&size=320x180"}}
    groups = patient("a", window_ms=100)
    with (
        Service(tmp_path, streams, publish={"history": 200, "history_mb": 4}, groups=groups) as service,
        Subscriber(service.live, "all", "lossless", gaps="yield") as batches,
    ):
        first = batches.receive(LIMIT_S)
        full = wait_for(lambda: (now := service.status()["lossless"])["size_bytes"] > 3 << 20 and now, "a full history")
        assert full["size_bytes"] <= 4 << 20
        assert not service.status()["groups"]["all"]["counts"]["a"]["dropped"]
        assert "mode lossless: batch/all is kept from now on" in service.log
        assert "history  for mode lossless, all: 200 batches, 20 s, of 0 MiB each:" in service.log
        service.kill_receiver()
        last, gaps = first, []
        while last.epoch == first.epoch:
            item = batches.receive(LIMIT_S)
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                last = item
        assert gaps[-1].reason == "restarted"
        assert gaps[-1].last_window_ns < last.window_start_ns
        assert batches.receive(LIMIT_S).seq == last.seq + 1
        assert service.stop() == 0


def test_subscribers_that_are_killed_and_readers_that_stall_lose_nothing_in_silence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.lossless_trials", "--kills", "5", "--batches", "300"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=4 * LIMIT_S, check=False)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert tried.stdout.count("nothing lost") == 2
