"""When somebody asks why nothing comes, and what is told of the answer: once, and not of what is over already."""

import logging
from collections.abc import Callable

import pytest

from syncsvc.client import outlook
from syncsvc.client.outlook import FIRST_S, LATER_S, PATIENCE_S, Outlook
from syncsvc.client.presence import Patience
from syncsvc.clock import NS_PER_S
from syncsvc.errors import NoAnswer, UnknownGroup
from syncsvc.testing import ManualClock

AT = "tcp://127.0.0.1:1"
JOIN_S = 30.0


class Rig:
    """An outlook whose questions are answered by a list, on a clock with hands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, groups: list[str] | None = None) -> None:
        self.clock, self.answers = ManualClock(), list[Callable[[Patience], list[str]]]()
        monkeypatch.setattr(outlook, "ask_groups", self._ask)
        self.outlook = Outlook(AT, groups, is_local=False, clock=self.clock)

    def _ask(self, live: str, patience: Patience, keys: object) -> list[str]:
        return self.answers.pop(0)(patience)

    def look(self, after_s: float) -> None:
        self.clock.advance(round(after_s * NS_PER_S))
        self.outlook.look()
        if self.outlook._thread is not None:
            self.outlook._thread.join(JOIN_S)


def nobody(patience: Patience) -> list[str]:
    raise NoAnswer(AT, "nobody")


def somebody_else(patience: Patience) -> list[str]:
    raise NoAnswer(AT, "a bakery", may_come=False)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Rig:
    caplog.set_level(logging.INFO, "syncsvc.client")
    return Rig(monkeypatch)


def test_nobody_asks_before_the_silence_is_odd_and_waits_end_when_it_is(rig: Rig) -> None:
    assert rig.outlook.until_look_ms(None) == round(FIRST_S * 1000)
    assert rig.outlook.until_look_ms(7) == 7
    rig.look(FIRST_S / 2)
    rig.outlook.hear("yard")
    assert rig.outlook.until_look_ms(None) == round(LATER_S * 1000)
    rig.look(LATER_S / 2)
    assert rig.outlook._thread is None


def test_what_stays_wrong_is_told_once_and_what_changes_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.answers = [nobody, nobody, somebody_else, nobody]
    rig.look(FIRST_S)
    for _ in range(3):
        rig.look(LATER_S)
    rig.outlook.hear("yard")
    assert caplog.messages == [
        f"{AT}: nobody; waiting for it",
        f"{AT}: a bakery; waiting for it",
        f"{AT}: nobody; waiting for it",
        f"{AT}: the service is there",
    ]
    rig.outlook.hear("yard")
    assert len(caplog.messages) == 4


def test_a_service_that_goes_silent_later_is_told_too(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.outlook.hear("yard")
    rig.answers = [nobody]
    rig.look(LATER_S)
    assert caplog.messages == [f"{AT}: nobody; waiting for it"]


def test_what_was_wrong_is_not_told_when_something_came_meanwhile(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def nobody_until_it_comes(patience: Patience) -> list[str]:
        rig.outlook.hear("yard")
        return nobody(patience)

    rig.answers = [nobody_until_it_comes]
    rig.look(FIRST_S)
    assert caplog.messages == []


def test_the_group_must_be_among_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, ["lobby", "yard"])
    rig.answers = [lambda _: ["lobby"], lambda _: ["lobby", "yard"]]
    rig.look(FIRST_S)
    rig.look(LATER_S)
    assert caplog.messages == [f"{UnknownGroup(AT, 'yard', ['lobby'])}; waiting for it"]
    assert rig.outlook.is_ready(0)


def test_a_group_that_there_is_not_is_told_beside_one_that_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "syncsvc.client")
    rig = Rig(monkeypatch, ["yard", "jard"])
    rig.answers = [lambda _: ["yard"]] * 3
    for _ in range(4):
        rig.outlook.hear("yard")
        rig.look(FIRST_S / 4)
    told = str(UnknownGroup(AT, "jard", ["yard"]))
    assert caplog.messages == [f"{told}; waiting for it"]
    rig.outlook.hear("yard")
    rig.outlook.forget()
    assert not settled(rig, 5000)
    with pytest.raises(UnknownGroup, match=told):
        settled(rig, 5000)
    rig.outlook.hear("jard")
    assert rig.outlook.is_ready(5000)
    assert caplog.messages[1:] == [f"{AT}: the service is there"]


def test_a_group_that_a_reload_takes_away_is_told_beside_one_that_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, ["yard", "lobby"])
    rig.outlook.hear("yard")
    rig.outlook.hear("lobby")
    rig.answers = [lambda _: ["yard"]]
    for _ in range(6):
        rig.look(LATER_S / 5)
        rig.outlook.hear("yard")
    assert caplog.messages == [f"{UnknownGroup(AT, 'lobby', ['yard'])}; waiting for it"]


def settled(rig: Rig, left_ms: int) -> bool:
    """What is known at once or when the question that it takes is answered."""
    is_ready = rig.outlook.is_ready(left_ms)
    if rig.outlook._thread is not None:
        rig.outlook._thread.join(JOIN_S)
    return is_ready


def test_who_may_come_is_asked_for_again_until_the_time_is_over(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.answers = [nobody, nobody, lambda _: []]
    assert [settled(rig, 5000) for _ in range(4)] == [False, False, False, True]
    assert caplog.messages == []


def test_what_is_raised_is_not_told_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.answers = [nobody, nobody]
    assert not settled(rig, 5000)
    with pytest.raises(NoAnswer, match="nobody"):
        settled(rig, 0)
    rig.look(LATER_S)
    assert (caplog.messages, rig.answers) == ([], [])


def test_what_was_so_once_is_asked_anew(rig: Rig) -> None:
    rig.outlook.hear("yard")
    assert rig.outlook.is_ready(5000)
    rig.clock.advance(round(LATER_S * NS_PER_S))
    rig.answers = [lambda _: [], nobody]
    assert [settled(rig, 5000), settled(rig, 5000)] == [False, True]
    rig.outlook.forget()
    assert not settled(rig, 5000)
    with pytest.raises(NoAnswer, match="nobody"):
        settled(rig, 0)


def test_where_waiting_does_not_help_nobody_waits(rig: Rig) -> None:
    rig.answers = [somebody_else]
    assert not settled(rig, 5000)
    with pytest.raises(NoAnswer, match="a bakery"):
        settled(rig, 5000)


def test_a_question_without_time_for_an_answer_says_nothing_of_who_is_there(rig: Rig) -> None:
    def nobody_so_soon(patience: Patience) -> list[str]:
        patience.pause(PATIENCE_S)
        return nobody(patience)

    rig.answers = [nobody_so_soon]
    assert not settled(rig, 1)
    with pytest.raises(NoAnswer, match="no answer in time"):
        settled(rig, 0)
