"""Frames that this process has on loan: who still looks at them, what goes back, what is moved out of the way."""

import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import FrameReclaimedError, MemoryShortage, TransportError
from syncsvc.model import Borrowed
from syncsvc.transport import handover
from syncsvc.transport.handover import Lent, Ring
from syncsvc.transport.memory import Pages
from syncsvc.transport.ring import RingSlots

_RECLAIMED = (
    "the frame was held for longer than its lease, and its slot was given back: take what you need of a batch, or a "
    "copy of it, before the next but one comes, or use mode 'live'"
)


class OnLoan(Borrowed):
    """One frame's payload in a slot of the service's ring, ours until its lease is over."""

    def __init__(self, loans: "Loans", number: int, ring: RingSlots, place: tuple[int, int, int]) -> None:
        self.nbytes = place[2]
        self._loans, self.number, self.ring, self._place = loans, number, ring, place
        self._array: NDArray[np.uint8] | None = None
        self.is_lost = False

    @property
    def slot(self) -> int:
        """Which one it is in."""
        return self._place[0]

    def view(self) -> NDArray[np.uint8]:
        """The pixels, ``(nbytes,)`` uint8, read-only, no copy; what was once handed out stays as it is.

        Raises:
            FrameReclaimedError: the frame was held for longer than its lease.
        """
        with self._loans.lock:
            if self.is_lost:
                raise FrameReclaimedError(_RECLAIMED)
            if self._array is None:
                try:
                    self._array = self.ring.view(*self._place)
                except TransportError as error:
                    raise FrameReclaimedError(_RECLAIMED) from error
                self._loans.note_view(self.number, self._array)
            return self._array

    def lose(self) -> None:
        """Let go of the pixels; views that were handed out live on."""
        self.is_lost, self._array = True, None

    def __del__(self) -> None:
        if self._array is None and not self.is_lost:
            self._loans.end(self.number)


class Loans:
    """Every lease of one connection; called from the connection's thread, while views are taken and die in any.

    A lease ends with the last view of its payload or, where nobody looked at it, with its frame.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        """Start without any.

        Args:
            on_end: called from any thread, also by the garbage collector, when a lease has ended by itself.
        """
        self.lock = threading.Lock()
        self._on_end = on_end
        self._rings: dict[str, dict[int, RingSlots]] = {}
        self._by_number: dict[int, RingSlots] = {}
        self._payloads: dict[int, weakref.ref[OnLoan]] = {}
        self._views: dict[int, tuple[weakref.ref[NDArray[np.uint8]], RingSlots, int, Pages]] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()

    def add_ring(self, ring: Ring, fd: int) -> None:
        """Take over the descriptor of a ring that the service announces.

        Raises:
            TransportError: it is no ring.
        """
        self._rings.setdefault(ring.stream, {})[ring.number] = self._by_number[ring.number] = RingSlots(fd)

    def take(self, lent: Lent) -> list[OnLoan]:
        """The payloads of a batch; afterwards rings that were announced long before it are forgotten.

        Raises:
            TransportError: the service speaks of a ring that it never handed over.
        """
        payloads = []
        for number, (ring_number, *place) in enumerate(lent.places, lent.first_lease):
            ring = self._by_number.get(ring_number)
            if ring is None:
                raise TransportError(f"a frame lies in ring {ring_number}, which was never handed over")
            payload = OnLoan(self, number, ring, (place[0], place[1], place[2]))
            self._payloads[number] = weakref.ref(payload)
            payloads.append(payload)
        self._forget_old_rings()
        return payloads

    def _forget_old_rings(self) -> None:
        for known in self._rings.values():
            for old in list(known)[: -handover.RINGS_KEPT]:
                del known[old], self._by_number[old]

    def note_view(self, number: int, array: NDArray[np.uint8]) -> None:
        """A payload is looked at: now the array's end is the end of its lease. Under the lock."""
        payload = self._payloads[number]()
        assert payload is not None, "only a payload that lives is looked at"
        weakref.finalize(array, self.end, number).atexit = False
        ring, slot = payload.ring, payload.slot
        self._views[number] = weakref.ref(array), ring, slot, ring.pages(slot)

    def end(self, number: int) -> None:
        """Nobody has the payload any more. No lock: the garbage collector may say so at any point of any thread."""
        self._ended.put(number)
        self._on_end()

    def ended(self) -> list[int]:
        """The leases that have ended since the last call."""
        found: list[int] = []
        while True:
            try:
                number = self._ended.get_nowait()
            except Empty:
                return found
            with self.lock:
                self._views.pop(number, None)
                if self._payloads.pop(number, None) is not None:
                    found.append(number)

    def give_back(self, numbers: Iterable[int], *, keeps: bool) -> tuple[list[int], list[OnLoan]]:
        """End these leases: views that are in use get memory of their own.

        Args:
            numbers: of the leases.
            keeps: frames that somebody holds are kept too, whether or not they were looked at.

        Returns:
            The leases that may go home, and the payloads that were lost. Where there is no memory to move a view to,
            its lease stays: better to be cut off than to show a torn frame.
        """
        free: list[int] = []
        lost: list[OnLoan] = []
        for number in numbers:
            ref = self._payloads.get(number)
            if ref is None:
                continue
            payload = ref()
            if payload is not None and keeps:
                with suppress(FrameReclaimedError):  # it is lost already
                    payload.view()
            with self.lock:
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
