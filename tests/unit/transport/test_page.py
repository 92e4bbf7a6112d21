"""The pages that survive a SIGKILL, and the words on them."""

from collections.abc import Iterator

import pytest

from syncsvc.daemon.pages import KeptPages
from syncsvc.errors import ConfigError
from syncsvc.transport.page import GroupPage, Position, StreamPage


@pytest.fixture
def page() -> Iterator[StreamPage]:
    one = StreamPage.create("a")
    yield one
    one.close()


def test_numbers_are_taken_once_across_mappings(page: StreamPage) -> None:
    other = StreamPage(page.fd)
    assert [page.take_seq(), other.take_seq(), page.take_seq()] == [0, 1, 2]
    assert page.next_seq == other.next_seq == 3


def test_position_and_pulse(page: StreamPage) -> None:
    page.at(Position.DECODE, 123)
    page.beat_mono_ns, page.media_ns, page.pass_begun_ns = 5, 6, 7
    other = StreamPage(page.fd)
    assert other.position == (Position.DECODE, 123)
    assert (other.beat_mono_ns, other.media_ns, other.pass_begun_ns) == (5, 6, 7)


def test_a_groups_places_do_not_touch_each_other() -> None:
    page = GroupPage.create("g")
    for place in range(GroupPage.CAPACITY):
        page.account(place, place + 1000)
    page.emitted_end_ns = 42
    assert page.emitted_end_ns == 42
    assert [page.accounted(place) for place in range(GroupPage.CAPACITY)] == [
        n + 1000 for n in range(GroupPage.CAPACITY)
    ]
    page.close()
    page.close()


def test_places_are_given_once_and_never_change() -> None:
    pages = KeptPages()
    assert pages.entries("g", ["b", "a"]) == {"b": 0, "a": 1}
    assert pages.entries("g", ["c", "a"]) == {"c": 2, "a": 1}
    assert pages.entries("other", ["a"]) == {"a": 0}
    with pytest.raises(ConfigError, match="more than 511"):
        pages.entries("g", [f"more-{number}" for number in range(600)])
    assert pages.entries("g", ["d", "b"]) == {"d": 3, "b": 0}
