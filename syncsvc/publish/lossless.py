"""The outlet of mode ``lossless``: over ``control``, by credit, out of a history that all its subscribers share.

A ROUTER drops in silence what its peer has no room for. Here routing is mandatory and no send waits: what does not go
now goes later, from the subscription's own cursor. A subscriber that stalls costs the others nothing; when the history
has passed its cursor, it is told what it missed.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

from syncsvc import wire
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import WireError
from syncsvc.model import FrameBatch
from syncsvc.observe.pace import Pace
from syncsvc.observe.status import LosslessStatus
from syncsvc.publish.flights import Flights
from syncsvc.publish.layers import DeepStore, Layers
from syncsvc.publish.outlet import Prepared, Waits, kept
from syncsvc.publish.store import Kept, MemoryStore, Store
from syncsvc.publish.subscription import Subscription
from syncsvc.wire import LATE_PREFIX, STATUS_TOPIC, Credit, Leave, Resume

KEPT_NS: Final = 600 * NS_PER_S
"""How long a subscription with a name outlives its process, and history its last subscription."""
BACK_NS: Final = 10 * NS_PER_S
"""How long one without a name outlives its connection, which may come back."""
MOST_SUBSCRIPTIONS: Final = 256
POLL_MS: Final = 50
SHARED_BYTES: Final = 4096
"""From here on all subscribers share a payload's memory with the history; pyzmq would copy up to 64 KiB for each."""
STALLED_NS: Final = NS_PER_S
"""At a stop, how long without progress somebody is waited for."""

log = logging.getLogger(__name__)


