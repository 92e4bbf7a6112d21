"""What the subscribers for threads and for asyncio have in common: one way, one inbox, and when to ask for what."""

from typing import ClassVar, Generic, Literal, TypeVar, cast

from syncsvc.client.attached import Attached
from syncsvc.client.connecting import Keys, keys_in
from syncsvc.client.inlets import Asked, Mode, open_inlet
from syncsvc.client.latest import MESSAGES_PER_LOOK, Latest
from syncsvc.client.lossless import Start
from syncsvc.client.outlook import Outlook
from syncsvc.client.recency import Recency
from syncsvc.client.results import ResultInbox
from syncsvc.client.sequence import Groups, Inbox, SubscriberStats, Wanted
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import SubscriptionEnded, UsageError
from syncsvc.model import FrameBatch, Gap, LateFrame
from syncsvc.wire.result import Result

Item = TypeVar("Item", bound=FrameBatch | Gap | LateFrame | Result)
Gaps = Literal["count", "yield"]


class Subscribing(Attached, Generic[Item]):
    """What both subscribers are: one inlet, one inbox, and the rules of when to ask for what."""

    _is_counted: ClassVar[bool] = True
    """Whether a service that waits for subscriptions (``publish.wait_for``) counts this one. A class that only goes
    beside another subscription, in mode ``lossless``, may say no."""

    def __init__(
        self,
        endpoint: str,
        group: Groups,
        mode: Mode,
        gaps: Gaps,
        payload: Wanted,
        *,
        late: bool,
        name: str | None,
        start: Start,
        results: bool = False,
        keys: Keys = None,
    ) -> None:
        if gaps not in ("count", "yield"):
            raise UsageError(f"gaps {gaps!r}: allowed are 'count' and 'yield'")
        self._inbox: Inbox | ResultInbox
        self._has_status = False
        if results:
            self._inbox = ResultInbox(group, gaps == "yield")
        else:
            self._inbox = Inbox(group, gaps == "yield", payload, yields_late=late)
        self._all_there_is = "results=True" if results else "mode 'lossless'" if mode == "lossless" else ""
        groups = self._inbox.groups
        pair = keys_in(keys)
        wish = Asked(endpoint, groups, self._inbox.topics, payload, late, name, start, results, self._is_counted, pair)
        outlook = Outlook(endpoint, groups, is_local=mode == "local", has_control=not results, keys=pair)
        super().__init__(open_inlet(wish, mode, self.stats), outlook)
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
            if item is not None:
                break
            self._inlet.acknowledge()
            if not self._pump():
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
        if self._all_there_is or isinstance(self._inbox, ResultInbox):
            raise UsageError(f"latest() passes over what is not new, and {self._all_there_is} hands out all there is")
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
