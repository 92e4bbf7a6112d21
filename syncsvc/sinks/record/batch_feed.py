"""What is to be recorded, batch by batch: headers as they are, with the coded pictures that came beside the pixels.

Where streams have both, raw pictures and the camera's own, these come under ``coded/``, and what streams look like to
everybody under ``batch/`` and ``head/``: two subscriptions, whose batches are put together again by their numbers.
Otherwise one has it all. Which it is the service tells before anything is subscribed to.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from msgspec import Struct

from syncsvc.client.attached import READY_S
from syncsvc.client.connecting import Keys, keys_in
from syncsvc.client.inlets import Mode
from syncsvc.client.inquiry import ask_terms
from syncsvc.client.live import check_endpoint
from syncsvc.client.presence import Patience
from syncsvc.client.sequence import Groups, Wanted, group_names
from syncsvc.client.subscriber import Subscriber
from syncsvc.client.timeouts import Deadline
from syncsvc.errors import NoAnswer, SubscriptionEnded
from syncsvc.model import Frame, FrameBatch, Gap
from syncsvc.transport.bell import Bell
from syncsvc.wire import GroupTerms

Item = FrameBatch | Gap
_AGAIN_S: Final = 0.1
_SILENCE_S: Final = 10.0
"""What comes beside was sent before or with the batch that waits for it: after so long without a word, its
subscription missed it, and the service's end too."""

log = logging.getLogger(__name__)


class Fed(Struct, frozen=True):
    """A batch, its header as on the wire, and what never came before it.

    ``coded`` has the coded picture of a frame by stream and ``seq``, where there is one.
    """

    batch: FrameBatch
    header: Mapping[str, Any]
    coded: Mapping[tuple[str, int], Frame]
    gaps: Sequence[Gap]


Headed = tuple[FrameBatch, Mapping[str, Any]]


class _Beside(Subscriber[Item]):
    """The second subscription of a recorder, which counts as one."""

    _is_counted = False


