"""The one mapper from monotonic time to UTC: slow where the host is a little off, at once where it jumped."""

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.testing import MS, ManualClock, S
from syncsvc.timing.utc import JUMP_NS, MAX_SLEW, UtcMapper

steps = st.lists(
    st.tuples(
        st.integers(1, 2000), st.one_of(st.just(0), st.integers(-400, 400), st.sampled_from([-3_600_000, 3_600_000]))
    ),
    max_size=40,
)
"""Milliseconds that pass between two looks at the clock, and milliseconds that the host's clock is set by."""


@given(steps)
def test_inside_an_epoch_time_never_goes_backward_and_is_slewed_by_500_ppm_at_most(
    steps: list[tuple[int, int]],
) -> None:
    clock = ManualClock()
    mapper = UtcMapper(clock)
    before = mapper.epoch, clock.monotonic_ns(), mapper.now_utc()
    for passed_ms, set_by_ms in steps:
        for _ in range(3):
            clock.advance(passed_ms * MS // 3)
            now = mapper.epoch, clock.monotonic_ns(), mapper.now_utc()
            if now[0] == before[0]:
                passed_ns = now[1] - before[1]
                assert abs(now[2] - before[2] - passed_ns) <= passed_ns * MAX_SLEW + 2
                assert now[2] >= before[2]
            before = now
        clock.step_utc(set_by_ms * MS)
        off = abs(clock.utc_ns() - mapper.now_utc())
        epoch = mapper.epoch
        assert mapper.update() == (off > JUMP_NS) == (mapper.epoch == epoch + 1)


@given(steps, st.lists(st.integers(0, 1500), min_size=2, max_size=20))
def test_what_arrived_earlier_is_mapped_earlier_even_when_it_is_looked_at_later(
    steps: list[tuple[int, int]], ages_ms: list[int]
) -> None:
    """Two frames an instant apart, the first mapped before an update of the slew and the second after it."""
    clock = ManualClock()
    mapper = UtcMapper(clock)
    last_mono, last_utc, last_epoch = 0, 0, 0
    for (passed_ms, set_by_ms), age_ms in zip(steps, ages_ms, strict=False):
        clock.advance(passed_ms * MS)
        mono = max(last_mono + 1000, clock.monotonic_ns() - age_ms * MS)
        if mono <= clock.monotonic_ns():
            utc = mapper.to_utc(mono)
            assert utc >= last_utc or mapper.epoch != last_epoch
            last_mono, last_utc, last_epoch = mono, utc, mapper.epoch
        clock.step_utc(set_by_ms % 400 * MS)
        mapper.update()


def test_a_small_error_is_slewed_away() -> None:
    clock = ManualClock()
    mapper = UtcMapper(clock)
    clock.step_utc(40 * MS)
    for _ in range(1000):  # 40 ms at 500 ppm take 80 s
        clock.advance(100 * MS)
        assert not mapper.update()
    assert abs(mapper.now_utc() - clock.utc_ns()) < MS // 100
    assert mapper.epoch == 0


def test_a_jump_is_followed_at_once_in_a_new_epoch() -> None:
    for jump in (3600 * S, -3600 * S, 501 * MS, -501 * MS):
        clock = ManualClock()
        mapper = UtcMapper(clock)
        clock.advance(S)
        clock.step_utc(jump)
        assert mapper.update()
        assert (mapper.now_utc(), mapper.epoch, mapper.last_jump_ns) == (clock.utc_ns(), 1, jump)
        assert not mapper.update()


def test_half_a_second_is_no_jump_yet() -> None:
    clock = ManualClock()
    mapper = UtcMapper(clock)
    clock.step_utc(500 * MS)
    assert not mapper.update()
