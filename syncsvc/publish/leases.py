"""Who on this host reads which frames, and until when: one subscriber's leases, purely."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncsvc.clock import NS_PER_MS

if TYPE_CHECKING:
    from syncsvc.transport.payload import SlotPayload

GRACE_NS = 500 * NS_PER_MS
"""How long a subscriber may give nothing back of what was revoked, before it counts as gone.

Less would cut off who only moves what it looks at: on a busy machine a 1080p frame takes up to 20 ms.
"""


def lease_ns_of(window_ns: int) -> int:
    """How long a subscriber may keep the frames of a batch: until the next one is here, and half a second more."""
    return window_ns + 500 * NS_PER_MS


def held_ns_of(window_ns: int) -> int:
    """How much longer frames stay in their slots for subscribers on this host: the lease, and the grace after it."""
    return lease_ns_of(window_ns) + GRACE_NS


@dataclass(slots=True)
class _Lease:
    payload: "SlotPayload"
    due_ns: int
    until_ns: int
    revoked_ns: int | None = None


class GrantedLeases:
    """Leases by number.

    Guarantees: a payload is released exactly once, when its lease comes home or the book is closed; a lease is revoked
    once, when it is due; until then it stands.
    """

    def __init__(self) -> None:
        self._leases: dict[int, _Lease] = {}
        self._answered_ns = 0
        self.next_number = 0
        """What the next lease is called."""

    def __len__(self) -> int:
        return len(self._leases)

    def grant(self, payloads: "Sequence[SlotPayload]", due_ns: int, until_ns: int) -> None:
        """Write leases down, from ``next_number`` on.

        Args:
            payloads: what is leased.
            due_ns: when it is asked for (monotonic).
            until_ns: for how long its slots can be spared, by who gives back one after the other.
        """
        for payload in payloads:
            self._leases[self.next_number] = _Lease(payload, due_ns, until_ns)
            self.next_number += 1

    def give_back(self, numbers: Iterable[int], now_ns: int) -> None:
        """Leases that the subscriber gave back; what is not (or no more) leased is passed over."""
        for number in numbers:
            lease = self._leases.pop(number, None)
            if lease is not None:
                lease.payload.release()
                if lease.revoked_ns is not None:
                    self._answered_ns = now_ns

    def revoke(self, now_ns: int) -> list[int]:
        """The leases whose time is over since the last call."""
        over = [number for number, one in self._leases.items() if one.revoked_ns is None and one.due_ns <= now_ns]
        for number in over:
            self._leases[number].revoked_ns = now_ns
        return over

    def is_overdue(self, now_ns: int) -> bool:
        """Whether a lease was revoked, and is not home in the time that it has for that."""
        return any(one.revoked_ns is not None and now_ns >= self._next_ns(one) for one in self._leases.values())

    @property
    def next_ns(self) -> int | None:
        """When something is to be done at the earliest; None while nothing is leased."""
        return min((self._next_ns(one) for one in self._leases.values()), default=None)

    def _next_ns(self, one: _Lease) -> int:
        """When a lease is due or, once it was revoked, must be home.

        It has the grace for that, and another after each that comes home, but not longer than its slot can be spared.
        """
        if one.revoked_ns is None:
            return one.due_ns
        return max(one.revoked_ns + GRACE_NS, min(self._answered_ns + GRACE_NS, one.until_ns))

    def close(self, *, is_silent: bool) -> int:
        """The subscriber is gone; returns how many leases it still had.

        Args:
            is_silent: it may live on, and read: nobody may write to what it has.
        """
        leases, self._leases = list(self._leases.values()), {}
        for one in leases:
            if is_silent:
                one.payload.forfeit()
            one.payload.release()
        return len(leases)
