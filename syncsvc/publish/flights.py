"""What ZeroMQ still holds of batches that were sent, so that nobody who stands still takes more than the history.

A peer that does not read keeps what was sent to it in libzmq's memory, also when the history has let go of it.
"""

from collections import defaultdict

import zmq

from syncsvc.publish.store import Kept


class Flights:
    """Batches on their way, until the history lets go of them."""

    def __init__(self) -> None:
        self._flying: defaultdict[int, list[tuple[int, zmq.MessageTracker]]] = defaultdict(list)

    def begin(self, batch: Kept, descriptor: int, tracker: zmq.MessageTracker) -> None:
        """A batch was sent over this connection."""
        self._flying[batch.order].append((descriptor, tracker))

    def end(self, batch: Kept) -> list[int]:
        """The history lets go of a batch: the connections that have not taken it."""
        return [descriptor for descriptor, tracker in self._flying.pop(batch.order, ()) if not tracker.done]
