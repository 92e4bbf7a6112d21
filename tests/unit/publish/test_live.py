"""The way out over ZeroMQ, on real sockets: who is waited for misses nothing, whatever else is sent meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice

import pytest
import zmq

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.publish.backlog import Backlog
from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.outlet import Prepared, Waits
from syncsvc.wire import STATUS_TOPIC, batch_topic
from tests.batches import batch

TOPIC = batch_topic("lobby")
MOST = 200


class Full(Exception):
    """A subscriber is full, and was waited for."""


class Patience:
    """Waits for subscribers, but not for ever."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        if self.asked > 2:
            raise Full
        return True


@contextmanager
def full_subscriber(patience: Callable[[], Waits]) -> Iterator[tuple[LiveOutlet, "zmq.Socket[bytes]", list[bytes]]]:
    """An outlet, its subscriber, and what it was sent until there was no patience left, or a message was lost."""
    outlet, sent = LiveOutlet(SYSTEM_CLOCK, lambda group: 1, lambda: None), list[bytes]()
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        endpoint = outlet.bind(context, "tcp://127.0.0.1:0")
        subscriber.set(zmq.RCVHWM, 1)
        subscriber.set(zmq.RCVTIMEO, 10_000)
        for topic in (TOPIC, STATUS_TOPIC):
            subscriber.subscribe(topic)
        subscriber.connect(endpoint)
        while outlet.subscriptions < 2:
            outlet.socket.poll(100)
            outlet.serve()
        fill(outlet, sent, patience)
        yield outlet, subscriber, sent


def fill(outlet: LiveOutlet, sent: list[bytes], patience: Callable[[], Waits]) -> None:
    """Send until there is no patience left; without any, more than anybody holds."""
    with suppress(Full):
        while len(sent) < MOST:
            header = b"%d" % len(sent)
            outlet.send(Prepared(batch(), TOPIC, header, (), [bytes(1 << 20)]), patience())
            sent.append(header)


def never() -> Waits:
    return lambda: False


@contextmanager
def reading_subscriber(marks: dict[str, int]) -> Iterator[tuple[LiveOutlet, "zmq.Socket[bytes]"]]:
    """An outlet that goes by these marks, and a subscriber to all groups and the state that has taken everything."""
    outlet = LiveOutlet(SYSTEM_CLOCK, marks.__getitem__, lambda: None)
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.set(zmq.RCVHWM, 1)
        subscriber.set(zmq.RCVTIMEO, 10_000)
        for topic in (b"batch/", STATUS_TOPIC):
            subscriber.subscribe(topic)
        subscriber.connect(outlet.bind(context, "tcp://127.0.0.1:0"))
        while outlet.subscriptions < 2:
            outlet.socket.poll(100)
            outlet.serve()
        try:
            yield outlet, subscriber
        finally:
            outlet.end(lambda: b"ended", never(), is_over=False, linger_ms=0)


def send(outlet: LiveOutlet, number: int, group: str = "lobby", size_bytes: int = 1 << 20) -> None:
    """A message of the group, as large as no buffer of the kernel's that hides a full queue."""
    outlet.send(Prepared(batch(group=group), batch_topic(group), b"%d" % number, (), [bytes(size_bytes)]), never())


def take(subscriber: "zmq.Socket[bytes]", count: int) -> list[int]:
    """The numbers of the next so many batches."""
    got: list[int] = []
    while len(got) < count:
        topic, header, *_ = subscriber.recv_multipart()
        if topic != STATUS_TOPIC:
            got.append(int(header))
    return got


@pytest.mark.parametrize("most", [1, 2, 5, 12])
def test_who_has_taken_everything_has_room_for_what_leaves_at_once_and_for_a_status(most: int) -> None:
    """However many it took before: the sender hears of that only now and then."""
    backlog, numbers = Backlog(), count()
    backlog.follow(most, 1)
    with reading_subscriber({"lobby": backlog.mark}) as (outlet, subscriber):
        for before in range(backlog.mark):
            for number in islice(numbers, before):
                outlet.socket.poll(0)  # as the publisher does between two turns: it takes in what was read
                send(outlet, number, size_bytes=1)
                assert take(subscriber, 1) == [number]
            outlet.socket.poll(0)
            outlet.send_status(b"running", never())
            burst = [*islice(numbers, most)]
            for number in burst:
                send(outlet, number)
            assert take(subscriber, most) == burst


def test_a_mark_that_rises_counts_for_who_is_there_and_beside_those_of_other_groups() -> None:
    marks = {"lobby": 2, "yard": 2}
    with reading_subscriber(marks) as (outlet, subscriber):
        send(outlet, 0)
        send(outlet, 1, "yard")
        assert take(subscriber, 2) == [0, 1]
        marks["yard"] = 30
        for number in range(2, 17):
            send(outlet, number, "yard")
        assert take(subscriber, 15) == [*range(2, 17)]


def test_a_status_costs_nobody_a_batch_who_is_waited_for() -> None:
    with full_subscriber(Patience) as (outlet, subscriber, sent):
        outlet.send_status(b"running", lambda: True)
        fill(outlet, sent, Patience)
        assert 0 < len(sent) < MOST
        got: list[bytes] = []
        while len(got) < len(sent):
            topic, header, *_ = subscriber.recv_multipart()
            if topic == TOPIC:
                got.append(header)
        assert got == sent
        outlet.end(lambda: b"ended", never(), is_over=False, linger_ms=0)


def test_who_lost_a_batch_hears_the_last_word_all_the_same() -> None:
    with full_subscriber(never) as (outlet, subscriber, _):
        said: list[bytes] = []

        def read(_: StopToken) -> None:
            while not said:
                topic, word, *_ = subscriber.recv_multipart()
                if topic == STATUS_TOPIC:
                    said.append(word)

        reading, words = Worker("reads", read), [b"ended"] * 100

        def last_word() -> bytes:
            if len(words) == 98:  # what was said before was lost
                reading.start()
            return words.pop()

        outlet.end(last_word, lambda: True, is_over=True, linger_ms=3000)
        assert reading.join(10)
        assert (said, reading.error) == ([b"ended"], None)


def test_terms_that_need_less_room_cut_nobody_off() -> None:
    marks = {"lobby": 20}
    with reading_subscriber(marks) as (outlet, subscriber):
        for number in range(9):
            send(outlet, number, size_bytes=1)
        assert take(subscriber, 9) == [*range(9)], "of which the sender has not heard"
        marks["lobby"] = 2
        send(outlet, 9)
        assert take(subscriber, 1) == [9]
