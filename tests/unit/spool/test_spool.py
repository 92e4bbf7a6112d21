"""A spool in a folder: what it hands out, what it lets go of, and a disk that is full."""

import errno
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncsvc import appending
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import BindError
from syncsvc.publish.layers import Layers
from syncsvc.publish.outlet import kept
from syncsvc.publish.store import MemoryStore
from syncsvc.spool import segments
from syncsvc.spool.index import FILE
from syncsvc.spool.segments import claim, numbers_in, path_of
from syncsvc.spool.spool import Spool
from syncsvc.wire import Place
from tests.batches import T0
from tests.e2e.harness import wait_for
from tests.killed_spools import TOPIC, flip_bits, plan_of, prepared, spool_of, stored


@contextmanager
def running(folder: Path, epoch: int = 1, **changes: Any) -> Iterator[Spool]:
    """A spool that writes, and is ended."""
    spool = spool_of(plan_of(folder, **changes), epoch)
    spool.claim()
    spool.start()
    wait_for(lambda: spool.store.is_open, "the index")
    try:
        yield spool
    finally:
        spool.end(lambda: b"", lambda: True, is_over=False, linger_ms=-1)
        spool.close()


def write(spool: Spool, seqs: Sequence[int], epoch: int = 1, **how: Any) -> None:
    """Put batches there, and wait until each is, or is counted as missing."""
    for seq in seqs:
        spool.send(prepared(seq, epoch, **how), lambda: True)
    wait_for(lambda: not spool.status().waiting, "the disk")


def places_of(store: Any, topic: bytes = TOPIC) -> list[tuple[int, int, str]]:
    """Everything that a store has, by numbers, with why some are not here; each is fetched."""
    found, place = list[tuple[int, int, str]](), (0, -1)
    while (one := store.after(topic, place)) is not None:
        place = one.place
        found.append((*place, one.why_not or store.fetch(one).why_not))
    return found


def here(*seqs: int, epoch: int = 1) -> list[tuple[int, int, str]]:
    return [(epoch, seq, "") for seq in seqs]


def test_what_was_sent_is_handed_out_byte_for_byte_over_restarts_and_under_what_it_holds_too(tmp_path: Path) -> None:
    with running(tmp_path) as spool:
        write(spool, range(4))
        assert places_of(spool.store) == here(*range(4))
    with running(tmp_path, epoch=2) as spool:
        newest = spool.store.newest(TOPIC)
        assert newest is not None
        assert newest.place == (2, -1), "who wants what comes from now on is not told of what was"
        write(spool, range(2), epoch=2)
        assert places_of(spool.store) == here(*range(4)) + here(0, 1, epoch=2)
        for place in ((1, 2), (2, 0)):
            should, found = prepared(place[1] + 1, place[0]), spool.store.after(TOPIC, place)
            assert found is not None
            one = spool.store.fetch(found)
            assert (one.header, [bytes(part) for part in one.payloads]) == (should.header, should.copies)
            for topic, number in ((b"coded/lobby", 1), (b"head/lobby", 0)):
                other = spool.store.after(topic, place)
                assert other is not None
                other = spool.store.fetch(other)
                assert (other.topic, other.header, len(other.payloads)) == (topic, should.header, number)
        found = spool.store.at(TOPIC, T0 + 2 * 10**9)
        assert found is not None
        assert found.place == (1, 2)


def test_memory_and_disk_are_one_history_without_a_seam(tmp_path: Path) -> None:
    near = MemoryStore(3, 1 << 20)
    with running(tmp_path) as spool:
        layers = Layers(near, spool.store)
        for seq in range(10):
            spool.send(prepared(seq), lambda: True)
            if seq >= 5:  # somebody came
                near.append(kept(prepared(seq), seq))
            assert places_of(layers) == here(*range(seq + 1)), "whatever is written, waits, or is in memory"
        wait_for(lambda: not spool.status().waiting, "the disk")
        oldest, newest = layers.oldest(TOPIC), layers.newest(TOPIC)
        assert oldest is not None
        assert newest is not None
        assert (oldest.place, newest.place) == ((1, 0), (1, 9))
        place: Place = (1, 8)
        last = layers.after(TOPIC, place)
        assert last is near.after(TOPIC, place), "from memory, where it is there"


def test_the_oldest_segments_go_as_a_whole_so_that_it_never_takes_more_than_it_may(tmp_path: Path) -> None:
    with running(tmp_path, max_bytes=1_500_000) as spool:
        for seq in range(0, 200, 10):
            write(spool, range(seq, seq + 10))
            assert sum(path_of(tmp_path, number).stat().st_size for number in numbers_in(tmp_path)) <= 1_500_000
        found = places_of(spool.store)
        status = spool.status()
        assert found == here(*range(found[0][1], 200))
        assert 10 < found[0][1] < 190
        assert (status.batches, status.segments) == (len(found), len(numbers_in(tmp_path)))
        assert not any(status.skipped.values())
    with running(tmp_path, epoch=2, keep_ns=3600 * 10**9) as spool:
        wait_for(lambda: not spool.status().batches, "the end of what is too old")
        assert not numbers_in(tmp_path)