class LosslessOutlet:
    """Everything from the publisher's thread, but ``subscriptions`` and ``wants``."""

    needs_copies = is_bound = True

    def __init__(self, clock: Clock, history: MemoryStore, deep: DeepStore | None = None, *, is_patient: bool) -> None:
        """Prepare.

        Args:
            clock: for what expires.
            history: where batches are kept.
            deep: where more of them are, also of before this run.
            is_patient: pace ``asap``: nothing is dropped that a subscription may yet ask for.
        """
        self._clock, self._history, self._is_patient, self._deep = clock, history, is_patient, deep
        self._store: Store = history if deep is None else Layers(history, deep)
        self._kept_ns = max(KEPT_NS, 0 if deep is None else deep.keep_ns)
        self._subscriptions: dict[str, Subscription] = {}
        self._wanted: dict[bytes, int] = {}
        self._patterns: tuple[bytes, ...] = ()
        self._flights = Flights()
        self._order = 0
        self._pace = Pace()
        self._told: set[bytes] = set()
        self._cut_off = self._gaps = 0
        self._is_over = False
        self.subscriptions = 0
        """How many subscribers are there that count."""

    def attach(self, sock: "zmq.Socket[bytes]", hang_up: Callable[[int], None]) -> None:
        """Speak over this ROUTER.

        Args:
            sock: bound; whoever serves it ends in ``attend``.
            hang_up: ends the connection of a descriptor.
        """
        sock.set(zmq.ROUTER_MANDATORY, 1)
        sock.copy_threshold = SHARED_BYTES
        self._socket, self._hang_up = sock, hang_up

    def status(self) -> LosslessStatus:
        """What the service tells of them; from any thread."""
        some, size_bytes = tuple(self._subscriptions.values()), self._history.size_bytes
        here = sum(one.is_connected for one in some)
        return LosslessStatus(here, len(some), self._history.batches, size_bytes, self._gaps, self._cut_off)

    def wants(self, topic: bytes) -> bool:
        """Whether batches under the topic are kept."""
        return not topic.startswith(LATE_PREFIX) and _is_matched(topic, self._patterns)

    # What comes.

    def hear(self, route: bytes, data: bytes, descriptor: int) -> None:
        """Take in one word of a subscriber; ``descriptor`` is its connection's."""
        try:
            word = wire.decode_word(data)
        except WireError as error:
            self._answer(route, {"type": "error", "problem": str(error)})
            return
        now_ns, one = self._clock.monotonic_ns(), self._of_client(word.client)
        match word:
            case Resume():
                if self._deep is None or self._deep.is_open:  # else it asks again in a moment
                    self._resume(route, word, descriptor)
            case Credit():
                if one is None or one.route != route or one.session != word.session:
                    self._answer(route, {"type": "resume"})
                elif one.credit(word, now_ns):
                    self._pump(one)
                else:
                    self._answer(route, {"type": "credit"})
            case Leave():
                if one is not None:
                    one.leave(now_ns)
                    if one.name is None:
                        self._end(one)
        self._count()

    def _of_client(self, client: str) -> Subscription | None:
        return next((one for one in self._subscriptions.values() if one.client == client), None)

    def _resume(self, route: bytes, word: Resume, descriptor: int) -> None:
        now_ns, key = self._clock.monotonic_ns(), _key(word)
        one = self._subscriptions.get(key)
        is_new = one is None
        if one is None:
            if problem := self._objection():
                self._answer(route, {"type": "error", "problem": problem})
                return
            one = self._subscriptions[key] = Subscription(word, now_ns)
        elif one.is_connected and one.client != word.client:
            problem = f"another subscriber has taken the subscription {word.name!r}"
            self._answer(one.route, {"type": "error", "problem": problem})
        courses = one.resume(word, self._store, now_ns, is_new=is_new)
        one.route, one.descriptor = route, descriptor
        self._want(one, now_ns)
        resumed = wire.encode_word(wire.Resumed(1, word.session, dict(courses)))
        if self._send(one, [wire.RESUMED_TOPIC, resumed]) is not None:
            self._pump(one)

    def _objection(self) -> str:
        if not self._history.most[0]:
            return "mode 'lossless' needs a history, and publish.history is 0"
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            return f"the service keeps {MOST_SUBSCRIPTIONS} lossless subscriptions already"
        return ""

    def attend(self) -> None:
        """Send what can be sent by now, and let go of who is gone for good."""
        now_ns = self._clock.monotonic_ns()
        for one in tuple(self._subscriptions.values()):
            self._pump(one)
            if self._has_expired(one, now_ns):
                self._end(one)
            else:
                self._want(one, now_ns)
        over = [pattern for pattern, until_ns in self._wanted.items() if now_ns >= until_ns]
        if over:
            for pattern in over:
                del self._wanted[pattern]
            self._patterns = tuple(self._wanted)
            self._told.intersection_update(self._history.topics)
            self._history.forget([topic for topic in self._history.topics if not _is_matched(topic, self._patterns)])
        self._count()

    def _has_expired(self, one: Subscription, now_ns: int) -> bool:
        if not one.is_connected:
            return now_ns - one.left_ns >= (BACK_NS if one.name is None else self._kept_ns)
        return not self._is_patient and now_ns - one.heard_ns >= KEPT_NS

    def _end(self, one: Subscription) -> None:
        del self._subscriptions[one.client if one.name is None else _NAMED + one.name]

    def _want(self, one: Subscription, now_ns: int) -> None:
        """Keep what it wants; none of that is given up for a while after it is gone."""
        for pattern in one.patterns():
            if pattern not in self._wanted:
                self._patterns = (*self._patterns, pattern)
            self._wanted[pattern] = now_ns + KEPT_NS

    def _count(self) -> None:
        self.subscriptions = sum(one.is_connected and one.is_counted for one in self._subscriptions.values())

    # What leaves.

    def send(self, prepared: Prepared, waits: Waits) -> None:
        """Keep a batch, and send it to everybody who is there for it."""
        assert isinstance(prepared.item, FrameBatch), "late frames have no place in a history"
        self._order += 1
        batch = kept(prepared, self._order)
        going = self._history.displaced_by(batch)
        while self._is_patient and any(self._is_needed(one) for one in going) and waits():
            self._socket.poll(POLL_MS)
            going = self._history.displaced_by(batch)
        for descriptor in {descriptor for one in going for descriptor in self._flights.end(one)}:
            self._hang_up(descriptor)  # it stands still: what is on its way to it would outlive the history
            self._cut_off += 1
        self._history.append(batch)
        self._tell(batch)
        for one in tuple(self._subscriptions.values()):
            self._pump(one)

    def _tell(self, batch: Kept) -> None:
        """Say how far the history reaches, once its first batch shows how big they are; and what it has no room for."""
        is_first, is_here = batch.topic not in self._told, batch in self._history
        if is_here and is_first:
            self._told.add(batch.topic)
            most, most_bytes = self._history.most
            fit = min(most, most_bytes // batch.size_bytes)
            window = batch.mark.window or (0, 0)
            log.info("mode lossless: %s is kept from now on; batches of %.1f MiB as this one: %d of %d fit, %.4g s",
                     batch.topic.decode(), batch.size_bytes / _MIB, fit, most,
                     fit * (window[1] - window[0]) / NS_PER_S)  # fmt: skip
        if not is_here and self._pace.allows(self._clock.monotonic_ns()):
            log.warning("mode lossless: batch %d of %s takes %.1f MiB and is not kept: history_mb is %.0f",
                        batch.mark.seq, batch.topic.decode(), batch.size_bytes / _MIB,
                        self._history.most[1] / _MIB)  # fmt: skip

    def _is_needed(self, batch: Kept) -> bool:
        return not batch.why_not and any(one.needs(batch) for one in self._subscriptions.values())

    def _pump(self, one: Subscription) -> None:
        """Send it all that it has credit for, until its way is full."""
        while (found := one.next(self._store)) is not None and one.is_connected:
            batch, missing = found
            if missing is None:
                batch = self._store.fetch(batch)
                if batch.why_not:
                    continue  # by now it is known to be gone
                tracker = self._send(one, [batch.topic, one.header_of(batch), *batch.payloads])
                if tracker is not None and not batch.is_stored:
                    self._flights.begin(batch, one.descriptor, tracker)
            else:
                tracker = self._send(one, [wire.gap_topic(batch.group), wire.encode_word(missing)])
            if tracker is None:
                return
            one.sent(batch, missing)
            self._gaps += missing is not None

    def _send(self, one: Subscription, parts: Sequence[Any]) -> zmq.MessageTracker | None:
        """Send one message; None where its way is full, or it is gone."""
        try:
            return self._socket.send_multipart([one.route, *parts], zmq.DONTWAIT, copy=False, track=True)
        except zmq.Again:
            return None
        except zmq.ZMQError:  # EHOSTUNREACH: routing is mandatory
            one.leave(self._clock.monotonic_ns())
            return None

    def _answer(self, route: bytes, words: dict[str, Any]) -> None:
        try:
            self._socket.send_multipart([route, wire.encode_control(words)], zmq.DONTWAIT)
        except zmq.ZMQError:  # who does not read asks again
            return

    def send_status(self, status: bytes, waits: Waits) -> None:
        """Send what is said under ``status``, which shows too who is gone."""
        for one in () if self._is_over else self._subscriptions.values():
            if one.is_connected:
                self._send(one, [STATUS_TOPIC, status])
        self._count()

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        """Let everybody take what is kept, and say the last word.

        Where recordings are played ``asap`` this waits for subscriptions with a name to be done with it, too; else for
        whoever makes progress.
        """
        self._socket.set(zmq.LINGER, linger_ms)
        progress, since_ns = -1, 0
        while waits() and any(self._is_waited_for(one) for one in self._subscriptions.values()):
            now_ns, was = self._clock.monotonic_ns(), progress
            progress = sum(one.progress for one in self._subscriptions.values())
            since_ns = since_ns if progress == was else now_ns
            if linger_ms >= 0 and now_ns - since_ns >= STALLED_NS:
                break
            self._socket.poll(POLL_MS)
        self.send_status(status(), waits)
        self._is_over = True  # that was the last word, however long the other outlets take for theirs

    def _is_waited_for(self, one: Subscription) -> bool:
        return (one.is_connected or self._is_patient) and not one.is_done(self._store)


_NAMED: Final = "name:"
_MIB: Final = 2**20


def _key(word: Resume) -> str:
    return word.client if word.name is None else _NAMED + word.name


def _is_matched(topic: bytes, patterns: Sequence[bytes]) -> bool:
    return any(topic == one or (one.endswith(b"/") and topic.startswith(one)) for one in patterns)
