"""What is to be recorded, batch by batch: headers as they are, with the coded pictures that came beside the pixels.

Coded pictures come under ``coded/``, what streams look like to everybody under ``batch/`` and ``head/``: two
subscriptions, whose batches are put together again by their numbers.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import Struct

from syncsvc.client.inlets import Mode
from syncsvc.client.sequence import Groups, Wanted
from syncsvc.client.subscriber import Subscriber
from syncsvc.client.timeouts import Deadline
from syncsvc.model import Frame, FrameBatch, Gap

Item = FrameBatch | Gap


class Fed(Struct, frozen=True):
    """A batch, its header as on the wire, and what never came before it.

    ``coded`` has the coded picture of a frame by stream and ``seq``, where there is one.
    """

    batch: FrameBatch
    header: Mapping[str, Any]
    coded: Mapping[tuple[str, int], Frame]
    gaps: Sequence[Gap]


class BatchFeed:
    """One or two subscriptions to one service.

    Args:
        endpoint: its ``publish.live``.
        group: those to record; None: all.
        mode: of both subscriptions.
        wants_coded: take coded pictures where they come; otherwise pixels are all.
    """

    def __init__(self, endpoint: str, group: Groups, mode: Mode, *, wants_coded: bool) -> None:
        self._endpoint, self._group, self._mode = endpoint, group, mode
        self._first = self._open("coded" if wants_coded else "pixels")
        self._wants_coded = wants_coded
        self._beside: Subscriber[Item] | None = None
        self._has_pixels = not wants_coded
        self._gaps: dict[str, list[Gap]] = defaultdict(list)
        self._coded: dict[str, deque[FrameBatch]] = defaultdict(deque)
        self._headed: dict[str, deque[tuple[FrameBatch, Mapping[str, Any]]]] = defaultdict(deque)
        self._last: dict[str, FrameBatch] = {}

    def _open(self, payload: Wanted, start: int | None = None) -> Subscriber[Item]:
        begins = start if self._mode == "lossless" else None
        return Subscriber(self._endpoint, self._group, self._mode, gaps="yield", payload=payload, start=begins)

    @property
    def main(self) -> Subscriber[Item]:
        """The subscription that there always is."""
        return self._first

    def receive(self, timeout_s: float | None = None) -> Fed:
        """The next batch, and with the call before it the last one is acknowledged.

        Raises:
            TimeoutError: none came in time.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: it was closed.
        """
        deadline = Deadline(timeout_s)
        while True:
            left_ms = deadline.left_ms()
            left_s = None if left_ms is None else left_ms / 1000
            if not self._wants_coded:
                item = self._first.receive(left_s)
                if isinstance(item, Gap):
                    self._gaps[item.group].append(item)
                    continue
                return self._fed(item, self._first.header, {})
            if (found := self._paired()) is not None:
                return found
            if not any(self._coded.values()):
                item = self._first.receive(left_s)
                if isinstance(item, Gap):
                    self._gaps[item.group].append(item)
                else:
                    self._coded[item.group].append(item)
                    self._look_beside(item)
            else:
                self._take_beside(left_s)

    def _look_beside(self, coded: FrameBatch) -> None:
        """Subscribe to what comes beside: headers alone, or pixels once a stream has no coded pictures."""
        frames = [frame for some in coded.frames.values() for frame in some]
        needs_pixels = any(frame.payload is None for frame in frames)
        if self._beside is not None and (self._has_pixels or not needs_pixels):
            return
        if self._beside is not None:
            self._beside.close()
            self._headed.clear()
        self._has_pixels = needs_pixels
        self._beside = self._open("pixels" if needs_pixels else None, coded.window_start_ns)

    def _take_beside(self, left_s: float | None) -> None:
        assert self._beside is not None, "it was opened with the first batch"
        item = self._beside.receive(left_s)
        if isinstance(item, Gap):
            self._gaps[item.group].append(item)
        else:
            self._headed[item.group].append((item, self._beside.header))

    def _paired(self) -> Fed | None:
        """The next batch that both subscriptions have; what only one has is missing."""
        for group, coded in self._coded.items():
            headed = self._headed[group]
            while coded and headed:
                one, (other, header) = coded[0], headed[0]
                if _place(one) < _place(other):
                    coded.popleft()
                elif _place(one) > _place(other):
                    headed.popleft()
                else:
                    coded.popleft()
                    headed.popleft()
                    pictures = (frame for some in one.frames.values() for frame in some if frame.payload is not None)
                    return self._fed(other, header, {(frame.stream, frame.seq): frame for frame in pictures})
        return None

    def _fed(self, batch: FrameBatch, header: Mapping[str, Any], coded: Mapping[tuple[str, int], Frame]) -> Fed:
        told, last = self._gaps.pop(batch.group, []), self._last.get(batch.group)
        self._last[batch.group] = batch
        if last is None or batch.epoch != last.epoch:
            return Fed(batch, header, coded, told[:1] if last is not None else ())
        if batch.seq == last.seq + 1:
            return Fed(batch, header, coded, ())
        reason = told[0].reason if told else "lost"
        length_ns = batch.window_end_ns - batch.window_start_ns
        last_ns = max(last.window_end_ns, batch.window_start_ns - length_ns)
        gap = Gap(last.seq + 1, batch.seq - 1, reason, batch.group, last.window_end_ns, last_ns)
        return Fed(batch, header, coded, (gap,))

    def close(self) -> None:
        """Leave the service."""
        self._first.close()
        if self._beside is not None:
            self._beside.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(batch: FrameBatch) -> tuple[int, int]:
    return batch.epoch, batch.seq
