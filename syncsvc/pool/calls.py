"""One call that a pool was given: what it waits for, and what came of it."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_S
from syncsvc.errors import CallCancelled
from syncsvc.lifecycle import patience_of
from syncsvc.pool import parcels
from syncsvc.pool.parcels import Parcel


class PoolCall:
    """A call under way; whoever has it may wait for its result, from any thread.

    ``multiprocessing.pool.AsyncResult`` with a cancellation. Arrays of the result are read-only views of memory that
    the worker shares; a copy is somebody's own.
    """

    def __init__(self, number: int, parcel: Parcel, timeout_s: float | None, changed: threading.Condition,
                 cancel: Callable[["PoolCall"], bool]) -> None:  # fmt: skip
        self.number, self.parcel, self.tries = number, parcel, 0
        limit_s = patience_of(timeout_s)
        self.timeout_ns = None if limit_s is None else round(limit_s * NS_PER_S)
        self.spent_ns = 0
        """How long the function took in the worker."""
        self._changed, self._cancel = changed, cancel
        self._is_settled = self._is_read = False
        self._reply: tuple[bytes, list[NDArray[np.uint8]]] | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def settle(
        self,
        reply: tuple[bytes, list[NDArray[np.uint8]]] | None,
        error: BaseException | None = None,
        spent_ns: int = 0,
    ) -> None:
        """There is a result, with the lock of ``changed`` held."""
        self._reply, self._error, self.spent_ns, self._is_settled = reply, error, spent_ns, True
        self._changed.notify_all()

    def ready(self) -> bool:
        """Whether there is a result, or an error."""
        return self._is_settled

    def successful(self) -> bool:
        """Whether it returned.

        Raises:
            ValueError: it is not over yet.
        """
        if not self._is_settled:
            raise ValueError("the call is not over yet")
        return self._error is None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over, at most so long; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_settled, patience_of(timeout_s))

    def get(self, timeout_s: float | None = None) -> Any:
        """What the function returned.

        Raises:
            TimeoutError: it is not over within ``timeout_s``, or took longer than its own time limit.
            WorkerDied: two workers ended with it in hand.
            CallCancelled: it was cancelled, or the pool closed.
            BaseException: what the function raised, as itself, caused by its traceback in the worker.
        """
        if not self.wait(timeout_s):
            raise TimeoutError(f"the call is not over within {timeout_s} s")
        with self._changed:
            if not self._is_read:
                self._is_read, reply, self._reply = True, self._reply, None
                if reply is not None:
                    self._value = parcels.unpack(*reply)
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> bool:
        """Give it up: one that runs is ended with its worker. False where it was over already."""
        return self._cancel(self)

    @property
    def is_cancelled(self) -> bool:
        """Whether it was given up."""
        return isinstance(self._error, CallCancelled)
