"""Whose turn it is, who is left out, and what the figures of a round are compared to."""

from collections.abc import Callable

import pytest

from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.errors import LinkClosed, UsageError


def identity(value: float) -> float:
    return value


def turns_of(log: list[str], **costs: list[float]) -> dict[str, Callable[[], float]]:
    def turn(name: str, some: list[float]) -> Callable[[], float]:
        def take() -> float:
            log.append(name)
            return some.pop(0)

        return take

    return {name: turn(name, some) for name, some in costs.items()}


def test_everybody_has_a_turn_in_every_round_in_the_same_order() -> None:
    log: list[str] = []
    said: list[str] = []
    found = alternate(turns_of(log, ours=[1, 2], theirs=[3, 8]), 2, said.append)
    assert log == ["ours", "theirs", "ours", "theirs"]
    assert found.found == {"ours": [1, 2], "theirs": [3, 8]}
    assert said == ["round 1 of 2: ours", "round 1 of 2: theirs", "round 2 of 2: ours", "round 2 of 2: theirs"]
    assert found.notes() == ()


def test_who_cannot_take_part_is_left_out_with_the_reason_and_not_asked_again() -> None:
    asked = 0

    def refuse() -> float:
        nonlocal asked
        asked += 1
        raise LinkClosed("not available yet")

    found = alternate({"ours": lambda: 1.0, "theirs": refuse}, 3, lambda _: None)
    assert asked == 1
    assert found.found == {"ours": [1.0, 1.0, 1.0]}
    assert found.notes() == ("not measured: theirs: not available yet",)
    assert found.ratio("theirs", "ours", identity) is None
    assert found.ratios("ours", "theirs", identity) == []


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # A round on a busy machine is slow for both: the ratio of the medians would be 10 / 2.
    found: Results[float] = Results({"ours": [1, 10, 2], "theirs": [3, 30, 10]}, {})
    assert found.ratio("theirs", "ours", identity) == 3
    assert found.ratios("theirs", "ours", identity) == [3, 3, 5]
    assert found.middle("theirs", identity) == 10


def chosen(labels: list[str], only: str | None) -> list[str]:
    return BenchRequest(print, only=only).chosen(labels)


def test_rows_are_chosen_by_all_their_words() -> None:
    labels = ["asap, i420, local", "realtime, i420, local", "realtime, bgr24, local"]
    assert chosen(labels, None) == labels
    assert chosen(labels, "I420 realtime") == ["realtime, i420, local"]
    assert chosen(labels, "local, bgr24") == ["realtime, bgr24, local"]
    assert chosen(["anything"], None) == ["anything"]
    with pytest.raises(UsageError, match="--only 'webp' names nothing; there are asap, i420, local; realtime"):
        chosen(labels, "webp")
