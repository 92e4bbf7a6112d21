"""What a capture and the nursery tell the daemon."""

from syncsvc.capture.spec import Recorded
from syncsvc.transport.channel import Message


class Ready(Message, tag="ready", frozen=True):
    """A recording is open, and waits for its start."""

    recorded: Recorded


class Opened(Message, tag="opened", frozen=True):
    """A camera sends; ``fps`` is what it declares, or a guess on the high side."""

    fps: float


class Ended(Message, tag="ended", frozen=True):
    """The recording is over."""


class Unavailable(Message, tag="unavailable", frozen=True):
    """The source is not there (now)."""

    problem: str


class Warned(Message, tag="warned", frozen=True):
    """Something goes wrong while frames come."""

    problem: str


class Misconfigured(Message, tag="misconfigured", frozen=True):
    """The source cannot be captured as it is configured: trying again would not help."""

    problem: str


class Fit(Message, tag="fit", frozen=True):
    """The nursery has imported everything, and can fork; not so where a library started threads."""

    is_fit: bool


class Forked(Message, tag="forked", frozen=True):
    """A capture was forked."""

    pid: int


class ForkFailed(Message, tag="fork_failed", frozen=True):
    """No capture could be forked."""

    problem: str


FromCapture = Ready | Opened | Ended | Unavailable | Warned | Misconfigured
FromNursery = Fit | Forked | ForkFailed
