"""Iterate over batches with gaps made visible: ``AsyncSubscriber``, for asyncio."""

import asyncio
from typing import Literal, Self, cast, overload

from syncsvc.client.attached import MeetsAsync
from syncsvc.client.connecting import Keys
from syncsvc.client.inlets import Mode
from syncsvc.client.live import DEFAULT_LIVE
from syncsvc.client.lossless import Start
from syncsvc.client.sequence import Groups, Wanted
from syncsvc.client.subscribing import Gaps, Item, Subscribing
from syncsvc.client.timeouts import Deadline
from syncsvc.errors import SubscriberClosed, SubscriptionEnded
from syncsvc.model import FrameBatch, Gap, LateFrame
from syncsvc.wire.result import Result


class AsyncSubscriber(Subscribing[Item], MeetsAsync):
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[Result]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
        *,
        results: Literal[True],
        keys: Keys = None,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[Result | Gap]",
        endpoint: str = DEFAULT_LIVE,
        group: Groups = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
        results: Literal[True],
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: bool = False,
        keys: Keys = None,
    ) -> None:
        super().__init__(
            endpoint, group, mode, gaps, payload, late=late, name=name, start=start, results=results, keys=keys
        )

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
