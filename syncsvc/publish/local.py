"""The outlet for subscribers on this host: descriptors instead of pixels, and leases that come home in time.

Whoever has the publisher's turn to send does so, a thread of its own hears. A subscriber that ends gives
everything back at once. One that dawdles is asked for its leases when their time is over, and moves what it still looks
at to memory of its own. One that does not answer in time is cut off: what it holds is never written again, and its
rings are exchanged for new ones. So no reader ever sees a torn frame, and none costs the others more than memory.
"""

import logging
import os
import select
import threading
import weakref
from collections.abc import Callable, Sequence

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.status import LocalStatus
from syncsvc.publish.door import Door
from syncsvc.publish.leases import GRACE_NS, lease_ns_of
from syncsvc.publish.local_subscriber import LocalSubscriber
from syncsvc.publish.outlet import BacklogOf, Prepared, Waits
from syncsvc.transport import leasing
from syncsvc.transport.payload import SlotLease
from syncsvc.wire import BATCH_PREFIX

HELLO_NS = 2 * NS_PER_S
MOST_SUBSCRIBERS = 256
WAIT_S = 0.2
SPARED_NS = 3600 * NS_PER_S
"""How long who gives back one frame after the other may take for slots of rings that are not used any more."""

log = logging.getLogger(__name__)


