"""The publisher: one thread that owns the sockets, and hands every batch to every subscriber without waiting for any.

A subscriber that does not keep up loses batches at its own high-water mark, and sees the hole in ``seq``. Recordings
played ``asap`` are the exception: there the publisher waits for a full subscriber, and nothing is lost.
"""

import os
import queue
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zmq

from syncsvc import wire
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import BindError
from syncsvc.layout import Layout
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch
from syncsvc.publish.control import Control
from syncsvc.transport.payload import BufferPool

HIGH_WATER_MARK = 2
LINGER_MS = 3000
MAX_INCOMING_BYTES = 1024
SEND_BUFFER_BYTES = 2**20
"""Asked of the kernel per subscriber: a frame in a few writes instead of fifteen."""
QUEUE_LENGTH = 4
PATIENCE_MS = 200
POLL_MS = 100
LATE_COMERS_MS = 1000
"""How long the end waits for subscribers that have yet to ask for ``status``."""


@dataclass(frozen=True, slots=True)
class LateFrame:
    """A frame that missed its window, on its way to ``late/GROUP``."""

    group: str
    frame: Frame
    seq: int
    epoch: int
    window: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    layout: Layout
    clock: str


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
        before_send: Callable[[FrameBatch], None],
    ) -> None:
        """Prepare; ``bind`` and ``run`` belong to one thread.

        Args:
            run_id: of the daemon's run.
            clock: for the rate of status messages.
            now_utc: what ``emitted_ns`` is read from.
            control: answers the questions on ``control``.
            is_patient: wait for subscribers at their high-water mark instead of losing batches (pace ``asap``).
            before_send: called just before the first part of a batch is sent, subscribers or not.
        """
        self._run_id, self._clock, self._now_utc = run_id, clock, now_utc
        self._control, self._is_patient, self._before_send = control, is_patient, before_send
        self.pool = BufferPool()
        self._context = zmq.Context()
        self._queue: queue.Queue[Outgoing] = queue.Queue(QUEUE_LENGTH)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._subscriptions: Counter[bytes] = Counter()
        self._epoch = 0
        self._status_due_ns = 0
        self.state: wire.State = "running"
        self._known: defaultdict[str, dict[str, _Known]] = defaultdict(dict)
        self.sent: Counter[str] = Counter()

    # From any thread.

    @property
    def subscriptions(self) -> int:
        """Subscriptions that subscribers hold now, whatever their prefix."""
        return self._subscriptions.total()

    def wants(self, topic: bytes) -> bool:
        """Whether somebody subscribes to the topic."""
        return any(topic.startswith(prefix) for prefix in tuple(self._subscriptions))

    def put(self, item: Outgoing, stop: StopToken) -> None:
        """Queue a batch or a late frame; waits while the publisher is ``QUEUE_LENGTH`` items behind."""
        while not stop.is_set:
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            os.eventfd_write(self._wake, 1)
            return
        _release(item)

    # From the publisher's thread.

    def bind(self, live: str, control: str) -> tuple[str, str]:
        """Bind both sockets; returns the endpoints, with the port that was taken where 0 was asked for.

        Raises:
            BindError: an endpoint is in use, or not to be had.
        """
        self._live = self._socket(zmq.XPUB, live)
        self._live.set(zmq.XPUB_VERBOSER, 1)  # every subscription is told, also a second one to the same topic
        if self._is_patient:
            self._live.set(zmq.XPUB_NODROP, 1)
        self._router = self._socket(zmq.ROUTER, control)
        return self._endpoint(self._live), self._endpoint(self._router)

    def run(self, stop: StopToken) -> None:
        """Serve until the stop, then send what is queued, say so on ``status`` and close."""
        poller = zmq.Poller()
        for source in (self._live, self._router, self._wake):
            poller.register(source, zmq.POLLIN)
        while not stop.is_set:
            self._tell_status()
            ready = dict(poller.poll(POLL_MS))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self._note_subscriptions()
            if self._router in ready:
                self._control.serve(self._router)
            self._send_queued(stop)

    def finish(self, state: wire.State) -> None:
        """Send what is queued and the last word, ``ended`` or ``draining``, and close.

        Whoever still reads has three seconds for it; at the end of recordings played ``asap``, as long as it takes.
        """
        self.state = state
        self._live.set(zmq.XPUB_NODROP, 1)
        is_endless = self._is_patient and state == "ended"
        self._send_queued(StopToken() if is_endless else self._deadline(LINGER_MS))
        self._say_last(StopToken() if is_endless else self._deadline(LINGER_MS))
        self._live.set(zmq.LINGER, -1 if is_endless else LINGER_MS)
        self.close()

    def _say_last(self, stop: StopToken) -> None:
        """The last word, again for everybody who subscribes to ``status`` only now that batches have come."""
        told, late_comers = 0, self._deadline(LATE_COMERS_MS)
        while not stop.is_set:
            listeners = self._subscriptions[wire.STATUS_TOPIC]
            if listeners > told:
                self._send([wire.STATUS_TOPIC, self._status()], stop)
                told = listeners
            if self.state != "ended" or late_comers.is_set or 2 * listeners >= self.subscriptions:
                return
            self._live.poll(POLL_MS)
            self._note_subscriptions()

    def close(self) -> None:
        """Close the sockets; what they still hold has the linger to leave."""
        while not self._queue.empty():
            _release(self._queue.get_nowait())
        self._live.close()
        self._router.close(0)
        self._context.term()
        os.close(self._wake)

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = self._context.socket(kind)
        for option, value in (
            (zmq.SNDHWM, HIGH_WATER_MARK if kind == zmq.XPUB else 64),
            (zmq.RCVHWM, 64),
            (zmq.LINGER, LINGER_MS),
            (zmq.SNDBUF, SEND_BUFFER_BYTES if kind == zmq.XPUB else -1),
            (zmq.MAXMSGSIZE, MAX_INCOMING_BYTES),
            (zmq.HANDSHAKE_IVL, 2000),
            # TCP notices a peer that vanished; ZMTP heartbeats would cut off a subscriber that is only slow.
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 5),
            (zmq.TCP_KEEPALIVE_INTVL, 2),
            (zmq.TCP_KEEPALIVE_CNT, 3),
            (zmq.IPV6, int("[" in endpoint)),
            (zmq.SNDTIMEO, PATIENCE_MS),
        ):
            sock.set(option, value)
        path = Path(endpoint.removeprefix("ipc://")) if endpoint.startswith("ipc://") else None
        if path is not None and _is_served(path):
            sock.close(0)
            raise BindError(endpoint, "is already in use")  # libzmq would take the path over without a word
        try:
            sock.bind(endpoint.replace(":0", ":*") if endpoint.endswith(":0") else endpoint)
            if path is not None:
                path.chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            sock.close(0)
            what = "is already in use" if getattr(error, "errno", 0) == zmq.EADDRINUSE else str(error)
            raise BindError(endpoint, what) from error
        return sock

    @staticmethod
    def _deadline(after_ms: int) -> StopToken:
        token = StopToken()
        timer = threading.Timer(after_ms / 1000, token.set)
        timer.daemon = True
        timer.start()
        return token

    @staticmethod
    def _endpoint(sock: zmq.Socket[bytes]) -> str:
        return sock.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _note_subscriptions(self) -> None:
        while True:
            try:
                word = self._live.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            with self._lock:
                if word[:1] == b"\1":
                    self._subscriptions[word[1:]] += 1
                elif word[:1] == b"\0":
                    self._subscriptions[word[1:]] -= 1
                    self._subscriptions += Counter()  # forgets the zeros
                    if not self._subscriptions:
                        self.pool.trim()

    def _send_queued(self, stop: StopToken) -> None:
        while not stop.is_set:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                if isinstance(item, FrameBatch):
                    self._send_batch(item, stop)
                else:
                    self._send_late(item)
            finally:
                _release(item)

    def _send_batch(self, batch: FrameBatch, stop: StopToken) -> None:
        topic = wire.batch_topic(batch.group)
        frames = [frame for some in batch.frames.values() for frame in some]
        self._epoch = batch.epoch
        payloads = [frame.payload.copy_out(self.pool) for frame in frames] if self.wants(topic) else None
        self._before_send(batch)
        self.sent[batch.group] += 1
        if payloads is None:
            return
        known = self._known[batch.group]
        known.update({name: _Known(some[-1].layout, some[-1].clock) for name, some in batch.frames.items() if some})
        header = wire.encode_batch(
            replace(batch, run_id=self._run_id),
            {name: last.layout for name, last in known.items()},
            {name: last.clock for name, last in known.items()},
            emitted_ns=self._now_utc(),
        )
        self._send([topic, header, *payloads], stop)

    def _send_late(self, late: LateFrame) -> None:
        topic = wire.late_topic(late.group)
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
            self._send([topic, header, late.frame.payload.copy_out(self.pool)], StopToken())

    def _send(self, parts: Sequence[Any], stop: StopToken) -> None:
        """Send one message; where subscribers are waited for, until the first part was taken."""
        while not stop.is_set:
            try:
                self._live.send_multipart(parts, copy=False)
            except zmq.Again:
                self._note_subscriptions()
                continue
            return

    def _tell_status(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._status_due_ns:
            self._status_due_ns = now_ns + NS_PER_S
            with suppress(zmq.Again):  # whoever is that far behind learns it from the next one
                self._live.send_multipart([wire.STATUS_TOPIC, self._status()])

    def _status(self) -> bytes:
        return wire.encode_status(self._run_id, self._epoch, self.state, emitted_ns=self._now_utc())


def _is_served(path: Path) -> bool:
    """Whether a process listens at a socket's path, or the path is something else that is not ours to remove."""
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return not path.is_socket()  # what a service left behind that was killed
        except OSError:
            return True
    return True


def _release(item: Outgoing) -> None:
    frames = (
        [frame for some in item.frames.values() for frame in some] if isinstance(item, FrameBatch) else [item.frame]
    )
    for frame in frames:
        frame.payload.release()
