"""What mode ``lossless`` promises, tried by chance: subscribers that are killed, readers that stall, connections cut.

``python -m tests.lossless_trials --kills 100 --batches 10000`` tries as many and prints what went wrong; the suite
tries a few (``tests/e2e/test_lossless_service.py``).
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

from syncsvc import FrameBatch, Gap, Subscriber
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.e2e.lossless_service import LosslessService

MOST_ALIVE_S = 0.6
"""Until a subscriber is killed: some find no service yet, some have several batches."""


@dataclass
class Outcome:
    """What came of a trial; ``problems`` says what went wrong."""

    batches: int
    again: int
    gaps: int
    problems: list[str]

    def __str__(self) -> str:
        return f"{self.batches} batches, {self.again} came again, {self.gaps} gaps; {self.problems or 'nothing lost'}"


def kill_subscribers(folder: Path, count: int, seed: int) -> Outcome:
    """A named subscription whose process is killed at random moments; every process notes each batch that it had."""
    rng, notes = Random(seed), folder / "notes"
    publish = {"history": 1000, "live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"}
    groups = {"all": {"streams": ["a"], "window_ms": 100, "max_latency_ms": 3000}}
    streams = {"a": {"url": "synthetic:?fps=50&size=160x96"}}
    with Service(folder, streams, publish=publish, groups=groups) as service:
        for number in range(count + 1):
            with notes.open("ab") as file:
                file.write(b"process\n")
            child = os.fork()
            if not child:
                _note_batches(service.live, notes)
            try:
                if number < count:
                    threading.Event().wait(rng.uniform(0, MOST_ALIVE_S))  # the moment is what is tried
                else:
                    _until_noted(notes, int(service.status()["groups"]["all"]["batches"]) - 1)
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    return _judge(notes.read_text())


def _note_batches(live: str, notes: Path) -> None:
    """The subscriber that is killed."""
    try:
        with Subscriber(live, "all", "lossless", name="victim", gaps="yield") as batches, notes.open("ab", 0) as file:
            for item in batches:
                word = "gap" if isinstance(item, Gap) else f"{item.seq} {int(item.redelivered)}"
                file.write(f"{word}\n".encode())
    finally:
        os._exit(1)


def _until_noted(notes: Path, seq: int) -> None:
    def is_noted() -> bool:
        words = [line.split() for line in notes.read_text().splitlines()]
        return any(len(some) == 2 and int(some[0]) >= seq for some in words)

    wait_for(is_noted, f"batch {seq}", LIMIT_S)


def _judge(notes: str) -> Outcome:
    outcome, last, is_first = Outcome(0, 0, 0, []), -1, True
    for line in notes.splitlines():
        if line == "process":
            is_first = True
        elif line == "gap":
            outcome.gaps += 1
        else:
            seq, is_marked = map(int, line.split())
            is_again = seq == last
            if last >= 0 and not is_again and seq != last + 1:
                outcome.problems.append(f"{seq} follows {last}")
            if is_again and not (is_first and is_marked):
                outcome.problems.append(f"{seq} came again, and was not said to")
            if is_marked and not is_first:
                outcome.problems.append(f"{seq} is marked, and was not in hand")
            outcome.batches += 1
            outcome.again += is_again
            last, is_first = seq, False
    if outcome.gaps:
        outcome.problems.append(f"{outcome.gaps} gaps")
    return outcome


def stall(folder: Path, count: int, seed: int) -> Outcome:
    """A reader that stalls for more batches than the history has, and whose connection is cut now and then."""
    rng, outcome = Random(seed), Outcome(0, 0, 0, [])
    with (
        LosslessService(folder) as service,
        Subscriber(service.live, "lobby", "lossless", gaps="yield") as batches,
    ):
        service.until_subscribed()
        put = seen = 0
        while put < count:
            number = min(count - put, rng.randint(1, 14))
            service.put(range(put, put + number))
            put += number
            if rng.random() < 0.01:
                service.cut_connections()
            while seen < put:
                item = batches.receive(LIMIT_S)
                first = item.first_seq if isinstance(item, Gap) else item.seq
                if first != seen:
                    outcome.problems.append(f"{item} follows {seen - 1}")
                seen = 1 + (item.last_seq if isinstance(item, Gap) else item.seq)
                outcome.batches += isinstance(item, FrameBatch)
                outcome.gaps += isinstance(item, Gap)
        if batches.stats.missed + batches.stats.received != count:
            outcome.problems.append(f"{batches.stats} of {count}")
    return outcome


def main() -> int:
    """Try many; the exit code tells whether one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcomes = []
    for trial, number in ((kill_subscribers, options.kills), (stall, options.batches)):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(trial(Path(folder), number, options.seed))
            sys.stdout.write(f"{trial.__name__} {number}: {outcomes[-1]}\n")
    return 1 if any(outcome.problems for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
