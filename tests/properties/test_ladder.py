"""A stream's clock whatever its source says: times rise, rungs change on edges, nothing is held too long."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.model import ClockClass, Observation
from syncsvc.testing import MS, T0, S, observation
from syncsvc.timing.ladder import Stamp, StreamClock, rungs_for
from syncsvc.timing.rungs import ArrivalRung, Rung

EDGE = S


class SwitchRung:
    """A rung whose gate and whose lag behind arrival a test sets, frame by frame."""

    clock: ClockClass = "rtcp"

    problem = "closed by the script"
    is_lying = False

    def __init__(self) -> None:
        self.is_open = False

    @property
    def is_settled(self) -> bool:
        return self.is_open

    def host_jumped(self) -> None:
        """The script knows no host."""

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """The script is in the pts: negative means closed, else the lag."""
        assert seen.pts_ns is not None
        self.is_open = seen.pts_ns >= 0

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int]:
        return arrival_ns - max(0, seen.pts_ns or 0), MS


def switching(hold_ns: int = 300 * MS, edge_ns: int = EDGE) -> StreamClock:
    def make() -> list[Rung]:
        return [SwitchRung(), ArrivalRung(0)]

    return StreamClock(make, hold_ns=hold_ns, edge_ns=edge_ns, to_utc=lambda mono: mono + T0)


@st.composite
def scripts(draw: st.DrawFn) -> list[Observation]:
    """Frames 5 to 100 ms apart whose better clock opens, closes and lags by up to a second, as it likes."""
    arrival, seen = 0, []
    for seq in range(draw(st.integers(1, 80))):
        arrival += draw(st.integers(5, 100)) * MS
        pts = draw(st.sampled_from([None, -1, 0, 50 * MS, 900 * MS]))
        seen.append(observation(seq, arrival, pts_ns=seen[-1].pts_ns if pts is None and seen else pts or 0))
    return seen


def run(clock: StreamClock, script: Sequence[Observation]) -> list[Stamp]:
    stamps = [stamp for seen in script for stamp in clock.observe(seen)]
    return stamps + clock.expire(T0 + 10**15)


@given(scripts())
def test_times_rise_strictly_and_no_frame_is_lost(script: list[Observation]) -> None:
    stamps = run(switching(), script)
    assert [stamp.observation for stamp in stamps] == script
    times = [stamp.time_ns for stamp in stamps]
    assert all(before < after for before, after in pairwise(times))


@given(scripts())
def test_the_rung_changes_only_where_the_time_passes_an_edge(script: list[Observation]) -> None:
    stamps = run(switching(), script)
    for before, after in pairwise(stamps):
        if before.clock != after.clock:
            assert before.time_ns // EDGE < after.time_ns // EDGE


@given(scripts())
def test_a_time_that_was_moved_says_by_how_much(script: list[Observation]) -> None:
    for stamp in run(switching(), script):
        pts = stamp.observation.pts_ns
        assert pts is not None
        if pts < 0 and stamp.clock == "rtcp":
            continue  # its gate is closed: time passes as arrivals say, until the edge
        own = stamp.arrival_ns - max(0, pts) if stamp.clock == "rtcp" else stamp.arrival_ns
        assert abs(stamp.time_ns - own) <= stamp.uncertainty_ns


@given(scripts(), st.integers(0, 500))
def test_nothing_is_held_longer_than_the_budget(script: list[Observation], hold_ms: int) -> None:
    clock = switching(hold_ns=hold_ms * MS)
    held: dict[int, int] = {}
    for seen in script:
        arrival = seen.arrival_mono_ns + T0
        for stamp in clock.expire(arrival):
            held.pop(stamp.observation.seq)
        assert all(arrival - since < hold_ms * MS for since in held.values())
        held[seen.seq] = arrival
        for stamp in clock.observe(seen):
            held.pop(stamp.observation.seq)
        assert clock.held_since_ns == min(held.values(), default=None)


@given(scripts(), st.integers(0, 79))
def test_a_new_session_gives_back_what_was_held_and_times_go_on_rising(script: list[Observation], place: int) -> None:
    clock = switching(hold_ns=10 * S)
    before = [stamp for seen in script[:place] for stamp in clock.observe(seen)] + clock.new_session()
    assert clock.held_since_ns is None
    assert [stamp.observation for stamp in before] == script[:place]
    stamps = before + run(clock, script[place:])
    assert [stamp.observation for stamp in stamps] == script
    assert all(a.time_ns < b.time_ns for a, b in pairwise(stamps))


@given(st.sampled_from([3600 * S, -3600 * S, 2 * S, -2 * S]), st.sampled_from(["rtsp", "v4l2", "http"]), st.booleans())
def test_when_the_host_jumps_times_go_with_it(jump: int, kind: str, is_held: bool) -> None:
    offset = T0
    clock = StreamClock(
        lambda: rungs_for("auto", kind, 0, lambda mono: mono + offset),
        hold_ns=10 * S if is_held else 0,
        edge_ns=EDGE,
        to_utc=lambda mono: mono + offset,
    )
    stamp_kind = "kernel" if kind == "v4l2" else ""

    def see(seq: int) -> list[Stamp]:
        arrival = seq * 40 * MS
        return clock.observe(observation(seq, arrival, arrival - 20 * MS if stamp_kind else None, stamp_kind))

    for seq in range(50):
        see(seq)
    offset += jump
    after = [stamp for seq in range(50, 100) for stamp in see(seq)] + clock.expire(offset + 3600 * S)
    late = 20 * MS if stamp_kind else 0
    assert after[-50:]
    assert [stamp.time_ns for stamp in after[-50:]] == [offset + seq * 40 * MS - late for seq in range(50, 100)]
