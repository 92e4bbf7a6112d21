"""The publisher: takes batches in their order, makes each ready once, and hands it to every outlet that wants it.

Its thread serves the sockets too. A batch that no outlet with a socket wants needs no thread of ours: whoever brings it
sends it at once.
"""

import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import zmq

from syncsvc import wire
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import FrameUndecodable
from syncsvc.layout import RAW_FORMATS
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch, LateFrame
from syncsvc.publish.outlet import Outlet, Prepared, Server
from syncsvc.publish.sockets import LINGER_MS
from syncsvc.transport.payload import BufferPool, CodedPart
from syncsvc.wire import BATCH_PREFIX, CODED_PREFIX, HEAD_PREFIX

QUEUE_LENGTH = 4
POLL_MS = 100

Outgoing = FrameBatch | LateFrame

log = logging.getLogger(__name__)

Leave = Callable[[FrameBatch, int, Collection[bytes]], Mapping[bytes, bytes]]
"""Called just before the first part of a batch is sent, with its ``emitted_ns`` and the topics that anybody wants.

Returns its header for each of these.
"""


class Carried(Protocol):
    """What a frame's payload is to the publisher: pixels, and perhaps the coded picture that they were made of."""

    @property
    def coded(self) -> CodedPart | None:
        """How the coded picture looks."""
        ...

    def copy_out(self, pool: BufferPool, *, keeps_slot: bool = False) -> Any:
        """The payload in a shared buffer, ``(nbytes,)`` uint8; FrameUndecodable where it cannot be made."""
        ...

    def copy_coded(self, pool: BufferPool) -> Any:
        """The coded picture likewise; None where there is none."""
        ...


