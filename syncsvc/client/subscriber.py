"""Iterate over batches with gaps made visible: ``Subscriber``, for threads."""

from typing import Literal, Self, cast, overload

from syncsvc.client.attached import Meets
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


class Subscriber(Subscribing[Item], Meets):
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
            where it is to be had. ``lossless`` hands out every batch in order, over ``control``: who is slow, or away
            for a while, goes on where it was as long as the service's history reaches (``publish.history``), and is
            told what is missing otherwise. A batch is acknowledged when the next one is asked for.
        gaps: ``count`` counts missed batches in ``stats``; ``yield`` also hands out a Gap before the next batch.
        payload: what comes with frames: ``pixels``; or ``coded``, the camera's own coded pictures of streams with
            ``coded: true``, frames of others have none; or None, which costs the service no pixel and is for who
            watches: times, sets and counts are there. Who asks a frame without for pixels gets FrameWithoutPixels.
        late: also hand out each LateFrame, as it comes; takes mode ``live``, as a ``payload`` but ``pixels`` takes that
            or ``lossless``.
        name: of a lossless subscription that outlives this process: the service keeps it for ten minutes, and whoever
            comes next under that name goes on behind the last batch that was acknowledged. The one that this process
            had in hand comes again, and has ``redelivered`` set.
        start: where a new lossless subscription begins: ``"oldest"`` that the service has, the batch whose window holds
            a time (UTC nanoseconds), or that of ``(epoch, seq)``; None: what comes from now on. One that is kept under
            its ``name`` goes on where it was.
        results: of ``syncsvc process``, whose endpoint it is then: hand out a Result for each frame or set; takes mode
            ``live``.
        keys: folder with ``client.key_secret`` and ``server.key``, as ``syncsvc keys client`` makes it: for a service
            with ``security``, over TCP. None: the folder that the environment's SYNCSVC_KEYS names, if any.

    Raises:
        UsageError: the endpoint cannot be one, or a word is not known.
        ConfigError: the keys are missing, are none, or others can read them.
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
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
        name: str | None = None,
        start: Start = None,
        results: Literal[False] = False,
        keys: Keys = None,
    ) -> None: ...

    @overload
    def __init__(
        self: "Subscriber[Result]",
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
        self: "Subscriber[Result | Gap]",
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
