"""The daemon with a spool: who begins in the past goes on into the present, over every restart."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from syncsvc import FrameBatch, Gap
from tests.e2e.harness import LIMIT_S, Service, wait_for

STREAMS = {name: {"url": f"synthetic:?fps=10&seed={seed}", "pixels": "jpeg"} for seed, name in enumerate(("a", "b"), 1)}
OPTIONS: dict[str, Any] = {
    "groups": {"lobby": {"streams": ["a", "b"], "window_ms": 200, "max_latency_ms": 3000}},
    "spool": {"folder": "spool"},
    "publish": {"history": 2},
}


def read(service: Service, until: tuple[int, int], **how: Any) -> list[FrameBatch | Gap]:
    """Everything up to a batch."""
    found: list[FrameBatch | Gap] = []
    with service.subscribe(group="lobby", mode="lossless", gaps="yield", **how) as batches:
        while not (found and isinstance(found[-1], FrameBatch) and (found[-1].epoch, found[-1].seq) >= until):
            found.append(batches.receive(LIMIT_S))
    return found


def written(service: Service, number: int, before: int = 0) -> tuple[int, int]:
    """Wait until so many batches of a receiver are on the disk, of a later epoch than ``before``; the last of them."""

    def look() -> dict[str, Any] | None:
        status = service.status()
        return status if (status["epoch"] or 0) > before and status["spool"]["written"] >= number else None

    status = wait_for(look, f"{number} batches")
    return status["epoch"], number - 1


def places(found: list[FrameBatch | Gap]) -> list[tuple[int, int]]:
    return [(one.epoch, one.seq) for one in found if isinstance(one, FrameBatch)]


def test_who_begins_in_the_past_gets_it_byte_for_byte_and_then_the_present_over_every_restart(tmp_path: Path) -> None:
    with Service(tmp_path, STREAMS, **OPTIONS) as service:
        with service.subscribe(group="lobby") as live:
            seen = [live.receive(LIMIT_S) for _ in range(3)]
        first = written(service, seen[-1].seq + 6)
        found = read(service, (first[0], first[1] + 3), start="oldest")
        assert places(found) == [(first[0], seq) for seq in range(len(found))], "past and present without a seam"
        for one in seen:
            twin = found[one.seq]
            assert isinstance(twin, FrameBatch)
            assert twin.emitted_ns == one.emitted_ns
            pixels = [[bytes(frame.pixels) for some in it.frames.values() for frame in some] for it in (twin, one)]
            assert pixels[0] == pixels[1]
        middle = (seen[1].window_start_ns + seen[1].window_end_ns) // 2
        for start in (middle, (seen[1].epoch, seen[1].seq)):
            assert places(read(service, first, start=start))[0] == (seen[1].epoch, seen[1].seq)
        for payload in ("coded", None):
            assert places(read(service, first, start="oldest", payload=payload))[0] == (first[0], 0)
        assert places(read(service, (0, 0)))[0] > first, "who does not ask for the past gets what comes"
        twin_path = tmp_path / "twin.yaml"
        shutil.copy(service.path, twin_path)
        command = [sys.executable, "-m", "syncsvc", "run", str(twin_path)]
        other = subprocess.run(command, capture_output=True, text=True)
        assert other.returncode == 78
        assert f"spool.folder {tmp_path}/spool: another service spools there" in other.stderr
        service.kill_receiver()
        second = written(service, 2, first[0])
        os.killpg(service.process.pid, 9)
    with Service(tmp_path, STREAMS, **OPTIONS) as service:
        third = written(service, 2, second[0])
        found = read(service, third, start="oldest")
        assert [epoch for epoch, seq in places(found) if seq == 0] == [first[0], second[0], third[0]]
        for epoch, least in (first, second, third):
            seqs = [seq for its_epoch, seq in places(found) if its_epoch == epoch]
            assert seqs == list(range(len(seqs)))
            assert len(seqs) > least, "what was acknowledged is there"
        gaps = [one for one in found if isinstance(one, Gap)]
        assert [gap.reason for gap in gaps] == ["restarted"] * 2, "the windows in which nobody emitted"
        assert places(read(service, (0, 0)))[0] > third, "nor does who comes now hear of what was before"
        assert service.stop() == 0
