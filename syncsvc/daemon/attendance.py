"""Says that recordings wait for subscriptions, and for how many, each time that this changes."""

import logging

log = logging.getLogger(__name__)


class Attendance:
    """How many of the subscriptions that are wanted are there, as far as that was told."""

    def __init__(self) -> None:
        self._told: tuple[int, int] | None = None

    def tell_waiting(self, subscriptions: int, wanted: int) -> None:
        """Recordings wait: ``subscriptions`` are there, ``wanted`` were asked for."""
        if self._told != (subscriptions, wanted) and subscriptions < wanted:
            self._told = subscriptions, wanted
            log.info("recordings wait for subscriptions on `live`: %d of %d are there", subscriptions, wanted)

    def tell_begun(self) -> None:
        """Recordings wait no longer."""
        if self._told is not None:
            log.info("recordings begin: all %d subscriptions on `live` are there", self._told[1])
            self._told = None