def test_a_full_disk_pauses_it_with_an_alarm_and_it_goes_on_by_itself_with_a_gap_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_full, pwrite = [False], os.pwrite

    def write_or_not(fd: int, data: Any, at: int) -> int:
        if is_full[0]:
            pwrite(fd, bytes(data[:100]), at)
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, data, at)

    monkeypatch.setattr(appending.os, "pwrite", write_or_not)
    with running(tmp_path) as spool:
        write(spool, range(3))
        is_full[0] = True
        write(spool, range(3, 6))
        status = spool.status()
        assert (status.state, status.problem, status.pauses) == ("paused", "the disk is full", 1)
        assert status.skipped == {"too_slow": 0, "disk_full": 3, "not_written": 0}
        is_full[0] = False
        seq = 6
        while spool.status().state == "paused":
            write(spool, [seq])
            seq += 1
        write(spool, [seq])
        found = places_of(spool.store)
        assert found[:3] == here(0, 1, 2)
        assert found[-2:] == here(seq - 1, seq)
        missing = seq + 1 - len(found)
        assert spool.status().skipped["disk_full"] == missing
        assert f"it goes on; {missing} batches are missing" in caplog.text
        assert caplog.text.count("paused, the disk is full") == 1
    assert [one.mark.seq for one in stored(tmp_path)] == [seq for _, seq, _ in found]


def test_a_small_disk_that_is_really_full_costs_what_comes_then_and_nothing_of_before(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody may mount a small disk here")
    try:
        ballast, folder = tmp_path / "ballast", tmp_path / "spool"
        with running(folder, max_bytes=10**9) as spool:
            write(spool, range(10))
            ballast.write_bytes(bytes(1_500_000))
            seq = 10
            while spool.status().state != "paused":
                write(spool, [seq])
                seq += 1
            ballast.unlink()
            while spool.status().state == "paused":
                write(spool, [seq])
                seq += 1
            write(spool, [seq])
            found, skipped = places_of(spool.store), spool.status().skipped
            assert found[:10] == here(*range(10))
            assert found[-1] == (1, seq, "")
            assert len(found) + skipped["disk_full"] == seq + 1
        assert [one.mark.seq for one in stored(folder)] == [one for _, one, _ in found]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_disk_that_does_not_keep_up_costs_batches_that_are_counted_and_nobody_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_of(plan_of(tmp_path))  # nobody writes
    for seq in range(300):
        spool.send(prepared(seq, most_bytes=1024), lambda: False)
    status = spool.status()
    assert (status.waiting, status.skipped["too_slow"]) == (256, 44)
    assert "does not keep up" in caplog.text
    newest = spool.store.newest(TOPIC)
    assert newest is not None
    assert newest.place == (1, 299)
    assert places_of(spool.store)[-1] == (1, 255, ""), "and what waits is read already"


def test_a_bit_that_flipped_is_reported_and_never_served(tmp_path: Path) -> None:
    assert flip_bits(tmp_path, 60, random.randrange(1 << 30)) == []


def test_damage_while_it_runs_is_one_gap_of_its_own_reason_and_is_remembered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as spool:
        write(spool, range(3))
        row = spool.store.after(TOPIC, (1, 0))
        assert row is not None
        path = path_of(tmp_path, 1)
        data = path.read_bytes().replace(prepared(1).copies[0][:64], bytes(64))
        path.write_bytes(data)
        assert places_of(spool.store) == [(1, 0, ""), (1, 1, "damaged"), (1, 2, "")]
        assert places_of(spool.store) == [(1, 0, ""), (1, 1, "damaged"), (1, 2, "")]
        wait_for(lambda: spool.status().damaged == 1, "the report")
        assert caplog.text.count("batch 1 of lobby, epoch 1") == 1
    assert [one.why_not for one in stored(tmp_path)] == ["", "damaged", ""]


@pytest.mark.parametrize("harm", ["gone", "garbage", "older"])
def test_an_index_that_is_not_sound_is_made_again_from_the_segments(tmp_path: Path, harm: str) -> None:
    with running(tmp_path) as spool:
        write(spool, range(3))
        older = (tmp_path / FILE).read_bytes()
    with running(tmp_path, epoch=2) as spool:
        write(spool, range(3), epoch=2)
    index = tmp_path / FILE
    if harm == "gone":
        index.unlink()
        (tmp_path / f"{FILE}-wal").write_bytes(b"of another one")
    else:
        index.write_bytes(older if harm == "older" else bytes(4096) * 4)
    assert [one.place for one in stored(tmp_path)] == [(epoch, seq) for epoch in (1, 2) for seq in range(3)]
    assert sqlite3.connect(index).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_folder_is_of_one_service_and_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "CLAIM_NS", 0)
    lock = claim(tmp_path / "spool", SYSTEM_CLOCK)
    with pytest.raises(BindError, match=f"spool.folder {tmp_path}/spool: another service spools there; allowed: a "):
        claim(tmp_path / "spool", SYSTEM_CLOCK)
    os.close(lock)
    os.close(claim(tmp_path / "spool", SYSTEM_CLOCK))
    (tmp_path / "file").touch()
    with pytest.raises(BindError, match="allowed: a folder that can be written"):
        claim(tmp_path / "file", SYSTEM_CLOCK)
