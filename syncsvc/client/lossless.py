"""Every batch, in order, over ``control``: a thread that asks for them, by credit, and goes on where it was cut off."""

import re
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
import zmq

from syncsvc import wire
from syncsvc.certificates import ClientKeys
from syncsvc.client.connecting import connect
from syncsvc.client.inlet import ThreadedInlet
from syncsvc.client.inquiry import find_control
from syncsvc.client.presence import Patience
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import NoAnswer, SubscriberClosed, UsageError, WireError
from syncsvc.wire import GAP_PREFIX, RESUMED_TOPIC, STATUS_TOPIC, Credit, Mark, Place, Resume

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
Start = Literal["oldest"] | int | Place | None
"""Where a new subscription begins; None: with what comes from now on."""
AHEAD: Final = 2
"""Batches that may be here before the user has done with the first of them, so that the next one is on its way then."""
BEAT_MS: Final = 1000
RETRY_MS: Final = 100
FINDING_S: Final = 2.0
SILENCE_NS: Final = 5 * NS_PER_S
"""A service answers every word; after so long without one it is looked for anew."""
_OPTIONS = {
    zmq.LINGER: 100,  # for the word that we leave
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 2,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.RECONNECT_IVL: 20,
    zmq.RECONNECT_IVL_MAX: 1000,
}


PAYLOADS: Final[dict[Literal["pixels", "coded"] | None, Literal["batch", "coded", "head"]]] = {
    "pixels": "batch", "coded": "coded", None: "head",
}  # fmt: skip


def check_start(groups: Sequence[str] | None, name: str | None, start: Start) -> None:
    """Refuse what no subscription can be called, or begin with.

    Raises:
        UsageError: it cannot.
    """
    if groups is not None and len(groups) > wire.MOST_GROUPS:
        raise UsageError(f"group: {len(groups)} names, at most {wire.MOST_GROUPS} in mode 'lossless'; None takes all")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
        raise UsageError(f"name {name!r}: letters, digits, '_', '-' and '.' are allowed, 64 at most")
    numbers = start if isinstance(start, tuple) else (0, 0) if start in ("oldest", None) else (start, 0)
    if len(numbers) != 2 or not all(type(one) is int and 0 <= one < 2**63 for one in numbers):
        raise UsageError(f"start {start!r}: allowed are 'oldest', UTC nanoseconds, and (epoch, seq)")
    if isinstance(start, tuple) and (groups is None or len(groups) > 1):
        raise UsageError(f"start {start!r}: that is the place of a batch in one group, so name one group")


class Ledger:
    """What came, what was taken and what is done with: from there the words that we say follow. One thread at a time.

    Guarantees: what is done with never falls; a batch gives its credit back once, when the next one is asked for.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._received: dict[str, Mark] = {}
        self._waiting: deque[tuple[str, Mark, bool]] = deque()
        self._taken: list[tuple[str, Mark, bool]] = []
        self._done: dict[str, Place] = {}
        self._news: dict[str, Place] = {}
        self._credit = 0
        self.has_news = False

    def is_new(self, group: str, mark: Mark) -> bool:
        """Whether a batch is behind all that came of its group."""
        last = self._received.get(group)
        return last is None or mark.epoch > last.epoch or (mark.epoch == last.epoch and mark.seq > last.seq)

    def receive(self, group: str, mark: Mark, *, is_batch: bool) -> None:
        """A batch came, or word of what is missing up to one; only that costs credit."""
        self._received[group] = mark
        self._waiting.append((group, mark, is_batch))

    def refuse(self) -> None:
        """A batch came that is of no use: it costs no credit."""
        self._credit, self.has_news = self._credit + 1, True

    def take(self) -> None:
        """The user's side took the one that waited longest."""
        self._taken.append(self._waiting.popleft())

    def finish(self) -> bool:
        """All that was taken is done with, since the next is asked for; whether that is to be told."""
        for group, mark, is_batch in self._taken:
            self._done[group] = self._news[group] = mark.place
            self._credit += is_batch
        self.has_news = self.has_news or bool(self._taken)
        self._taken.clear()
        return self.has_news

    def resume(self, word: Resume) -> Resume:
        """The word that begins a session, with where we stand."""
        held = sum(is_batch for _, _, is_batch in (*self._waiting, *self._taken))
        self._credit, self._news, self.has_news = max(0, self._ahead - held), {}, False
        return msgspec.structs.replace(
            word, credit=self._credit, received=dict(self._received), acknowledged=dict(self._done)
        )

    def credit(self, client: str, session: int) -> Credit:
        """The word that tells what is done with."""
        news, self._news, self.has_news = self._news, {}, False
        return Credit(1, client, session, self._credit, news)