class LocalOutlet:
    """Serves every subscriber on this host."""

    needs_copies = is_bound = False

    def __init__(
        self, run_id: str, clock: Clock, now_utc: Callable[[], int], backlog_of: BacklogOf, *, is_patient: bool
    ) -> None:
        """Prepare.

        Args:
            run_id: of the daemon's run.
            clock: for the leases.
            now_utc: for how long frames have been in their rings.
            backlog_of: how many batches of a group a subscriber may be sent and has not taken yet.
            is_patient: pace ``asap``: subscribers are waited for, and keep what they hold.
        """
        self._run_id, self._clock, self._now_utc, self._is_patient = run_id, clock, now_utc, is_patient
        self._backlog_of = backlog_of
        self._changed = threading.Condition()
        self._subscribers: list[LocalSubscriber] = []
        self._wanted: Callable[[bytes], bool] = lambda topic: False
        self._door: Door | None = None
        self._endpoint = self._problem = self._control = ""
        self._most = MOST_SUBSCRIBERS
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake).atexit = False  # not with the thread: it may end while we wake it
        self._reclaimed = self._cut_off = self._missed = 0

    # From any thread.

    def wants(self, topic: bytes) -> bool:
        """Whether a subscriber on this host wants the batches under the topic."""
        return self._wanted(topic)

    @property
    def subscriptions(self) -> int:
        """Subscribers that said what they want."""
        return sum(one.has_asked and not one.is_gone for one in tuple(self._subscribers))

    def status(self) -> LocalStatus:
        """What the service tells of them."""
        with self._changed:
            leases = sum(len(one.granted) for one in self._subscribers)
        return LocalStatus(self.subscriptions, leases, self._reclaimed, self._cut_off, self._missed)

    # From the publisher's thread; ``send`` from whoever has its turn.

    def bind(self, endpoint: str) -> None:
        """Listen for subscribers of ``live`` at this endpoint, if that can be, before that itself is bound.

        So whoever finds ``live`` bound, and then nobody here, knows that nobody will be.
        """
        try:
            self._endpoint, self._door = endpoint, Door(leasing.listen(endpoint), self._clock)
        except OSError as error:
            self._problem = str(error.strerror)

    def follow(self, live: str, control: str, most_guests: int = MOST_SUBSCRIBERS) -> None:
        """``live`` is bound to this endpoint; whoever connects is told where ``control`` is.

        So many may be connected, and ``MOST_SUBSCRIBERS``. Where nobody can listen for its subscribers, there are none
        on this host, and a log line.
        """
        self._control, self._most = control, min(MOST_SUBSCRIBERS, most_guests)
        if live != self._endpoint:  # a port was taken, or a name looked up, only now
            self.close()
            self.bind(live)
        if self._door is None:
            log.warning("subscribers on this host must use mode 'live': %s", self._problem)

    def close(self) -> None:
        """Listen no longer."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def send(self, prepared: Prepared, waits: Waits) -> None:
        """Lease a batch to everybody who wants it."""
        assert isinstance(prepared.item, FrameBatch), "late frames leave as copies"
        group = prepared.item.group
        lease_ns = lease_ns_of(prepared.item.window_end_ns - prepared.item.window_start_ns)
        with self._changed:
            for one in tuple(self._subscribers):
                while one.wants(group) and not one.has_room(group) and waits():
                    self._changed.wait(WAIT_S)
                if one.wants(group):
                    self._lease(one, prepared, group, lease_ns)
        self.wake_up()

    def _lease(self, one: LocalSubscriber, prepared: Prepared, group: str, lease_ns: int) -> None:
        if not one.has_room(group):
            self._missed += 1
            return
        leases = [(frame, lease) for frame in prepared.frames if (lease := frame.payload.lease()) is not None]
        is_sent = False
        try:
            # Without a slot, the frame came before this subscriber did, and was copied out for the others.
            if len(leases) == len(prepared.frames):
                is_sent = one.send_batch(prepared, group, leases, *self._times(leases, lease_ns))
        except LinkClosed:
            one.is_gone = True
        if not is_sent:
            self._missed += one.has_begun
            for frame, _ in leases:
                frame.payload.release()

    def _times(self, leases: Sequence[tuple[Frame, SlotLease]], lease_ns: int) -> tuple[int, int]:
        """When the leases end and until when the slots can be spared, monotonic.

        They end as stated, or earlier where a ring in use is about to lack the slots. It would take time to exchange it
        if they did not come home, and half of the grace is left for that.
        """
        now_ns, now_utc_ns = self._clock.monotonic_ns(), self._now_utc()
        spare_ns = min(
            (frame.arrival_ns + lease.ring.span_ns - now_utc_ns for frame, lease in leases if lease.ring.is_in_use),
            default=SPARED_NS,
        )
        return now_ns + max(0, min(lease_ns, spare_ns - GRACE_NS)), now_ns + spare_ns - GRACE_NS // 2

    def send_status(self, status: bytes, waits: Waits) -> None:
        """Send what is sent under ``status``; it takes no place of a batch's."""
        self._send_status(status, lambda: False)

    def _send_status(self, status: bytes, waits: Waits) -> None:
        with self._changed:
            for one in tuple(self._subscribers):
                try:
                    while one.has_asked and not one.is_gone and not one.link.send(leasing.Said(status)):
                        if not waits():
                            break
                        self._changed.wait(WAIT_S)
                except LinkClosed:
                    one.is_gone = True

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        """Say the last word; what was sent is read by who wants it, and our thread hangs up when it is stopped."""
        self._send_status(status(), waits)

    # From its own thread.

    def run(self, stop: StopToken) -> None:
        """Hear subscribers until the stop; then hang up."""
        while not stop.is_set:
            poller = select.poll()
            sources: dict[int, LocalSubscriber | None] = {self._wake: None}
            if self._door is not None and self._door.opens_ns is None:
                sources[self._door.fileno()] = None
            sources |= {one.link.fileno(): one for one in self._subscribers}
            for fd in sources:
                poller.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poller.poll(self._patience_ms())}
            with self._changed:
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                for fd in ready:
                    one = sources[fd]
                    if one is not None:
                        self._receive(one)
                self._revoke_overdue()
                self._remove_gone()
                self._changed.notify_all()
            if self._door is not None and self._door.fileno() in ready:
                self._let_in(self._door)
        self._close()

    def wake_up(self) -> None:
        """Let ``run`` look at its stop token, and at when leases are due, now."""
        os.eventfd_write(self._wake, 1)

    def _patience_ms(self) -> float:
        with self._changed:
            dues = [due for one in self._subscribers if (due := one.granted.next_ns) is not None]
            dues += [one.since_ns + HELLO_NS for one in self._subscribers if not one.has_asked]
        if self._door is not None and self._door.opens_ns is not None:
            dues.append(self._door.opens_ns)
        left_ms = [(due - self._clock.monotonic_ns()) / NS_PER_MS for due in dues]
        if self._is_patient:  # what is over stays over until it comes home, however long that takes
            left_ms = [left for left in left_ms if left > 0]
        return max(1.0, min([1000 * WAIT_S, *left_ms]))

    def _let_in(self, door: Door) -> None:
        """Take a subscriber in, or refuse it."""
        sock = door.accept()
        if sock is None:
            return
        one = LocalSubscriber(sock, self._clock.monotonic_ns(), self._backlog_of)
        try:
            if not leasing.is_trusted(one.link.peer_uid):
                self._refuse(one, door, "mode 'local' shares memory with processes of the service's own user only")
            elif len(self._subscribers) >= self._most:
                self._refuse(one, door, f"the service has {self._most} subscribers on this host already")
            else:
                one.link.send(leasing.Welcome(self._run_id, self._control))
                with self._changed:
                    self._subscribers.append(one)
        except LinkClosed:
            one.link.close()
            door.was_for_nothing()

    @staticmethod
    def _refuse(one: LocalSubscriber, door: Door, problem: str) -> None:
        log.warning("a subscriber on this host was refused: %s", problem)
        door.was_for_nothing()
        one.link.send(leasing.Refused(problem))
        one.link.close()

    def _receive(self, one: LocalSubscriber) -> None:
        try:
            while (received := one.link.receive()) is not None:
                message, fd = received
                if fd is not None:
                    os.close(fd)
                self._do(one, message)
        except TransportError as error:
            if not isinstance(error, LinkClosed):
                log.warning("a subscriber on this host sent nonsense: %s", error)
                one.is_silent = True  # who knows what it does with what it holds
            one.is_gone = True

    def _do(self, one: LocalSubscriber, message: leasing.FromSubscriber) -> None:
        """Do what a subscriber says."""
        one.handle(message, self._clock.monotonic_ns())

    def _revoke_overdue(self) -> None:
        """Ask for leases whose time is over; who does not answer is cut off, or waited for if nothing may be lost."""
        now_ns = self._clock.monotonic_ns()
        for one in self._subscribers:
            if not one.has_asked and now_ns - one.since_ns >= HELLO_NS:
                one.is_gone = True
            over = one.granted.revoke(now_ns)
            try:
                if over:
                    self._reclaimed += len(over)
                    one.link.send(leasing.Revoked(over, self._is_patient))
            except LinkClosed:
                one.is_gone = True
            if not one.is_gone and not self._is_patient and one.granted.is_overdue(now_ns):
                log.warning("a subscriber on this host is cut off: it did not give back frames that it held too long")
                self._cut_off += 1
                one.is_gone = one.is_silent = True

    def _remove_gone(self) -> None:
        for one in [one for one in self._subscribers if one.is_gone]:
            one.link.close()
            one.granted.close(is_silent=one.is_silent)
            self._subscribers.remove(one)
            if not one.has_begun and self._door is not None:
                self._door.was_for_nothing()
        topics = set[bytes]().union(*(one.topics for one in self._subscribers if one.has_asked))
        self._wanted = (lambda topic: topic.startswith(BATCH_PREFIX)) if BATCH_PREFIX in topics else topics.__contains__

    def _close(self) -> None:
        with self._changed:
            for one in self._subscribers:
                one.is_gone = True
            self._remove_gone()
        self.close()
