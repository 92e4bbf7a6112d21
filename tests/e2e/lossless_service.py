"""The publisher's side of mode ``lossless`` in this process: its real sockets and its thread, fed by a test."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Self

import zmq

from syncsvc import Subscriber, wire
from syncsvc.clock import SYSTEM_CLOCK, Clock
from syncsvc.layout import Layout
from syncsvc.lifecycle import Worker
from syncsvc.model import FrameBatch
from syncsvc.observe.status import LocalStatus, ReceiverStatus
from syncsvc.publish.control import Control
from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.publisher import Publisher
from syncsvc.publish.store import MemoryStore
from tests.batches import T0, batch, frame
from tests.e2e.harness import LIMIT_S, wait_for

EPOCH = 1_767_225_590_000
MOST_BYTES = 64 << 20


class Pixels:
    """A payload that anybody may have."""

    coded = None

    def __init__(self, data: bytes = b"\1\2\3\4\5\6\7\10") -> None:
        self.data, self.nbytes = data, len(data)

    def copy_out(self, pool: Any, *, keeps_slot: bool = False) -> bytes:
        return self.data

    def copy_coded(self, pool: Any) -> None:
        return None

    def release(self) -> None:
        """It is nobody's."""


class LosslessService:
    """A publisher with ``live`` and ``control``, of group ``lobby`` and whatever else it is given batches of."""

    def __init__(
        self, folder: Path, *, history: int = 8, most_bytes: int = MOST_BYTES, is_patient: bool = False,
        run_id: str = "run-1", clock: Clock = SYSTEM_CLOCK,
    ) -> None:  # fmt: skip
        self.live, self.control, self._run_id = f"ipc://{folder}/live", f"ipc://{folder}/control", run_id
        self.history = MemoryStore(history, most_bytes)
        self.lossless = LosslessOutlet(clock, self.history, is_patient=is_patient)
        self._control = Control(self._hello, self._status, clock, self.lossless)
        self._live = LiveOutlet(clock, lambda group: 8, lambda: None)
        self.publisher = Publisher(
            run_id, clock, lambda: T0, (self.lossless, self._live), (self._live, self._control),
            is_patient=is_patient, leave=self._leave,
        )  # fmt: skip
        self._context = zmq.Context()
        self._failures: list[BaseException] = []
        self._worker = Worker("publisher", self.publisher.run, lambda name, error: self._failures.append(error))

    def _hello(self) -> wire.HelloReply:
        terms = wire.GroupTerms(("north",), 1000, 40.0, 500.0)
        return wire.HelloReply(self._run_id, EPOCH, self.live, {"lobby": terms, "yard": terms})

    def _status(self) -> ReceiverStatus:
        return ReceiverStatus(self._run_id, EPOCH, 1, 0, LocalStatus(), {}, {})

    @staticmethod
    def _leave(one: FrameBatch, emitted_ns: int, wanted: Collection[bytes]) -> dict[bytes, bytes]:
        return {topic: wire.encode_batch(one, {}, {}, emitted_ns=emitted_ns) for topic in wanted}

    def __enter__(self) -> Self:
        self._live.bind(self._context, self.live)
        self._control.bind(self._context, self.control, 64)
        self.publisher.control = self.control
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end("draining")

    def end(self, state: wire.State) -> None:
        """Send what is queued, and the last word."""
        if not self._context.closed:
            self.publisher.end(state)
            assert self._worker.join(LIMIT_S)
            self._control.close()
            self._context.term()
        assert not self._failures, self._failures

    def put(self, seqs: Iterable[int], group: str = "lobby", epoch: int = EPOCH, size_bytes: int = 8) -> None:
        """Batches of one frame each; one is sent before the next is queued beyond its few places."""
        for seq in seqs:
            data = bytes(size_bytes)
            one = frame("north", seq, T0 + seq * 1_000_000_000 + 5_000_000, payload=Pixels(data))
            if size_bytes != 8:
                one = frame("north", seq, one.time_ns, layout_of(size_bytes), payload=Pixels(data))
            self.publisher.put(batch(seq, group=group, epoch=epoch, run_id=self._run_id, frames={"north": [one]}))

    def until_sent(self, seq: int, group: str = "lobby") -> None:
        """Until the outlet has kept, or let go of, this batch."""
        topic = wire.batch_topic(group)
        wait_for(lambda: (last := self.history.newest(topic)) is not None and last.mark.seq >= seq, f"batch {seq}")

    def until_subscribed(self, number: int = 1) -> None:
        """Until so many subscribers are there."""
        wait_for(lambda: self.lossless.subscriptions == number, f"{number} lossless subscribers")

    def cut_connections(self) -> None:
        """End every connection to ``control``, as a network does."""
        for descriptor in tuple(self._control._guests._here):
            self._control._guests.hang_up(descriptor)

    def subscribe(self, **options: Any) -> Subscriber:
        """A lossless subscriber, of ``lobby`` unless told otherwise."""
        return Subscriber(self.live, mode="lossless", **({"group": "lobby"} | options))


def layout_of(size_bytes: int) -> Layout:
    """Grey pixels of so many bytes, a multiple of 1024."""
    return Layout("gray8", 1024, size_bytes // 1024)
