"""Who makes which call, and what becomes of it when somebody ends."""

from dataclasses import dataclass
from random import Random

from syncsvc.pool.roster import AHEAD_NS, MOST_TRIES, Roster


@dataclass(eq=False)
class Errand:
    """A call, as far as a roster looks at it."""

    number: int
    timeout_ns: int | None = None
    tries: int = 0


def roster_of(workers: int, calls: int, timeout_ns: int | None = None) -> tuple[Roster[Errand], list[Errand]]:
    roster: Roster[Errand] = Roster()
    errands = [Errand(number, timeout_ns) for number in range(calls)]
    for worker in range(workers):
        roster.hire(worker)
        roster.make_ready(worker)
    for errand in errands:
        roster.add(errand)
    return roster, errands


def given(roster: Roster[Errand], now_ns: int = 0) -> list[tuple[int, int]]:
    return [(worker, errand.number) for worker, errand in roster.assign(now_ns)]


def test_calls_are_handed_out_in_order_to_who_has_fewest_and_only_to_who_is_ready() -> None:
    roster, _ = roster_of(2, 3)
    roster.hire(9)
    assert given(roster) == [(0, 0), (1, 1)]
    roster.make_ready(9)
    assert given(roster) == [(9, 2)]


def test_short_calls_lie_ready_in_the_worker_and_long_ones_do_not() -> None:
    roster, _ = roster_of(1, 5)
    assert given(roster) == [(0, 0)]
    assert roster.finish(0, 0, 1, spent_ns=1_000_000) is not None
    assert given(roster) == [(0, 1), (0, 2)]
    for number in (1, 2):
        roster.finish(0, number, 1, spent_ns=100 * AHEAD_NS)
    assert given(roster) == [(0, 3)]


def test_the_calls_of_one_that_ended_come_before_all_others_and_only_the_first_is_charged() -> None:
    roster, errands = roster_of(1, 5)
    roster.assign(0)
    roster.finish(0, 0, 1, spent_ns=1)
    roster.assign(1)
    assert roster.lose(0) is None
    assert [errand.tries for errand in errands[:3]] == [0, 1, 0]
    roster.hire(1)
    roster.make_ready(1)
    assert given(roster) == [(1, 1), (1, 2)]
    assert roster.lose(1) is errands[1]
    assert errands[1].tries == MOST_TRIES


def test_who_is_killed_for_a_call_takes_no_other_down_with_it() -> None:
    roster, errands = roster_of(1, 4)
    roster.assign(0)
    roster.finish(0, 0, 1, spent_ns=1)
    roster.assign(1)
    assert roster.withdraw(errands[2]) is None, "it only lay ready: nobody is at it"
    assert roster.withdraw(errands[1]) == 0
    assert given(roster) == [], "a condemned worker gets nothing more"
    assert roster.lose(0) is None
    assert [errand.number for errand in roster.waiting] == [3]
    assert errands[3].tries == 0


def test_time_is_up_from_the_begin_of_a_call_and_not_from_its_handing_out() -> None:
    roster, errands = roster_of(1, 3, timeout_ns=10)
    roster.assign(100)
    assert roster.next_due_ns() == 110
    roster.finish(0, 0, 105, spent_ns=1)
    roster.assign(105)
    assert roster.next_due_ns() == 115
    roster.finish(0, 1, 112, spent_ns=1)
    assert roster.overdue(121) == []
    assert roster.overdue(122) == [errands[2]]


def test_every_call_leaves_once_whatever_happens_to_workers() -> None:
    for seed in range(200):
        dice = Random(seed)
        roster, errands = roster_of(3, 20)
        left: list[int] = []
        for now_ns in range(2000):
            roster.assign(now_ns)
            busy = [worker for worker, member in roster.members.items() if member.calls]
            if not busy:
                break
            worker = dice.choice(busy)
            if dice.random() < 0.2:
                lost = roster.lose(worker)
                left += [lost.number] if lost else []
                roster.hire(100 + now_ns)
                roster.make_ready(100 + now_ns)
            else:
                found = roster.finish(
                    worker, roster.members[worker].calls[0].number, now_ns, spent_ns=dice.choice((1, AHEAD_NS * 9))
                )
                left += [found.number] if found else []
        assert sorted(left) == [errand.number for errand in errands]
