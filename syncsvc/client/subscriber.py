"""Iterate over batches with gaps made visible: ``Subscriber`` for threads, ``AsyncSubscriber`` for asyncio."""

import asyncio
from typing import Generic, Literal, Self, TypeVar, cast, overload

from syncsvc.client.attached import Attached, Meets, MeetsAsync
from syncsvc.client.inlets import Mode, open_inlet
from syncsvc.client.latest import MESSAGES_PER_LOOK, Latest
from syncsvc.client.live import DEFAULT_LIVE
from syncsvc.client.outlook import Outlook
from syncsvc.client.recency import Recency
from syncsvc.client.sequence import Groups, Inbox, SubscriberStats, Wanted
from syncsvc.client.timeouts import Deadline
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.model import FrameBatch, Gap, LateFrame

Item = TypeVar("Item", bound=FrameBatch | Gap | LateFrame)
Gaps = Literal["count", "yield"]


class _Subscription(Attached, Generic[Item]):
    """What both subscribers are: one inlet, one inbox, and the rules of when to ask for what."""

    def __init__(self, endpoint: str, group: Groups, mode: Mode, gaps: Gaps, payload: Wanted, *, late: bool) -> None:
        if gaps not in ("count", "yield"):
            raise UsageError(f"gaps {gaps!r}: allowed are 'count' and 'yield'")
        self._inbox = Inbox(group, gaps == "yield", payload, yields_late=late)
        self._has_status = False
        beyond_local = f"payload={payload!r}" if payload != "pixels" else "late=True" if late else ""
        groups = self._inbox.groups
        inlet = open_inlet(endpoint, groups, self._inbox.topics, mode, self.stats, beyond_local=beyond_local)
        super().__init__(inlet, Outlook(endpoint, groups, is_local=mode == "local"))
        self._recency = Recency()

    @property
    def stats(self) -> SubscriberStats:
        """What was received, missed, refused; see ``SubscriberStats``."""
        return self._inbox.stats

    @property
    def header(self) -> dict[str, object]:
        """The header of the batch or late frame handed out last, as on the wire: maps, lists, strings, integers."""
        return self._inbox.header()

    def receive_nowait(self) -> Item:
        """The next item, if it is here already.

        Raises:
            BlockingIOError: nothing is here yet.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        item = self.poll()
        if item is None:
            raise BlockingIOError("no batch is here yet")
        return item

    def poll(self) -> Item | None:
        """The next item, or None when nothing is here yet.

        Raises:
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        self._check_owner()
        item = self._take()
        for _ in range(MESSAGES_PER_LOOK):
            if item is not None or not self._pump():
                break
            item = self._take()
        if item is None:
            self._outlook.look()
        return item

    def _take(self) -> Item | None:
        item = cast("Item | None", self._inbox.take())  # the inbox makes gaps only where Item includes them
        if item is None and self._inbox.is_over:
            raise SubscriptionEnded("the service has ended: all its streams are over")
        if isinstance(item, FrameBatch):
            self._recency.hand_out(item, SYSTEM_CLOCK.utc_ns(), self.stats)
        return item

    def _newest(self, timeout_s: float | None) -> Latest:
        self._check_owner()
        return Latest(self._pump, self._inbox, self._recency, timeout_s)

    def _until_next_look_ms(self, search: Latest) -> int:
        self._outlook.look()
        return self._outlook.until_look_ms(search.left_ms())

    def _pump(self) -> bool:
        parts = self._inlet.take()
        if parts is None:
            return False
        group = self._inbox.feed(parts)
        if group is not None:
            self._outlook.hear(group)
        if self._inbox.has_begun and not self._has_status:
            for topic in self._inbox.topics_later:
                self._inlet.subscribe(topic)
            self._has_status = True
        return True