class LosslessInlet(ThreadedInlet):
    """Messages of the service as they come on ``live``, none left out while the service has them."""

    def __init__(
        self,
        endpoint: str,
        groups: Sequence[str] | None,
        payload: Literal["batch", "coded", "head"],
        name: str | None,
        start: Start,
        keys: ClientKeys | None = None,
        *,
        is_counted: bool,
    ) -> None:
        """Find the service's ``control`` when it is there, and again whenever it comes back.

        ``groups`` None takes all of them; ``name``, ``start`` and ``is_counted`` are those of ``Subscriber``.
        """
        super().__init__(endpoint)
        self._keys = keys
        self._client, self._session = secrets.token_hex(8), 0
        self._word = Resume(
            1, self._client, 0, payload, 0, None if groups is None else tuple(groups), name, start == "oldest",
            start if isinstance(start, int) else None, start if isinstance(start, tuple) else None,
            counted=is_counted,
        )  # fmt: skip
        self._ledger, self._lock = Ledger(1 if name is not None else AHEAD), threading.Lock()
        self._is_resumed = False
        self._said_ns = self._heard_ns = 0
        self.begin("syncsvc-lossless")

    # From the user's thread.

    def take(self) -> Sequence[Any] | None:
        """See ``Inlet``."""
        self.check_open()
        with self._lock:
            if self._items:
                parts = self._items.popleft()
                if bytes(parts[0]) not in (STATUS_TOPIC, RESUMED_TOPIC):
                    self._ledger.take()
                return parts
        self.check_served()
        return None

    def acknowledge(self) -> None:
        """See ``Inlet``."""
        with self._lock:
            has_news = self._ledger.finish()
        if has_news:
            self._wake.ring()

    @property
    def is_attached(self) -> bool:
        """See ``Inlet``."""
        return self._is_resumed

    # The inlet's own thread.

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while not self.is_closed and not self.problem:
                with suppress(SubscriberClosed, NoAnswer):
                    self._attend(context, find_control(self._endpoint, Patience(FINDING_S, self._end), self._keys))
                with suppress(SubscriberClosed):
                    Patience(FINDING_S, self._end).pause(RETRY_MS / 1000)
        except (UsageError, zmq.ZMQError) as error:
            self.problem = str(error)
        finally:
            context.destroy()
            self._news.ring()

    def _attend(self, context: "zmq.Context[zmq.Socket[bytes]]", control: str) -> None:
        """Be served over ``control`` until we leave, or it falls silent."""
        with context.socket(zmq.DEALER) as sock:
            for option, value in _OPTIONS.items():
                sock.set(option, value)
            connect(sock, control, self._keys)
            self._is_resumed, self._said_ns, self._heard_ns = False, 0, SYSTEM_CLOCK.monotonic_ns()
            while not self.is_closed and not self.problem and self._turn(sock):
                pass
            if self.is_closed and self._is_resumed:
                self._say(sock, wire.Leave(1, self._client))

    def _turn(self, sock: "zmq.Socket[bytes]") -> bool:
        """Say what is due, wait for news, and take it in; false once there was none for long."""
        self._speak(sock)
        poller = zmq.Poller()
        poller.register(self._wake.fd, zmq.POLLIN)
        poller.register(sock, zmq.POLLIN)
        poller.poll(BEAT_MS)
        self._wake.answer()
        is_news = False
        while True:
            try:
                frames = sock.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._heard_ns = SYSTEM_CLOCK.monotonic_ns()
            is_news = self._hear([frame.buffer for frame in frames]) or is_news
        if is_news or self.problem:
            self._news.ring()
        return SYSTEM_CLOCK.monotonic_ns() - self._heard_ns < SILENCE_NS

    def _speak(self, sock: "zmq.Socket[bytes]") -> None:
        """A session begins, batches are done with, or nothing was said for long."""
        is_due = SYSTEM_CLOCK.monotonic_ns() - self._said_ns >= BEAT_MS * NS_PER_MS
        if self._is_resumed:
            with self._lock:
                word = self._ledger.credit(self._client, self._session) if is_due or self._ledger.has_news else None
            if word is not None:
                self._say(sock, word)
        elif is_due:
            self._session += 1
            with self._lock:
                word_of_all = self._ledger.resume(msgspec.structs.replace(self._word, session=self._session))
            self._say(sock, word_of_all)

    def _say(self, sock: "zmq.Socket[bytes]", word: wire.Resume | Credit | wire.Leave) -> None:
        """Say a word; over a connection of later the service answers that we are to resume.

        ZMQ_IMMEDIATE would keep none for that, but then libzmq 4.3 drops what has come and is not read yet when a
        connection ends: the last batches of a service, and its last word.
        """
        with suppress(zmq.Again):  # nobody is there for so long that no more is queued
            sock.send(wire.encode_word(word), zmq.NOBLOCK)
        self._said_ns = SYSTEM_CLOCK.monotonic_ns()

    def _hear(self, parts: Sequence[Any]) -> bool:
        """Take in one message; whether it is news for the user."""
        try:
            topic = bytes(parts[0])
            if len(parts) == 1:
                self._hear_word(wire.decode_control(topic))
                return False
            if topic == RESUMED_TOPIC:
                self._is_resumed = self._is_resumed or wire.decode_resumed(parts[1]).session == self._session
            elif topic.startswith(GAP_PREFIX):
                missing = wire.decode_missing(parts[1])
                return self._take_in(parts, missing.group, missing.last, is_batch=False)
            elif topic != STATUS_TOPIC:
                found = wire.decode_identity(parts[1])
                mark = Mark(found.run_id, found.epoch, found.seq, found.window)
                return self._take_in(parts, found.group, mark, is_batch=True)
            return self._note(parts)
        except WireError:
            return False

    def _hear_word(self, word: dict[str, Any]) -> None:
        if word["type"] == "error":
            self.problem = str(word.get("problem", ""))
        elif word["type"] == "resume" and self._is_resumed:
            self._is_resumed, self._said_ns = False, 0

    def _take_in(self, parts: Sequence[Any], group: str, mark: Mark, *, is_batch: bool) -> bool:
        """A batch, or word of some that are missing; what was sent to a session before ours comes again."""
        if not self._is_resumed:
            return False
        with self._lock:
            if not self._ledger.is_new(group, mark):
                if is_batch:
                    self._ledger.refuse()
                return False
            self._ledger.receive(group, mark, is_batch=is_batch)
            self._items.append(parts)
        return True

    def _note(self, parts: Sequence[Any]) -> bool:
        """What says how the service is; of several in a row that say the same the last is enough."""
        with self._lock:
            if self._items and self._items[-1][0] == STATUS_TOPIC == parts[0] and _same_state(self._items[-1], parts):
                self._items.pop()
            self._items.append(parts)
        return True


def _same_state(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return wire.decode_status(one[1]).state == wire.decode_status(other[1]).state
