"""Mode ``lossless`` over real sockets: order, credit, gaps that are told, connections and processes that end."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from syncsvc import AsyncSubscriber, FrameBatch, Gap, Subscriber, SubscriptionEnded, UsageError, wire
from syncsvc.publish.lossless import KEPT_NS
from syncsvc.testing import ManualClock, S
from tests.batches import T0, windows
from tests.e2e.harness import LIMIT_S, wait_for
from tests.e2e.lossless_service import EPOCH, LosslessService
from tests.project import ROOT


def seqs(batches: Subscriber, number: int) -> list[int]:
    """The numbers of what comes next."""
    found = []
    for _ in range(number):
        item = batches.receive(LIMIT_S)
        assert isinstance(item, FrameBatch)
        found.append(item.seq)
    return found


def test_every_batch_comes_in_order_however_late_it_is_asked_for(tmp_path: Path) -> None:
    with LosslessService(tmp_path) as service, service.subscribe() as batches:
        service.until_subscribed()
        service.put(range(8))
        service.until_sent(7)
        assert seqs(batches, 8) == list(range(8))
        assert not batches.stats.gaps
        assert bytes(batches.header["group"], "ascii") == b"lobby"
        with pytest.raises(UsageError, match="mode 'lossless' hands out all"):
            batches.latest()


def test_who_stalls_longer_than_the_history_is_told_exactly_what_it_missed_and_nobody_else_loses_any(
    tmp_path: Path,
) -> None:
    with (
        LosslessService(tmp_path, history=4) as service,
        Subscriber(service.live, "lobby", "lossless", gaps="yield") as stalled,
        service.subscribe() as quick,
    ):
        service.until_subscribed(2)
        for seq in range(12):
            service.put([seq])
            assert seqs(quick, 1) == [seq]
        found = [stalled.receive(LIMIT_S) for _ in range(7)]
        assert [one.seq for one in found if isinstance(one, FrameBatch)] == [0, 1, 8, 9, 10, 11]
        assert found[2] == Gap(2, 7, "lost", "lobby", *windows(2, 7))
        assert not quick.stats.gaps
        assert service.history.batches == 4


def test_who_stood_still_while_the_service_ended_gets_all_that_it_sent_and_its_last_word(tmp_path: Path) -> None:
    code = (
        "import sys; from syncsvc import Subscriber\n"
        "with Subscriber(sys.argv[1], 'lobby', 'lossless') as batches:\n"
        "    for batch in batches: print(batch.seq, flush=True)\n"
        "print('ended')"
    )
    with LosslessService(tmp_path) as service:
        command = [sys.executable, "-c", code, service.live]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as reader:
            assert reader.stdout is not None
            service.until_subscribed()
            service.put([0])
            assert reader.stdout.readline() == "0\n"
            reader.send_signal(signal.SIGSTOP)
            service.put([1])
            service.until_sent(1)
            service.end("ended")
            reader.send_signal(signal.SIGCONT)
            try:
                assert reader.communicate(timeout=LIMIT_S)[0] == "1\nended\n"
            finally:
                reader.kill()


def test_a_named_subscription_outlives_its_process_and_marks_the_batch_that_was_in_hand(tmp_path: Path) -> None:
    with LosslessService(tmp_path) as service:
        with service.subscribe(name="recorder") as before:
            service.until_subscribed()
            service.put(range(4))
            assert seqs(before, 3) == [0, 1, 2]
        service.until_subscribed(0)
        service.put(range(4, 6))
        with service.subscribe(name="recorder") as after:
            found = [after.receive(LIMIT_S) for _ in range(4)]
        assert [(one.seq, one.redelivered) for one in found] == [(2, True), (3, False), (4, False), (5, False)]
        with service.subscribe(name="recorder", gaps="yield") as late:
            service.until_subscribed()
            service.put(range(6, 20))
            service.until_sent(19)
            found = [late.receive(LIMIT_S) for _ in range(3)]
        assert [getattr(one, "seq", one) for one in found] == [5, Gap(6, 11, "lost", "lobby", *windows(6, 11)), 12]


def test_a_service_that_starts_again_is_found_and_what_it_left_out_is_told(tmp_path: Path) -> None:
    with Subscriber(f"ipc://{tmp_path}/live", "lobby", "lossless", gaps="yield") as batches:
        with LosslessService(tmp_path) as service:
            service.until_subscribed()
            service.put(range(2))
            assert [batches.receive(LIMIT_S).seq for _ in range(2)] == [0, 1]
        with LosslessService(tmp_path, run_id="run-2") as service:
            service.until_subscribed()
            service.put([5], epoch=EPOCH + 9000)
            assert batches.receive(LIMIT_S) == Gap(0, 4, "restarted", "lobby", *windows(2, 4))
            assert batches.receive(LIMIT_S).run_id == "run-2"
            service.end("ended")
            with pytest.raises(SubscriptionEnded):
                batches.receive(LIMIT_S)


@pytest.mark.parametrize(
    ("start", "first"),
    [("oldest", 2), (T0 + 4_300_000_000, 4), ((EPOCH, 3), 3), (None, 6), (T0 + 7_000_000_000, 7)],
)
def test_a_new_subscription_begins_where_it_is_told_to(tmp_path: Path, start: object, first: int) -> None:
    with LosslessService(tmp_path, history=4) as service, service.subscribe() as before:
        service.until_subscribed()
        service.put(range(6))
        assert seqs(before, 6) == list(range(6))
        with service.subscribe(start=start, gaps="yield") as batches:
            service.until_subscribed(2)
            service.put([6, 7])
            assert seqs(batches, 1) == [first]


@pytest.mark.parametrize("start", [T0 + 700_000_000, (EPOCH, 0)])
def test_a_beginning_that_the_history_has_passed_is_told_as_a_gap(tmp_path: Path, start: object) -> None:
    with LosslessService(tmp_path, history=4) as service, service.subscribe() as before:
        service.until_subscribed()
        service.put(range(6))
        assert seqs(before, 6) == list(range(6))
        with service.subscribe(start=start, gaps="yield") as batches:
            assert batches.receive(LIMIT_S) == Gap(0, 1, "lost", "lobby", *windows(0, 1))
            assert seqs(batches, 1) == [2]


def test_a_batch_that_is_bigger_than_the_history_is_told_and_costs_no_other_one(tmp_path: Path) -> None:
    with (
        LosslessService(tmp_path, most_bytes=8192) as service,
        Subscriber(service.live, "lobby", "lossless", gaps="yield") as batches,
    ):
        service.until_subscribed()
        service.put([0])
        service.put([1], size_bytes=10240)
        service.put([2])
        assert [getattr(batches.receive(LIMIT_S), "seq", None) for _ in range(3)] == [0, None, 2]
        assert batches.stats.gaps == {"too_big": 1}
        assert batches.stats.missed == 1


def test_pace_asap_waits_for_who_is_slow_or_comes_back_and_then_ends(tmp_path: Path) -> None:
    with LosslessService(tmp_path, history=2, is_patient=True) as service:
        with service.subscribe(name="slow") as before:
            service.until_subscribed()
            service.put(range(4))
            assert seqs(before, 2) == [0, 1]
        with service.subscribe(name="slow") as after:
            service.put([4])
            service.publisher.end("ended")
            assert seqs(after, 4) == [1, 2, 3, 4]
            with pytest.raises(SubscriptionEnded):
                after.receive(LIMIT_S)
            assert not after.stats.gaps


def test_several_groups_and_payloads_each_have_their_own_line(tmp_path: Path) -> None:
    with (
        LosslessService(tmp_path, history=8) as service,
        Subscriber(service.live, ["lobby", "yard"], "lossless") as both,
        Subscriber(service.live, None, "lossless", payload=None) as heads,
    ):
        service.until_subscribed(2)
        for seq in range(3):
            service.put([seq], "lobby")
            service.put([seq], "yard")
        wanted = [(group, seq) for seq in range(3) for group in ("lobby", "yard")]
        for batches in (both, heads):
            found = [batches.receive(LIMIT_S) for _ in range(6)]
            assert [(one.group, one.seq) for one in found] == wanted
        assert found[0].frames["north"][0].payload is None


def test_another_subscriber_of_the_same_name_takes_over_and_the_first_is_told(tmp_path: Path) -> None:
    with LosslessService(tmp_path) as service, service.subscribe(name="one") as first:
        service.until_subscribed()
        with service.subscribe(name="one") as second:
            with pytest.raises(UsageError, match="another subscriber has taken the subscription 'one'"):
                first.receive(LIMIT_S)
            service.put([0])
            assert seqs(second, 1) == [0]


def test_a_service_without_a_history_refuses(tmp_path: Path) -> None:
    with (
        LosslessService(tmp_path, history=0) as service,
        service.subscribe() as batches,
        pytest.raises(UsageError, match=r"publish\.history is 0"),
    ):
        batches.receive(LIMIT_S)


def test_asyncio_has_it_too(tmp_path: Path) -> None:
    async def read(service: LosslessService) -> list[int]:
        async with AsyncSubscriber(service.live, "lobby", "lossless", name="aio") as batches:
            await asyncio.to_thread(service.until_subscribed)
            service.put(range(3))
            return [(await batches.receive(LIMIT_S)).seq for _ in range(3)]

    with LosslessService(tmp_path) as service:
        assert asyncio.run(read(service)) == [0, 1, 2]


def test_a_connection_that_is_cut_costs_nothing(tmp_path: Path) -> None:
    with LosslessService(tmp_path) as service, service.subscribe() as batches:
        service.until_subscribed()
        for seq in range(6):
            service.put([seq])
            if seq == 3:
                service.cut_connections()
            assert seqs(batches, 1) == [seq]
        assert not batches.stats.gaps


def test_words_that_are_none_are_answered_and_harm_nobody(tmp_path: Path) -> None:
    with LosslessService(tmp_path) as service, zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.set(zmq.RCVTIMEO, int(LIMIT_S * 1000))
        stranger.set(zmq.LINGER, 0)
        stranger.connect(service.control)
        for word in ({"type": "resume"}, {"type": "credit", "client": "x"}, {"type": "leave", "client": 7}):
            stranger.send(wire.encode_control(word))
            assert wire.decode_control(stranger.recv())["type"] == "error"
        stranger.send(wire.encode_word(wire.Credit(1, "nobody", 0, 1)))
        assert wire.decode_control(stranger.recv())["type"] == "resume"


def test_who_stands_still_costs_no_more_than_the_history_and_is_cut_off_when_that_passes_it(tmp_path: Path) -> None:
    size_bytes = 4 << 20
    with (
        LosslessService(tmp_path, history=3, most_bytes=3 * size_bytes + 4096) as service,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as still,
        service.subscribe() as quick,
    ):
        for option, value in {zmq.LINGER: 0, zmq.RCVHWM: 1, zmq.RCVBUF: 4096, zmq.RECONNECT_IVL: -1}.items():
            still.set(option, value)
        still.connect(service.control)
        still.send(wire.encode_word(wire.Resume(1, "still", 0, "batch", 4, ("lobby",))))
        service.until_subscribed(2)
        for seq in range(12):
            service.put([seq], size_bytes=size_bytes)
            assert seqs(quick, 1) == [seq]
        wait_for(lambda: service.lossless.status().cut_off == 1, "that it is cut off")
        service.put([12])
        assert seqs(quick, 1) == [12]
        wait_for(lambda: service.lossless.status().subscribers == 1, "that it is gone")
        assert service.history.size_bytes <= 3 * size_bytes + 4096


def test_subscriptions_expire_and_with_the_last_one_the_history(tmp_path: Path) -> None:
    clock = ManualClock()
    with LosslessService(tmp_path, clock=clock) as service:
        with (  # by `control` itself: the clock stands, so `status` does not tell where that is
            Subscriber(service.control, "lobby", "lossless", name="kept") as named,
            Subscriber(service.control, "lobby", "lossless"),
        ):
            service.until_subscribed(2)
            service.put([0])
            assert seqs(named, 1) == [0]
        service.until_subscribed(0)
        assert service.lossless.status().subscriptions == 1, "one without a name ends with its close"
        clock.advance(KEPT_NS - S)
        service.put([1])
        service.until_sent(1)
        assert service.lossless.status().subscriptions == 1
        clock.advance(2 * S)
        wait_for(lambda: service.lossless.status().subscriptions == 0, "its end")
        assert service.lossless.wants(wire.batch_topic("lobby")), "somebody may yet come back for the history"
        clock.advance(KEPT_NS)
        wait_for(lambda: not service.lossless.wants(wire.batch_topic("lobby")), "the end of the history")
        wait_for(lambda: service.lossless.status().size_bytes == 0, "its memory")
