"""The publisher: one thread that owns the sockets, and hands every batch to every subscriber without waiting for any.

A batch that only subscribers on this host want needs no socket of ours: whoever brings it sends it at once.

A subscriber that does not keep up loses batches at its own high-water mark, and sees the hole in ``seq``. Recordings
played ``asap`` are the exception: there the publisher waits for a full subscriber, and nothing is lost.
"""

import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq

from syncsvc import wire
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import BindError
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch
from syncsvc.publish.audience import Audience
from syncsvc.publish.control import Control
from syncsvc.publish.headers import Headers
from syncsvc.publish.lease_book import stated_lease_ns
from syncsvc.publish.local import LocalServer
from syncsvc.publish.sockets import LINGER_MS, PATIENCE_MS, bind, endpoint_of
from syncsvc.transport.payload import BufferPool

MAX_SUBSCRIPTION_BYTES = 256
"""The longest topic has 70; what peers subscribe to stays in libzmq's memory."""
MAX_ANSWERS = 64
QUEUE_LENGTH = 4
POLL_MS = 100
LATE_COMERS_NS = NS_PER_S
"""How long the end waits for subscribers that have yet to ask for ``status``."""
LATE_PATIENCE_MS = 20


@dataclass(frozen=True, slots=True)
class LateFrame:
    """A frame that missed its window, on its way to ``late/GROUP``."""

    group: str
    frame: Frame
    seq: int
    epoch: int
    window: tuple[int, int]


Outgoing = FrameBatch | LateFrame


