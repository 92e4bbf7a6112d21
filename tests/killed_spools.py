"""Spools whose process is killed, and whose bits flip: nothing acknowledged is lost, and nothing wrong served.

By hand: ``python -m tests.killed_spools COUNT [SEED]``, which does as many of each.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syncsvc import wire
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.layout import Layout
from syncsvc.lifecycle import StopToken
from syncsvc.publish.outlet import Prepared
from syncsvc.publish.store import Kept
from syncsvc.spool.index import FILE
from syncsvc.spool.plan import SpoolPlan
from syncsvc.spool.recovery import recover
from syncsvc.spool.segments import numbers_in, path_of
from syncsvc.spool.spool import Spool
from tests.batches import T0, batch, frame

TOPIC = b"batch/lobby"
GB = 10**9


def plan_of(folder: Path, **changes: Any) -> SpoolPlan:
    """A spool of group ``lobby`` that keeps everything, in segments of 640 kB."""
    plan = {"keep_ns": 10**19, "max_bytes": 10**7, "is_synced": False} | changes
    return SpoolPlan(str(folder), {"lobby": TOPIC.decode()}, **plan)


def prepared(seq: int, epoch: int = 1, *, most_bytes: int = 20_000, topic: bytes = TOPIC) -> Prepared:
    """A batch whose bytes follow from its numbers."""
    rng = random.Random(f"{epoch} {seq}")
    payload = rng.randbytes(1024 * rng.randint(1, max(1, most_bytes // 1024)))
    one = frame(
        "north", seq, T0 + seq * 10**9 + 5_000_000, Layout("gray8", 1024, len(payload) // 1024), payload=payload
    )
    item = batch(seq, epoch=epoch, run_id=f"run-{epoch}", frames={"north": [one]})
    return Prepared(item, topic, wire.encode_batch(item, {}, {}, emitted_ns=item.emitted_ns), [one], [payload])


def spool_of(plan: SpoolPlan, epoch: int = 1) -> Spool:
    """One that is not claimed and not started; a failure of its thread ends the process."""
    run_id = f"run-{epoch}"
    return Spool(plan, SYSTEM_CLOCK, run_id=run_id, epoch=epoch, on_failure=lambda name, error: os.abort())


def stored(folder: Path) -> Iterator[Kept]:
    """Everything that a spool hands out when it is opened again, as it would be sent."""
    found = recover(folder, is_synced=False)
    store = spool_of(plan_of(folder)).store
    store.open(found.index)
    place = (0, -1)
    while (one := store.after(TOPIC, place)) is not None:
        place, one = one.place, store.fetch(one) if not one.why_not else one
        yield one
    found.index.check()
    found.index.close()
    store.close()
    if found.damages:
        raise AssertionError(f"{found.damages} damages")


def _host(folder: Path, epoch: int, acknowledge: int) -> None:
    """Write batches as fast as can be, and say how many are acknowledged, until somebody kills us."""
    spool = spool_of(plan_of(folder), epoch)
    spool.claim()
    spool.start()
    seq = told = 0
    while True:
        if seq - told < 8:
            spool.send(prepared(seq, epoch), lambda: True)
            seq += 1
        told = spool.status().written
        os.write(acknowledge, told.to_bytes(4, "little"))


def _kill_one(folder: Path, epoch: int, rng: random.Random) -> int:
    """How many batches of this epoch were acknowledged before the kill."""
    ours, theirs = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            _host(folder, epoch, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    told, enough = 0, rng.choice((0, 1, rng.randint(1, 60)))  # 0: while it begins
    while told < enough:
        told = _last(os.read(ours, 1 << 20), told)
    StopToken().sleep(rng.uniform(0, 0.01))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while data := os.read(ours, 1 << 20):
        told = _last(data, told)
    os.close(ours)
    return told


def _last(data: bytes, before: int) -> int:
    """The last number of those that were told; each is written in one piece."""
    return int.from_bytes(data[-4:], "little") if data else before


def kill_spools(folder: Path, count: int, seed: int) -> list[str]:
    """Kill so many writers of one spool; what is wrong with what they left."""
    rng, problems = random.Random(seed), list[str]()
    acknowledged: dict[int, int] = {}
    for epoch in range(1, count + 1):
        acknowledged[epoch] = _kill_one(folder, epoch, rng)
        if rng.random() < 0.1:
            (folder / FILE).unlink(missing_ok=True)
        if epoch % 10 and epoch != count:
            continue
        found: dict[int, list[int]] = {}
        for one in stored(folder):
            should = prepared(one.mark.seq, one.mark.epoch)
            if one.why_not or (one.header, b"".join(one.payloads)) != (should.header, b"".join(should.copies)):
                problems.append(f"epoch {one.mark.epoch}, batch {one.mark.seq}: {one.why_not or 'other bytes'}")
            found.setdefault(one.mark.epoch, []).append(one.mark.seq)
        oldest = min(found, default=0)
        for one_epoch, number in acknowledged.items():
            seqs = found.get(one_epoch, [])
            first = seqs[0] if one_epoch == oldest else 0  # what was before it was let go of
            if one_epoch >= oldest and (seqs != list(range(first, first + len(seqs))) or first + len(seqs) < number):
                problems.append(f"epoch {one_epoch}: {number} acknowledged, here are {seqs[:3]}..{seqs[-3:]}")
    if not any(acknowledged.values()):
        problems.append("nothing was acknowledged")
    return problems


def flip_bits(folder: Path, count: int, seed: int) -> list[str]:
    """Flip one bit each time, in a spool that was closed or killed, with its index and without; what is wrong."""
    rng, problems = random.Random(seed), list[str]()
    original = folder / "original"
    spool = spool_of(plan_of(original, max_bytes=GB))
    spool.claim()
    spool.start()
    for seq in range(20):
        spool.send(prepared(seq, most_bytes=4096), lambda: True)
    spool.end(lambda: b"", lambda: True, is_over=True, linger_ms=-1)
    spool.close()
    for number in range(count):
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        path = path_of(copy, rng.choice(numbers_in(copy)))
        data = bytearray(path.read_bytes())
        bit = rng.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        if number % 2:
            (copy / FILE).unlink()
        problems += [f"bit {bit}, {'without' if number % 2 else 'with'} index: {one}" for one in _look(copy)]
    return problems


def _look(folder: Path) -> list[str]:
    problems, good, told = list[str](), 0, 0
    try:
        for one in stored(folder):
            should = prepared(one.mark.seq, one.mark.epoch, most_bytes=4096)
            if one.why_not:
                told += 1
            elif (one.header, b"".join(one.payloads)) != (should.header, b"".join(should.copies)):
                problems.append(f"batch {one.mark.seq} is not what was written")
            else:
                good += 1
    except AssertionError:
        told += 1
    if not told:
        problems.append("nothing was reported")
    if good < 19:
        problems.append(f"only {good} of 20 are left")
    return problems


if __name__ == "__main__":
    number, its_seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as place:
        wrong = kill_spools(Path(place, "kills"), number, its_seed) + flip_bits(Path(place, "flips"), number, its_seed)
    sys.exit("\n".join(wrong[:20]) or 0)
