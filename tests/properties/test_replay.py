"""A log replays: whatever a group was told, told again it makes the same batches, byte for byte."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from syncsvc.audit.decisions import Changes, Replay, WhatIf
from syncsvc.layout import Layout
from syncsvc.model import FrameBatch, StreamState
from syncsvc.observe.events import Doubt, Draining, Drop, Expect, Reconfigure, State
from syncsvc.observe.records import AnyRecord, decode
from syncsvc.testing import MS, TINY, GroupBench, S, frame
from tests.logs import LoggedBench, lines_of

STREAMS = ("a", "b", "c")
OTHER = Layout("gray8", 8, 2)

names = st.sampled_from(STREAMS)
frames = st.tuples(st.just("add"), names, st.sampled_from([0, 1, 5, 40, 90, 300]), st.booleans())
bursts = st.tuples(st.just("burst"), st.lists(st.tuples(names, st.integers(0, 25)), min_size=3, max_size=6))
steps = (
    frames
    | bursts
    | bursts
    | st.tuples(st.just("pass"), st.integers(0, 80))
    | st.tuples(st.just("expect"), names)
    | st.tuples(st.just("drop"), names, st.integers(1, 3))
    | st.tuples(st.just("state"), names, st.sampled_from(StreamState))
    | st.tuples(st.just("doubt"), names, st.booleans())
)
jumps = st.tuples(st.just("jump"), st.sampled_from([-20 * S, -700 * MS, 700 * MS, 20 * S]), names)
reloads = st.tuples(st.just("reload"), st.sets(names, min_size=1), st.sampled_from([5, 15]), st.none() | names)
ends = st.tuples(st.just("drain"))


class Script(LoggedBench):
    """A bench that takes the steps of a script."""

    def __init__(self, **options: Any) -> None:
        self.seqs, self.times = dict.fromkeys(STREAMS, 0), dict.fromkeys(STREAMS, 0)
        super().__init__(STREAMS, max_skew_ms=15, max_latency_ms=60, **options)

    def take(self, step: tuple[Any, ...]) -> None:
        """One step of a script."""
        match step:
            case ("add", name, ago_ms, is_other):
                time_ns = max(self.times[name] + 1, self.utc.now_utc() - ago_ms * MS)
                self.times[name], self.seqs[name] = time_ns, self.seqs[name] + 1
                layout = OTHER if is_other else TINY
                arrival_ns = self.utc.now_utc()
                self.group.tell(frame(name, self.seqs[name], time_ns, arrival_ns=arrival_ns, layout=layout))
            case ("burst", some):
                for name, ago_ms in sorted(some, key=lambda one: -one[1]):
                    self.take(("add", name, ago_ms, False))
                self.pass_to(self.clock.utc_ns() + 20 * MS)
            case ("pass", ms):
                self.pass_to(self.clock.utc_ns() + ms * MS)
            case ("expect", name):
                self.group.tell(Expect(name, self.times[name] or self.utc.now_utc() - S))
            case ("drop", name, count):
                self.group.tell(Drop(name, "ring_full", count))
            case ("state", name, state):
                self.group.tell(State(name, state))
            case ("doubt", name, is_doubtful):
                self.group.tell(Doubt(name, is_doubtful))
            case ("jump", ns, name):
                self.clock.step_utc(ns)
                self.utc.update()
                self.take(("add", name, 0, False))  # between the jump and its notice
                self.times = dict.fromkeys(STREAMS, 0)
                self.group.jump(self.epoch + 1)
            case ("reload", streams, skew_ms, reference):
                chosen = tuple(name for name in STREAMS if name in streams)
                other = GroupBench(
                    chosen, max_skew_ms=skew_ms, max_latency_ms=60, reference=reference if reference in chosen else None
                )
                rules = structs.replace(other.rules, window_ns=self.rules.window_ns)
                self.group.tell(Reconfigure(rules))
            case ("drain",):
                self.group.tell(Draining())
        self.settle()

    @property
    def epoch(self) -> int:
        """The epoch of the last batch, or the first one."""
        return self.batches[-1].epoch if self.batches else 1


def play(script: list[tuple[Any, ...]], **options: Any) -> Script:
    bench = Script(**options)
    for step in script:
        bench.take(step)
    bench.finish()
    return bench


def as_read(bench: Script) -> list[AnyRecord]:
    """The bench's log after a round trip through its lines."""
    return [decode(line) for line in lines_of(bench.log())]


scripts = st.lists(steps | jumps | reloads | ends, min_size=10, max_size=40)
windows = st.sampled_from([100, None])


@given(scripts, st.booleans(), windows)
def test_any_script_replays_to_the_same_bytes(
    script: list[tuple[Any, ...]], is_patient: bool, window_ms: int | None
) -> None:
    bench = play(script, is_patient=is_patient, window_ms=window_ms)
    replay = Replay("log")
    found = [replay.feed(number, record) for number, record in enumerate(as_read(bench), 1)]
    assert [one.header for one in found if one is not None] == bench.sent
    assert not replay.losses


@given(scripts, st.booleans(), windows)
def test_the_settings_of_the_run_give_what_the_run_gave(
    script: list[tuple[Any, ...]], is_patient: bool, window_ms: int | None
) -> None:
    """Batches that leave by themselves, at the recorded times, leave as they did."""
    bench = play(script, is_patient=is_patient, window_ms=window_ms)
    what_if = WhatIf(Changes())
    found = [one.batch for record in as_read(bench) for one in what_if.feed(record)]
    assert list(map(told, found)) == list(map(told, bench.batches))


def told(batch: FrameBatch) -> Any:
    """Everything that a batch says, but when it left."""
    return (
        (batch.epoch, batch.seq, batch.window_start_ns, dict(batch.missing), dict(batch.counts)),
        {name: [(one.seq, one.time_ns) for one in some] for name, some in batch.frames.items()},
        [{name: one.seq for name, one in some.frames.items()} for some in batch.sets],
    )