class Publisher:
    """XPUB for batches and ROUTER for questions, both served by ``run``."""

    def __init__(
        self,
        run_id: str,
        clock: Clock,
        now_utc: Callable[[], int],
        control: Control,
        *,
        is_patient: bool,
        before_send: Callable[[FrameBatch, int], None],
    ) -> None:
        """Prepare; ``bind`` and ``run`` belong to one thread.

        Args:
            run_id: of the daemon's run.
            clock: for the rate of status messages.
            now_utc: what ``emitted_ns`` is read from.
            control: answers the questions on ``control``.
            is_patient: wait for subscribers at their high-water mark instead of losing batches (pace ``asap``).
            before_send: called with a batch and its ``emitted_ns`` just before its first part is sent, subscribers or
                not.
        """
        self._run_id, self._clock, self._now_utc = run_id, clock, now_utc
        self._control, self._is_patient, self._before_send = control, is_patient, before_send
        self.pool = BufferPool()
        self.local = LocalServer(run_id, clock, now_utc, is_patient=is_patient)
        self._context = zmq.Context()
        self._queue: queue.Queue[Outgoing] = queue.Queue(QUEUE_LENGTH)
        self._sending = threading.Lock()  # from taking an item until it is sent: they leave in order
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoch = 0
        self._status_due_ns = self._hurried_until_ns = 0
        self._turned_ns = clock.monotonic_ns()
        self._impatience = threading.Event()
        self._is_waiting = self._is_ending = False
        self.state: wire.State = "running"
        self._headers = Headers(run_id)

    # From any thread.

    @property
    def subscriptions(self) -> int:
        """Subscriptions that subscribers hold now, whatever their prefix; one on this host has one."""
        return self._audience.subscriptions + self.local.subscriptions

    def wants(self, topic: bytes) -> bool:
        """Whether somebody may want what is sent under the topic."""
        return self._audience.wants(topic)

    @property
    def turn_age_ns(self) -> int:
        """How long ago its thread last went round."""
        return self._clock.monotonic_ns() - self._turned_ns

    def has_room(self) -> bool:
        """Whether ``put`` would return at once, however slow a subscriber is."""
        return not self._is_patient and not self._queue.full()

    def put(self, item: Outgoing) -> None:
        """Send a batch or a late frame, or queue it; waits while the publisher is ``QUEUE_LENGTH`` items behind."""
        if isinstance(item, FrameBatch) and self._send_now(item):
            return
        self._queue.put(item)
        os.eventfd_write(self._wake, 1)

    def _send_now(self, batch: FrameBatch) -> bool:
        """Send a batch from the calling thread, where it has no other before it and needs no socket."""
        waits = self._is_patient or self._is_waiting
        if waits or not self.local.wants(batch.group) or not self._sending.acquire(blocking=False):
            return False
        try:
            if not self._queue.empty() or self.wants(wire.batch_topic(batch.group)):
                return False
            self._send_batch(batch, is_copied=False)
        finally:
            self._sending.release()
        return True

    def drain(self) -> None:
        """The service stops: from now on subscribers are waited for, for three seconds in all."""
        timer = threading.Timer(LINGER_MS / 1000, self._impatience.set)
        timer.daemon = True
        timer.start()
        self._is_waiting = True

    def end(self, state: wire.State) -> None:
        """Let ``run`` send what is queued and the last word, and return: no batch comes any more."""
        self.state = state
        if not (self._is_patient and state == "ended"):
            self.drain()
        self._is_ending = True
        os.eventfd_write(self._wake, 1)

    # From the publisher's thread.

    def bind(self, live: str, control: str, backlogs: Mapping[str, int]) -> tuple[str, str]:
        """Bind both sockets; returns the endpoints, with the port that was taken where 0 was asked for.

        ``backlogs`` is how many batches of a group a subscriber may fall behind. On the socket it may so in all of them
        together: their windows close at the same instant, and a socket's mark does not tell topics apart.

        Raises:
            BindError: an endpoint is in use, or not to be had.
        """
        mark = sum(backlogs.values())
        self._live = bind(self._context, zmq.XPUB, live, send_mark=mark, most_bytes=MAX_SUBSCRIPTION_BYTES)
        self._live.set(zmq.XPUB_VERBOSER, 1)  # every subscription is told, also a second one to the same topic
        self._audience = Audience(self._live)
        try:
            self._router = bind(
                self._context, zmq.ROUTER, control, send_mark=MAX_ANSWERS, most_bytes=wire.MAX_CONTROL_BYTES
            )
        except BindError:
            self._audience.close()
            self._live.close(0)
            raise
        live = endpoint_of(self._live)
        self.local.bind(live, backlogs)
        return live, endpoint_of(self._router)

    def run(self, stop: StopToken) -> None:
        """Serve until ``end`` and what was queued before it is sent, or until the stop; then close."""
        poller = zmq.Poller()
        for source in (self._live, self._router, self._wake):
            poller.register(source, zmq.POLLIN)
        while not stop.is_set and not (self._is_ending and self._queue.empty()):
            self._turned_ns = self._clock.monotonic_ns()
            self._tell_status()
            ready = dict(poller.poll(POLL_MS))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self._look()
            if self._router in ready:
                self._control.serve(self._router)
            self._send_queued()
        self._say_last()
        self._live.set(zmq.LINGER, LINGER_MS if self._is_waiting else -1)
        self.close()

    def _look(self) -> None:
        if self._audience.look():
            self.pool.trim()

    def _say_last(self) -> None:
        """The last word, again for everybody who subscribes to ``status`` only now that batches have come."""
        told, until_ns = 0, self._clock.monotonic_ns() + LATE_COMERS_NS
        self.local.say(self._status(), self._waits)
        while True:
            listeners = self._audience.status_listeners
            if listeners > told:
                self._send([wire.STATUS_TOPIC, self._status()])
                told = listeners
            is_over = self.state != "ended" or self._clock.monotonic_ns() >= until_ns
            if is_over or 2 * listeners >= self._audience.subscriptions:
                return
            self._live.poll(POLL_MS)
            self._look()

    def close(self) -> None:
        """Close the sockets; what they still hold has the linger to leave."""
        while not self._queue.empty():
            _release(self._queue.get_nowait())
        self._audience.close()
        self._live.close()
        self._router.close(0)
        self._context.term()
        os.close(self._wake)

    def _send_queued(self) -> None:
        """Send what waits; whatever was taken from the queue is sent before anything else is considered."""
        while True:
            with self._sending:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    return
                self._turned_ns = self._clock.monotonic_ns()
                if isinstance(item, FrameBatch):
                    self._send_batch(item, is_copied=self.wants(wire.batch_topic(item.group)))
                else:
                    self._send_late(item)

    def _send_batch(self, batch: FrameBatch, *, is_copied: bool) -> None:
        """Send a batch to those on this host and, where somebody wants copies, over the socket, then let go of it."""
        try:
            self._lend_and_copy(batch, is_copied=is_copied)
        finally:
            _release(batch)

    def _lend_and_copy(self, batch: FrameBatch, *, is_copied: bool) -> None:
        topic, is_lent = wire.batch_topic(batch.group), self.local.wants(batch.group)
        frames = [frame for some in batch.frames.values() for frame in some]
        self._epoch = batch.epoch
        payloads = [self._copy(frame) for frame in frames] if is_copied else ()
        emitted_ns = self._now_utc()
        self._before_send(batch, emitted_ns)
        self._headers.learn(batch)
        header = self._headers.encode(batch, emitted_ns) if is_lent or is_copied else b""
        if is_lent:
            lease_ns = stated_lease_ns(batch.window_end_ns - batch.window_start_ns)
            self.local.send(batch, header, frames, lease_ns, self._waits)
        if is_copied:
            self._send([topic, header, *payloads])

    def _copy(self, frame: Frame) -> Any:
        """Its pixels in a shared buffer; they stay in their slot too where another group may yet lend it."""
        return frame.payload.copy_out(self.pool, keeps_slot=self.local.subscriptions > 0)

    def _waits(self) -> bool:
        """Whether a subscriber that is full is waited for; asked again and again while one is."""
        self._turned_ns = self._clock.monotonic_ns()
        return (self._is_patient or self._is_waiting) and not self._impatience.is_set()

    def _send_late(self, late: LateFrame) -> None:
        topic = wire.late_topic(late.group)
        try:
            if self.wants(topic):
                header = wire.encode_late(
                    late.frame,
                    group=late.group,
                    run_id=self._run_id,
                    epoch=late.epoch,
                    seq=late.seq,
                    window=late.window,
                    emitted_ns=self._now_utc(),
                )
                self._send_soon([topic, header, self._copy(late.frame)])
        finally:
            _release(late)

    def _send_soon(self, parts: Sequence[Any]) -> None:
        """Send a late frame. They come in bursts that a high-water mark of two would cut: readers are given a moment.

        One who does not read costs that moment once a second.
        """
        now_ns = self._clock.monotonic_ns()
        if not self._is_patient and now_ns >= self._hurried_until_ns:
            self._live.set(zmq.XPUB_NODROP, 1)
            self._live.set(zmq.SNDTIMEO, LATE_PATIENCE_MS)
            try:
                self._live.send_multipart(parts, copy=False)
            except zmq.Again:
                self._hurried_until_ns = now_ns + NS_PER_S
            else:
                return
            finally:
                self._live.set(zmq.SNDTIMEO, PATIENCE_MS)
        self._send(parts)

    def _send(self, parts: Sequence[Any]) -> None:
        """Send one message; where subscribers are waited for, when the first part is taken or patience is over."""
        while True:
            self._live.set(zmq.XPUB_NODROP, int(self._waits()))  # without it, who is full loses it, the others get it
            try:
                self._live.send_multipart(parts, copy=False)
            except zmq.Again:
                self._look()
                continue
            return

    def _tell_status(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._status_due_ns:
            self._status_due_ns = now_ns + NS_PER_S
            self._live.set(zmq.XPUB_NODROP, int(self._is_patient))
            status = self._status()
            with suppress(zmq.Again):  # whoever is that far behind learns it from the next one
                self._live.send_multipart([wire.STATUS_TOPIC, status])
            self.local.say(status)

    def _status(self) -> bytes:
        return wire.encode_status(self._run_id, self._epoch, self.state, emitted_ns=self._now_utc())


def _release(item: Outgoing) -> None:
    frames = (
        [frame for some in item.frames.values() for frame in some] if isinstance(item, FrameBatch) else [item.frame]
    )
    for frame in frames:
        frame.payload.release()
