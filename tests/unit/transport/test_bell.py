"""Nobody sleeps through a bell that was rung, whenever that was."""

import os
import select

import pytest

from syncsvc.transport.bell import Bell


def is_heard(bell: Bell) -> bool:
    poller = select.poll()
    poller.register(bell.fd, select.POLLIN)
    return bool(poller.poll(0))


def test_it_wakes_once_and_again_after_the_answer() -> None:
    bell = Bell()
    assert not is_heard(bell)
    bell.ring()
    bell.ring()
    assert is_heard(bell)
    bell.answer()
    assert not is_heard(bell)
    bell.ring()
    assert is_heard(bell)


@pytest.mark.parametrize("is_before", [True, False], ids=["before the read", "after it"])
def test_what_is_rung_during_an_answer_does_not_silence_it(monkeypatch: pytest.MonkeyPatch, is_before: bool) -> None:
    """Another thread rings while the answer is given; everything rung after the answer must be heard."""
    bell, read = Bell(), os.eventfd_read

    def read_while_another_rings(fd: int) -> int:
        if is_before:
            bell.ring()
        value = read(fd)
        if not is_before:
            bell.ring()
        return value

    bell.ring()
    monkeypatch.setattr(os, "eventfd_read", read_while_another_rings)
    bell.answer()
    bell.ring()
    assert is_heard(bell)
