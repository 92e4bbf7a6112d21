"""The way out over ZeroMQ, on real sockets: who is waited for misses nothing, whatever else is sent meanwhile."""

import zmq

from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.outlet import Prepared
from syncsvc.testing import ManualClock
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


def test_a_status_costs_nobody_a_batch_who_is_waited_for() -> None:
    outlet = LiveOutlet(ManualClock(), lambda: None)
    sent = 0

    def send() -> None:
        nonlocal sent
        outlet.send(Prepared(batch(), TOPIC, b"%d" % sent, (), [bytes(1 << 20)]), Patience())
        sent += 1

    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        endpoint = outlet.bind(context, "tcp://127.0.0.1:0", backlog=1)
        subscriber.set(zmq.RCVHWM, 1)
        subscriber.set(zmq.RCVTIMEO, 10_000)
        for topic in (TOPIC, STATUS_TOPIC):
            subscriber.subscribe(topic)
        subscriber.connect(endpoint)
        while outlet.subscriptions < 2:
            outlet.socket.poll(100)
            outlet.serve()
        for _ in range(2):  # until it is full; and with a status in between it is no less
            try:
                while sent < MOST:
                    send()
            except Full:
                outlet.send_status(b"running", lambda: True)
        assert 0 < sent < MOST
        got: list[bytes] = []
        while len(got) < sent:
            topic, header, *_ = subscriber.recv_multipart()
            if topic == TOPIC:
                got.append(header)
        assert got == [b"%d" % number for number in range(sent)]
        outlet.end(lambda: b"ended", lambda: False, is_over=False, linger_ms=0)
