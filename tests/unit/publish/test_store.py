"""What the history keeps: so many batches per topic, so many bytes in all, and what it says of those that are gone."""

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.publish.store import LOST, TOO_BIG, Kept, MemoryStore
from syncsvc.testing import T0, S
from syncsvc.wire import Mark, Place

LOBBY, YARD = b"batch/lobby", b"batch/yard"


def kept(order: int, seq: int | None = None, *, topic: bytes = LOBBY, size_bytes: int = 10, epoch: int = 1) -> Kept:
    """A batch of some bytes, a second long; its number is its order unless told otherwise."""
    seq = order if seq is None else seq
    mark = Mark("run", epoch, seq, (T0 + seq * S, T0 + (seq + 1) * S))
    return Kept(topic, topic.decode().partition("/")[2], order, mark, b"", (bytes(size_bytes),), size_bytes)


def all_after(history: MemoryStore, topic: bytes, place: Place = (0, -1)) -> list[tuple[int, str]]:
    """The numbers of everything behind a place, and why some are not here."""
    found = []
    while (one := history.after(topic, place)) is not None:
        found.append((one.mark.seq, one.why_not))
        place = one.place
    return found


def test_the_oldest_go_first_and_what_is_gone_is_said_once_for_all() -> None:
    history = MemoryStore(3, 1000)
    for number in range(5):
        history.append(kept(number))
    assert all_after(history, LOBBY) == [(1, LOST), (2, ""), (3, ""), (4, "")]
    assert all_after(history, LOBBY, (1, 2)) == [(3, ""), (4, "")]
    assert all_after(history, YARD) == []
    assert (history.batches, history.size_bytes) == (3, 30)


def test_bytes_are_bounded_over_all_topics_and_the_oldest_goes_whichever_its_topic() -> None:
    history = MemoryStore(10, 35)
    history.append(kept(0, topic=YARD))
    for number in range(1, 4):
        history.append(kept(number))
    assert all_after(history, YARD) == [(0, LOST)]
    assert all_after(history, LOBBY) == [(1, ""), (2, ""), (3, "")]
    assert [one.order for one in history.displaced_by(kept(4, size_bytes=20))] == [1, 2]


def test_a_batch_that_is_too_big_is_said_to_be_and_costs_no_other_one_its_place() -> None:
    history = MemoryStore(3, 35)
    history.append(kept(0))
    history.append(kept(1, size_bytes=36))
    history.append(kept(2))
    assert all_after(history, LOBBY) == [(0, ""), (1, TOO_BIG), (2, "")]
    assert history.size_bytes == 20
    history.append(kept(3))
    history.append(kept(4))
    assert all_after(history, LOBBY) == [(1, TOO_BIG), (2, ""), (3, ""), (4, "")]


def test_a_time_is_looked_up_by_the_end_of_its_window() -> None:
    history = MemoryStore(2, 1000)
    for number in range(4):
        history.append(kept(number))
    found = [history.at(LOBBY, T0 + at) for at in (0, 2 * S - 1, 2 * S, 4 * S - 1, 4 * S)]
    assert [one and (one.mark.seq, one.why_not) for one in found] == [(1, LOST), (1, LOST), (2, ""), (3, ""), None]
    assert history.oldest(LOBBY) is found[2]
    assert history.newest(LOBBY) is found[3]


def test_what_is_forgotten_was_never_there() -> None:
    history = MemoryStore(2, 1000)
    for number in range(4):
        history.append(kept(number))
    history.forget([LOBBY, YARD])
    assert all_after(history, LOBBY) == []
    assert (history.batches, history.size_bytes, list(history.topics)) == (0, 0, [])


@given(
    st.lists(st.tuples(st.sampled_from([LOBBY, YARD]), st.integers(1, 40)), max_size=60),
    st.integers(1, 6),
    st.integers(10, 90),
)
def test_every_batch_is_here_or_said_to_be_gone_and_no_bound_is_ever_passed(
    sizes: list[tuple[bytes, int]], most: int, most_bytes: int
) -> None:
    history, numbers = MemoryStore(most, most_bytes), dict.fromkeys((LOBBY, YARD), 0)
    for order, (topic, size_bytes) in enumerate(sizes):
        history.append(kept(order, numbers[topic], topic=topic, size_bytes=size_bytes))
        numbers[topic] += 1
        assert history.size_bytes <= most_bytes
    for topic, number in numbers.items():
        found = all_after(history, topic)
        first = next((place for place, (_, why_not) in enumerate(found) if why_not != LOST), len(found))
        assert first <= 1, "what was passed is said once"
        seqs = [seq for seq, _ in found]
        assert seqs == list(range(seqs[0], number)) if seqs else number == 0
        assert sum(not why_not for _, why_not in found) <= most
