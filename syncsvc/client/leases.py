"""Frames that this process has leased: who still looks at them, what goes back, what is moved out of the way."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from weakref import ref

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from syncsvc.borrowed import Lent
from syncsvc.errors import FrameReclaimedError, MemoryShortage, TransportError
from syncsvc.model import Payload
from syncsvc.transport import leasing
from syncsvc.transport.leasing import Leased, Ring
from syncsvc.transport.memfd import Pages
from syncsvc.transport.ring import RingSlots

_RECLAIMED = (
    "the frame was held for longer than its lease, and its slot was given back: take what you need of a batch, or a "
    "copy of it, before the next but one comes, or use mode 'live'"
)


class LeasedPayload(Payload, Struct, eq=False, weakref=True):
    """One frame's payload in a slot of the service's ring, ours until its lease is over."""

    nbytes: int
    number: int
    ring: RingSlots
    slot: int
    generation: int
    held: "HeldLeases"
    array: NDArray[np.uint8] | None = None
    """What was handed out, and is again: there is one view of it."""
    is_lost: bool = False

    def view(self) -> NDArray[np.uint8]:
        """The pixels, ``(nbytes,)`` uint8, read-only, no copy; what was once handed out stays as it is.

        Raises:
            FrameReclaimedError: the frame was held for longer than its lease.
        """
        array = self.array  # looked at once: another thread may lose it now, and a view that is held is kept
        return self.held.show(self) if array is None else array

    def lent(self) -> Lent | None:
        """See ``Payload``: the slot itself, until it is written again."""
        self.view()
        return self.ring.lend(self.slot, self.generation)

    def lose(self) -> None:
        """Let go of the pixels; views that were handed out live on."""
        self.is_lost, self.array = True, None

    def __del__(self) -> None:
        if self.array is None and not self.is_lost:
            self.held.end(self.number)


class HeldLeases:
    """Every lease of one connection; called from the connection's thread, while views are taken and die in any.

    A lease ends with the last view of its payload or, where nobody looked at it, with its frame.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        """``on_end`` is called when a lease has ended by itself: from any thread, also by the garbage collector."""
        self._lock = threading.Lock()
        self._on_end = on_end
        self._rings: dict[str, dict[int, RingSlots]] = {}
        self._by_number: dict[int, RingSlots] = {}
        self._payloads: dict[int, ref[LeasedPayload]] = {}
        self._views: dict[int, tuple[ref[NDArray[np.uint8]], RingSlots, int, Pages]] = {}
        self._ended: deque[int] = deque()

    def add_ring(self, ring: Ring, fd: int) -> None:
        """Take over the descriptor of a ring that the service announces.

        Raises:
            TransportError: it is no ring.
        """
        self._rings.setdefault(ring.stream, {})[ring.number] = self._by_number[ring.number] = RingSlots(fd)

    def take(self, leased: Leased) -> list[LeasedPayload]:
        """The payloads of a batch; afterwards rings that were announced long before it are forgotten.

        Raises:
            TransportError: the service speaks of a ring that it never handed over.
        """
        rings = self._by_number
        try:
            payloads = [
                LeasedPayload(size_bytes, number, rings[ring], slot, generation, self)
                for number, (ring, slot, generation, size_bytes) in enumerate(leased.places, leased.first_lease)
            ]
        except KeyError as error:
            raise TransportError(f"a frame lies in ring {error}, which was never handed over") from None
        self._payloads.update(zip(count(leased.first_lease), map(ref, payloads), strict=False))
        self._forget_old_rings()
        return payloads

    def _forget_old_rings(self) -> None:
        for known in self._rings.values():
            for old in list(known)[: -leasing.RINGS_KEPT]:
                del known[old], self._by_number[old]

    def show(self, payload: LeasedPayload) -> NDArray[np.uint8]:
        """Make the view of a payload: from now on the view's end is the end of the lease.

        Raises:
            FrameReclaimedError: the frame was held for longer than its lease.
        """
        number, ring, slot = payload.number, payload.ring, payload.slot
        with self._lock:
            if payload.is_lost:
                raise FrameReclaimedError(_RECLAIMED)
            if payload.array is None:
                try:
                    array = ring.view(slot, payload.generation, payload.nbytes)
                except TransportError as error:
                    raise FrameReclaimedError(_RECLAIMED) from error
                self._views[number] = ref(array, partial(self.end, number)), ring, slot, ring.pages(slot)
                payload.array = array
            return payload.array

    def end(self, number: int, _: object = None) -> None:
        """Nobody has the payload any more. No lock: the garbage collector may say so at any point of any thread."""
        self._ended.append(number)
        self._on_end()

    def ended(self) -> list[int]:
        """The leases that have ended since the last call."""
        found: list[int] = []
        with self._lock:
            while self._ended:
                number = self._ended.popleft()
                self._views.pop(number, None)
                if self._payloads.pop(number, None) is not None:
                    found.append(number)
        return found

    def give_back(self, numbers: Iterable[int], *, keeps: bool) -> tuple[list[int], list[LeasedPayload]]:
        """End these leases: views that are in use get memory of their own.

        Args:
            numbers: of the leases.
            keeps: frames that somebody holds are kept too, whether or not they were looked at.

        Returns:
            The leases that may go home, and the payloads that were lost. Where there is no memory to move a view to,
            its lease stays: better to be cut off than to show a torn frame.
        """
        free: list[int] = []
        lost: list[LeasedPayload] = []
        for number in numbers:
            held = self._payloads.get(number)
            if held is None:
                continue
            payload = held()
            if payload is not None and keeps:
                with suppress(FrameReclaimedError):  # it is lost already
                    payload.view()
            with self._lock:
                if payload is not None and not keeps:
                    payload.lose()
                    lost.append(payload)
                if self._is_out_of_the_way(number):
                    self._payloads.pop(number, None)
                    self._views.pop(number, None)
                    free.append(number)
        return free, lost

    def _is_out_of_the_way(self, number: int) -> bool:
        view = self._views.get(number)
        if view is not None and view[0]() is not None:
            _, ring, slot, pages = view
            try:
                ring.keep(slot, pages)
            except MemoryShortage:
                return False
        return True

    def give_all_back(self) -> bool:
        """The connection ends: what somebody holds is kept, in memory of our own; false where there is none."""
        self.give_back(list(self._payloads), keeps=True)
        return not self._payloads