class Subscriber(_Subscription[Item], Meets):
    """Batches of one service, for one thread.

    ::

        with Subscriber("tcp://127.0.0.1:5555", group="lobby") as batches:
            for batch in batches: ...

    It connects when the service is there, reconnects by itself, and never holds the service up: what it does not take
    in time is lost and shows as a gap. The iteration ends when all streams of the service were recordings and are over,
    and when another thread calls ``close``. Who waits for a service that is not there, or for a group that it does not
    have, is told in the log within two seconds, and waits on; ``wait_ready`` raises it instead. A process that is
    forked makes a subscriber of its own: one that it inherits raises UsageError.

    Args:
        endpoint: the service's ``publish.live``, ``tcp://HOST:PORT`` or ``ipc:///PATH``; left out: its default.
        group: name of the group, or a list of names; None takes all groups.
        mode: ``live`` gets copies over ZeroMQ, from anywhere. ``local`` is for a service on this host, run by the same
            user: pixels are read where the capture wrote them, without a copy, leased. A frame is yours while you hold
            it, for up to a window and half a second after its batch came; views that you took before stay valid for
            ever, but ``pixels`` and ``to_bgr()`` raise FrameReclaimedError from then on. A process that is forked has
            no share in the lease: views that it inherits may be rewritten, so hand it copies. ``auto`` takes ``local``
            where it is to be had. ``lossless`` is not available yet.
        gaps: ``count`` counts missed batches in ``stats``; ``yield`` also hands out a Gap before the next batch.
        payload: what comes with frames: ``pixels``; or ``coded``, the camera's own coded pictures of streams with
            ``coded: true``, frames of others have none; or None, which costs the service no pixel and is for who
            watches: times, sets and counts are there. Who asks a frame without for pixels gets FrameWithoutPixels.
        late: also hand out each LateFrame, as it comes. It, and a ``payload`` but ``pixels``, take mode ``live``.

    Raises:
        UsageError: the endpoint cannot be one, or a word is not known.
    """

    @overload
    def __init__(
        self: "Subscriber[FrameBatch]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
        *,
        payload: Wanted = "pixels",
        late: Literal[False] = False,
    ) -> None: ...

    @overload
    def __init__(
        self: "Subscriber[FrameBatch | Gap]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
        payload: Wanted = "pixels",
        late: Literal[False] = False,
    ) -> None: ...

    @overload
    def __init__(
        self: "Subscriber[FrameBatch | LateFrame]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
        *,
        payload: Wanted = "pixels",
        late: Literal[True],
    ) -> None: ...

    @overload
    def __init__(
        self: "Subscriber[FrameBatch | Gap | LateFrame]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
        payload: Wanted = "pixels",
        late: Literal[True],
    ) -> None: ...

    def __init__(
        self,
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Gaps = "count",
        *,
        payload: Wanted = "pixels",
        late: bool = False,
    ) -> None:
        super().__init__(endpoint, group, mode, gaps, payload, late=late)

    def receive(self, timeout_s: float | None = None) -> Item:
        """Wait for the next item.

        Args:
            timeout_s: the longest wait; None waits for ever.

        Raises:
            TimeoutError: nothing came in time.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        deadline = Deadline(timeout_s)
        while (item := self.poll()) is None:
            self._inlet.wait(self._outlook.until_look_ms(deadline.left_ms()))
        return item

    def latest(self, timeout_s: float | None = None) -> FrameBatch:
        """Skip to the newest batch that is here, of several groups each in turn; wait for one where none is.

        What is passed over is let go, gaps and late frames too, and counted in ``stats.skipped``. A batch that has a
        successor by now, since it waited for seconds, is none: then the next one is waited for, for a window and a
        second at most. ``stats.lag_ns`` tells how old is what comes. After ``timeout_s`` what is here is handed out,
        however old; None waits until there is any. Errors are those of ``receive``.
        """
        search = self._newest(timeout_s)
        while not search.is_over():
            self._inlet.wait(self._until_next_look_ms(search))
        return cast("FrameBatch", self._take())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        self._begin_step()
        try:
            return self.receive()
        except (SubscriptionEnded, SubscriberClosed) as error:
            if self._is_end(error):
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSubscriber(_Subscription[Item], MeetsAsync):
    """The same for asyncio.

    ::

        async with AsyncSubscriber("tcp://127.0.0.1:5555", group="lobby") as batches:
            async for batch in batches: ...

    Arguments and errors are those of ``Subscriber``. Cancelling a wait loses no batch.
    """

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
        *,
        payload: Wanted = "pixels",
        late: Literal[False] = False,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch | Gap]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
        payload: Wanted = "pixels",
        late: Literal[False] = False,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch | LateFrame]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
        *,
        payload: Wanted = "pixels",
        late: Literal[True],
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch | Gap | LateFrame]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
        payload: Wanted = "pixels",
        late: Literal[True],
    ) -> None: ...

    def __init__(
        self,
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Gaps = "count",
        *,
        payload: Wanted = "pixels",
        late: bool = False,
    ) -> None:
        super().__init__(endpoint, group, mode, gaps, payload, late=late)

    async def receive(self, timeout_s: float | None = None) -> Item:
        """Wait for the next item; arguments and errors as with ``Subscriber.receive``."""
        deadline = Deadline(timeout_s)
        await asyncio.sleep(0)  # batches that are here already must not starve the loop's other tasks
        while (item := self.poll()) is None:
            await self._inlet.wait_async(self._outlook.until_look_ms(deadline.left_ms()))
        return item

    async def latest(self, timeout_s: float | None = None) -> FrameBatch:
        """Skip to the newest batch that is here; as ``Subscriber.latest``."""
        search = self._newest(timeout_s)
        await asyncio.sleep(0)
        while not search.is_over():
            await self._inlet.wait_async(self._until_next_look_ms(search))
        return cast("FrameBatch", self._take())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        self._begin_step()
        try:
            return await self.receive()
        except (SubscriptionEnded, SubscriberClosed) as error:
            if self._is_end(error):
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