class Publisher:
    """The queue, the order, and the thread; which outlet gets what, and when it is the end."""

    def __init__(
        self,
        run_id: str,
        clock: Clock,
        now_utc: Callable[[], int],
        outlets: Sequence[Outlet],
        servers: Sequence[Server] = (),
        *,
        is_patient: bool,
        leave: Leave,
        pool: BufferPool | None = None,
    ) -> None:
        """Prepare.

        Args:
            run_id: of the daemon's run.
            clock: for the rate of status messages.
            now_utc: what ``emitted_ns`` is read from.
            outlets: in the order in which each gets a batch; whoever binds them does so before ``run``.
            servers: what ``run`` listens to.
            is_patient: wait for subscribers that are full instead of losing batches (pace ``asap``).
            leave: as the group of a batch has it.
            pool: where copies lie.
        """
        self._run_id, self._clock, self._now_utc = run_id, clock, now_utc
        self._outlets, self._servers, self._pool = tuple(outlets), tuple(servers), pool or BufferPool()
        self._copying = tuple(outlet for outlet in outlets if outlet.needs_copies)
        self._leasing = tuple(outlet for outlet in outlets if not outlet.needs_copies)
        self._is_patient, self._leave = is_patient, leave
        self._queue: queue.Queue[Outgoing] = queue.Queue(QUEUE_LENGTH)
        self._sending = threading.Lock()  # from taking an item until it is sent: they leave in order
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake).atexit = False  # not with the thread: it may end while we wake it
        self._epoch = self._status_due_ns = 0
        self._turned_ns = clock.monotonic_ns()
        self._impatience = threading.Event()
        self._is_draining = self._is_ending = False
        self._last_word: wire.State = "running"
        self.control = ""
        """Its endpoint, once that is known: what is said under ``status`` tells it."""

    # From any thread.

    @property
    def subscriptions(self) -> int:
        """Subscriptions that subscribers hold now, whatever to; one on this host has one."""
        return sum(outlet.subscriptions for outlet in self._outlets)

    @property
    def turned_ns(self) -> int:
        """When its thread last went round, or was seen to wait for a subscriber: of the monotonic clock."""
        return self._turned_ns

    def has_room(self) -> bool:
        """Whether ``put`` would return at once, however slow a subscriber is."""
        return not self._is_patient and not self._queue.full()

    def put(self, item: Outgoing) -> None:
        """Send a batch or a late frame, or queue it; waits while the publisher is ``QUEUE_LENGTH`` items behind."""
        if self._send_now(item):
            return
        self._queue.put(item)
        os.eventfd_write(self._wake, 1)

    def _send_now(self, item: Outgoing) -> bool:
        """Send from the calling thread, where there is nothing before it and nobody wants it who needs ours."""
        if self._is_patient or self._is_draining or not self._sending.acquire(blocking=False):
            return False
        try:
            wanting = self._wanting(item)
            outlets = [outlet for some in wanting.values() for outlet in some]
            if not outlets or any(outlet.is_bound for outlet in outlets) or not self._queue.empty():
                return False
            self._send(item, wanting)
        finally:
            self._sending.release()
        return True

    def take_early(self, payload: Carried, topics: Sequence[bytes]) -> None:
        """Copy a frame that has just come out of its slot, if a batch under one of the topics will be sent as copies.

        A batch then leaves at its deadline without the time that copying all of it takes. The slot goes home, unless
        somebody will want it.
        """
        coded = [topic.replace(BATCH_PREFIX, CODED_PREFIX, 1) for topic in topics] if payload.coded is not None else ()
        with suppress(MemoryError):  # it stays in its slot, and there may be some when its batch leaves
            if any(outlet.wants(topic) for outlet in self._copying for topic in coded):
                payload.copy_coded(self._pool)
            if any(outlet.wants(topic) for outlet in self._copying for topic in topics):
                keeps_slot = any(outlet.wants(topic) for outlet in self._leasing for topic in topics)
                payload.copy_out(self._pool, keeps_slot=keeps_slot)

    def drain(self) -> None:
        """The service stops: from now on subscribers are waited for, for three seconds in all."""
        timer = threading.Timer(LINGER_MS / 1000, self._impatience.set)
        timer.daemon = True
        timer.start()
        self._is_draining = True

    def end(self, state: wire.State) -> None:
        """Let ``run`` send what is queued and the last word, and return: no batch comes any more."""
        self._last_word = state
        if not (self._is_patient and state == "ended"):
            self.drain()
        self._is_ending = True
        os.eventfd_write(self._wake, 1)

    # From the publisher's thread.

    def run(self, stop: StopToken) -> None:
        """Serve until ``end`` and what was queued before it is sent, or until the stop; then end every outlet."""
        poller = zmq.Poller()
        for source in (self._wake, *(server.socket for server in self._servers)):
            poller.register(source, zmq.POLLIN)
        while not stop.is_set and not (self._is_ending and self._queue.empty()):
            self._turned_ns = self._clock.monotonic_ns()
            self._send_status()
            if self._wake in dict(poller.poll(POLL_MS)):
                os.eventfd_read(self._wake)
            for server in self._servers:
                server.serve()
            self._send_queued()
        linger_ms = LINGER_MS if self._is_draining else -1
        for outlet in self._outlets:
            is_over = self._last_word == "ended"
            outlet.end(lambda: self._status(self._last_word), self._waits, is_over=is_over, linger_ms=linger_ms)
        while not self._queue.empty():
            _release(_frames_of(self._queue.get_nowait()))

    def _send_status(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._status_due_ns:
            self._status_due_ns = now_ns + NS_PER_S
            status = self._status("running")  # the last word comes behind what is queued
            for outlet in self._outlets:
                outlet.send_status(status, self._waits)

    def _status(self, state: wire.State) -> bytes:
        return wire.encode_status(self._run_id, self._epoch, state, emitted_ns=self._now_utc(), control=self.control)

    def _send_queued(self) -> None:
        """Send what waits; whatever was taken from the queue is sent before anything else is considered."""
        while True:
            with self._sending:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    return
                self._turned_ns = self._clock.monotonic_ns()
                self._send(item, self._wanting(item))

    def _wanting(self, item: Outgoing) -> dict[bytes, list[Outlet]]:
        """The topics that it goes under, and who wants it there."""
        return {topic: [one for one in self._outlets if one.wants(topic)] for topic in _topics_of(item)}

    def _send(self, item: Outgoing, wanting: Mapping[bytes, Sequence[Outlet]]) -> None:
        """Send it to those who want it, then let go of it; only who wants payloads costs any."""
        frames, wanted = _frames_of(item), {topic: outlets for topic, outlets in wanting.items() if outlets}
        try:
            copies = dict[bytes, Sequence[Any]]()
            for topic, outlets in list(wanted.items()):
                try:
                    copies[topic] = self._copies(topic, frames, outlets)
                # Who wants it misses it, as who is full, and sees the hole in `seq`.
                except MemoryError:
                    log.error("%s is not sent: there is no memory to copy it", topic.decode())
                    del wanted[topic]
                except FrameUndecodable as error:
                    log.error("%s is not sent: %s", topic.decode(), str(error))  # not what its traceback holds
                    del wanted[topic]
            headers = self._headers(item, self._now_utc(), wanted)
            for topic, outlets in wanted.items():
                its_frames = () if topic.startswith(HEAD_PREFIX) else frames
                prepared = Prepared(item, topic, headers[topic], its_frames, copies[topic])
                for outlet in outlets:
                    outlet.send(prepared, self._waits)
        finally:
            _release(frames)

    def _copies(self, topic: bytes, frames: Sequence[Frame], outlets: Sequence[Outlet]) -> Sequence[Any]:
        """Their payloads in shared buffers; they stay in their slots too where another group may yet lease them."""
        if topic.startswith(HEAD_PREFIX) or not any(outlet.needs_copies for outlet in outlets):
            return ()
        if topic.startswith(CODED_PREFIX):
            return [self._coded_copy(frame) for frame in frames]
        keeps_slot = any(outlet.subscriptions > 0 for outlet in self._leasing)
        return [frame.payload.copy_out(self._pool, keeps_slot=keeps_slot) for frame in frames]

    def _coded_copy(self, frame: Frame) -> Any:
        """A frame's coded picture, which is its payload where that is one; empty where it has none."""
        copy = frame.payload.copy_coded(self._pool)
        if copy is None and frame.format not in RAW_FORMATS:
            copy = frame.payload.copy_out(self._pool, keeps_slot=True)
        return b"" if copy is None else copy

    def _headers(self, item: Outgoing, emitted_ns: int, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        if isinstance(item, FrameBatch):
            self._epoch = item.epoch
            return self._leave(item, emitted_ns, wanted)
        return {topic: wire.encode_late(item, run_id=self._run_id, emitted_ns=emitted_ns) for topic in wanted}

    def _waits(self) -> bool:
        """Whether a subscriber that is full is waited for; asked again and again while one is.

        Meanwhile everybody else is served: also who is waited for may have to say something before that is over.
        """
        self._turned_ns = self._clock.monotonic_ns()
        is_waiting = (self._is_patient or self._is_draining) and not self._impatience.is_set()
        if is_waiting:
            self._send_status()
            for server in self._servers:
                server.serve()
        return is_waiting


def _topics_of(item: Outgoing) -> list[bytes]:
    if isinstance(item, FrameBatch):
        return [wire.head_topic(item.group), wire.coded_topic(item.group), wire.batch_topic(item.group)]
    return [wire.late_topic(item.group)]


def _frames_of(item: Outgoing) -> list[Frame]:
    if isinstance(item, FrameBatch):
        return [frame for some in item.frames.values() for frame in some]
    return [item.frame]


def _release(frames: Sequence[Frame]) -> None:
    for frame in frames:
        frame.payload.release()