class BatchFeed:
    """One or two subscriptions to one service, made once it is there.

    Args:
        endpoint: its ``publish.live``.
        group: those to record; None: all.
        mode: of both subscriptions.
        keys: of ``Subscriber``.
        wants_coded: take coded pictures where they come; otherwise pixels are all.

    Raises:
        UsageError: the endpoint cannot be one, or a group.
    """

    def __init__(self, endpoint: str, group: Groups, mode: Mode, *, wants_coded: bool, keys: Keys = None) -> None:
        check_endpoint(endpoint)
        self._endpoint, self._group, self._mode, self._wants_coded = endpoint, group, mode, wants_coded
        self._names, self._keys = group_names(group), keys
        self._bell, self._told = Bell(), ""
        self._terms: Mapping[str, GroupTerms] | None = None
        self._main: Subscriber[Item] | None = None
        self._beside: Subscriber[Item] | None = None
        self._is_coded = self._has_pixels = False
        self._silence_s = 0.0
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        self._coded: dict[str, deque[Headed]] = defaultdict(deque)
        self._headed: dict[str, deque[Headed]] = defaultdict(deque)
        self._last: dict[str, FrameBatch] = {}
        self._first: dict[str, FrameBatch] = {}

    @property
    def terms(self) -> Mapping[str, GroupTerms]:
        """What the groups promise that are recorded, as the service told when it was met; empty before that."""
        return self._terms or {}

    # The beginning.

    def wait_ready(self, timeout_s: float | None) -> None:
        """Wait until the service is there; errors as of ``Subscriber.wait_ready``."""
        patience = Patience(timeout_s, self._bell)
        while self._main is None:
            try:
                self._begin(patience)
            except NoAnswer as error:
                if not error.may_come or patience.left_ms() <= 1000 * _AGAIN_S:
                    self._told = str(error)
                    raise
                patience.pause(_AGAIN_S)
        self._main.wait_ready(patience.left_ms() / 1000)

    def _begin(self, patience: Patience) -> None:
        """Find out what there is to be had, and subscribe: with the main subscription, which counts, last.

        Raises:
            NoAnswer: the service is not there yet, or somebody else is.
            SubscriberClosed: ``close`` was called.
        """
        if self._terms is None:
            terms = ask_terms(self._endpoint, patience, keys_in(self._keys))
            self._terms = {name: one for name, one in terms.items() if self._names is None or name in self._names}
        carries = {what for one in self._terms.values() for what in one.carries.values()}
        if not self._wants_coded or "both" not in carries:
            self._main = self._open("pixels")
            return
        self._is_coded, self._has_pixels = True, "raw" in carries
        if self._mode == "lossless":  # in mode live a service that waits for subscriptions would count it
            self._beside = self._beside or self._open("pixels" if self._has_pixels else None, _Beside)
            self._beside.wait_ready(patience.left_ms() / 1000)
        self._main = self._open("coded")

    def _open(
        self, payload: Wanted, kind: type[Subscriber[Item]] = Subscriber[Item], start: int | None = None
    ) -> Subscriber[Item]:
        begins = start if self._mode == "lossless" else None
        return kind(
            self._endpoint, self._group, self._mode, gaps="yield", payload=payload, start=begins, keys=self._keys
        )

    def _begun(self, deadline: Deadline) -> Subscriber[Item]:
        """The main subscription, as soon as there is somebody to subscribe to."""
        while self._main is None:
            left_ms = deadline.left_ms()
            try:
                self._begin(Patience(READY_S, self._bell))
            except NoAnswer as error:
                if str(error) != self._told:
                    self._told = str(error)
                    log.warning("%s; waiting for it", self._told)  # not what its traceback holds
                pause_s = _AGAIN_S if left_ms is None else min(_AGAIN_S, left_ms / 1000)
                Patience(pause_s, self._bell).pause(pause_s)
            else:
                if self._told:
                    log.info("%s: the service is there", self._endpoint)
        return self._main

    # Batch by batch.

    def receive(self, timeout_s: float | None = None) -> Fed:
        """The next batch, and with the call before it the last one is acknowledged.

        Raises:
            TimeoutError: none came in time.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: it was closed.
        """
        deadline = Deadline(timeout_s)
        main = self._begun(deadline)
        while True:
            if (found := self._paired()) is not None:
                return found
            left_ms = deadline.left_ms()
            left_s = None if left_ms is None else left_ms / 1000
            if any(self._coded.values()):
                self._take_beside(left_s)
                continue
            item = main.receive(left_s)
            if isinstance(item, Gap):
                self._gaps[item.group].append(item)
            elif not self._is_coded:
                return self._fed(item, main.header, {})
            else:
                self._coded[item.group].append((item, main.header))
                self._first.setdefault(item.group, item)
                self._look_beside(item)

    def _look_beside(self, coded: FrameBatch) -> None:
        """Have what comes beside: headers alone, or pixels once a stream has no coded pictures."""
        terms = self.terms.get(coded.group)
        carries = {stream: terms.carries.get(stream, "raw") if terms else "raw" for stream in coded.frames}
        bare = {frame.stream for some in coded.frames.values() for frame in some if frame.payload is None}
        needs_pixels = self._has_pixels or any(carries[stream] == "raw" for stream in bare)
        if self._beside is not None:
            if needs_pixels == self._has_pixels:
                return
            self._beside.close()
            self._headed.clear()
        self._has_pixels = needs_pixels
        self._beside = self._open("pixels" if needs_pixels else None, _Beside, coded.window_start_ns)

    def _take_beside(self, left_s: float | None) -> None:
        """Wait for what comes beside; where nothing does for long, what waits for it goes without."""
        assert self._beside is not None, "it was opened with the first batch at the latest"
        wait_s = _SILENCE_S if left_s is None else min(left_s, _SILENCE_S)
        try:
            item = self._beside.receive(wait_s)
        except TimeoutError:
            self._silence_s += wait_s
            return
        except SubscriptionEnded:
            self._silence_s = _SILENCE_S
            return
        self._silence_s = 0.0
        if isinstance(item, Gap):
            self._gaps[item.group].append(item)
        else:
            self._headed[item.group].append((item, self._beside.header))

    def _paired(self) -> Fed | None:
        """The next batch that both subscriptions have; one that came only coded is what it is there.

        What the second one has not from before it began is missing.
        """
        for group, coded in self._coded.items():
            headed = self._headed[group]
            while coded:
                one, header = coded[0]
                while headed and _place(headed[0][0]) < _place(one):
                    headed.popleft()
                if headed and _place(headed[0][0]) == _place(one):
                    coded.popleft()
                    other, header = headed.popleft()
                    return self._fed(other, header, dict(_pictures(one)))
                if not headed and self._silence_s < _SILENCE_S:
                    break
                coded.popleft()
                if not headed:
                    return self._fed(one, header, dict(_pictures(one)))
        return None

    def _fed(self, batch: FrameBatch, header: Mapping[str, Any], coded: Mapping[tuple[str, int], Frame]) -> Fed:
        told, last = self._gaps.pop(batch.group, []), self._last.get(batch.group)
        self._last[batch.group] = batch
        first = self._first.get(batch.group, batch)
        length_ns = batch.window_end_ns - batch.window_start_ns
        begun_ns = first.window_start_ns if last is None else last.window_end_ns
        expected = first.seq if last is None else last.seq + 1
        if (last is None and batch.epoch != first.epoch) or (last is not None and batch.epoch != last.epoch):
            return Fed(batch, header, coded, told[:1] if last is not None else ())
        if batch.seq == expected:
            return Fed(batch, header, coded, ())
        reason = told[0].reason if told else "lost"
        last_ns = max(begun_ns, batch.window_start_ns - length_ns)
        gap = Gap(expected, batch.seq - 1, reason, batch.group, begun_ns, last_ns)
        return Fed(batch, header, coded, (gap,))

    def close(self) -> None:
        """Leave the service."""
        self._bell.ring()
        for one in (self._main, self._beside):
            if one is not None:
                one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(batch: FrameBatch) -> tuple[int, int]:
    return batch.epoch, batch.seq


def _pictures(batch: FrameBatch) -> Iterator[tuple[tuple[str, int], Frame]]:
    """The coded pictures that came, by stream and ``seq``."""
    for some in batch.frames.values():
        yield from (((frame.stream, frame.seq), frame) for frame in some if frame.payload is not None)
