"""How old a batch is when it is handed out, and whether a newer one must have left meanwhile: pure, no clock."""

from syncsvc.client.sequence import SubscriberStats
from syncsvc.clock import NS_PER_S
from syncsvc.model import FrameBatch


def next_due_ns(batch: FrameBatch) -> int:
    """How long after a batch the next one of its group has left for sure: its window, and a second.

    A group without windows says at least once a second that there is nothing.
    """
    return batch.window_end_ns - batch.window_start_ns + NS_PER_S


class Recency:
    """Of one subscriber. Hosts' clocks may be apart: what waiting does not make less is no wait.

    Guarantees: where the clocks agree, nothing counts as recent that has a successor for sure; where they do not, that
    is found out once, and all later batches are judged as if they did.
    """

    def __init__(self) -> None:
        self._usual_ns = 0
        """By how much clocks and ways make batches look older than they are; also less than nothing."""

    def is_outdated(self, batch: FrameBatch, now_ns: int) -> bool:
        """Whether a newer batch of its group has left for sure; ``now_ns`` is this host's UTC."""
        return now_ns - batch.emitted_ns - self._usual_ns > next_due_ns(batch)

    def accept(self, batch: FrameBatch, now_ns: int) -> None:
        """Nothing newer came while the next one was due: so this is how they come here."""
        if self.is_outdated(batch, now_ns):
            self._usual_ns = now_ns - batch.emitted_ns

    def hand_out(self, batch: FrameBatch, now_ns: int, stats: SubscriberStats) -> None:
        """The user gets the batch now: tell its age."""
        lag_ns = now_ns - batch.emitted_ns
        self._usual_ns = min(self._usual_ns, lag_ns)
        # A window that a drain cut short ended when it left.
        stats.age_ns, stats.lag_ns = now_ns - min(batch.window_end_ns, batch.emitted_ns), lag_ns
