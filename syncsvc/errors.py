"""The whole exception tree, in one place, so that a caller can choose how much to catch.

* SyncsvcError
    * ConfigError              the configuration is refused (exit code 78)
        * RecordingBroken      a recording is none, or its rest cannot be read: its stream is over (exit code 1)
    * UsageError               the command line is wrong (exit code 2)
        * UnknownGroup         a service has no group of that name, but others
    * SourceError              something is wrong with one source
        * SourceUnavailable    it cannot be reached, or the connection broke: worth another try
            * AccessRefused    it refuses user or password: another try soon may lock the account
        * SourceEnded          it ended cleanly: not worth another try
    * TransportError
        * MemoryShortage       the machine lacks the memory that a ring needs
        * DescriptorsLost      a message came without its descriptors: no more can be open here
        * SlotReclaimedError   a frame was overwritten before it was read
        * LinkClosed           the other end of a pipe is gone
    * WireError                a message is not what the protocol says
    * FrameReclaimedError      a leased frame was held too long: its pixels are gone
    * FrameUndecodable         a frame of an encoded stream refers to others that are not there
    * FrameWithoutPixels       a frame came in a header alone: its subscriber asked for no pixels
    * StillsNotSaved           some pictures could not be written; all others were
    * NotRecorded              a recording cannot be written
        * DiskFull             there is no room for more of it: what was written stays, and there may be room again
    * NotExported              a data set cannot be written, or nothing would be in it
    * SubscriptionEnded        every recording of the service is over: no batch will come any more
    * SubscriberClosed         a subscriber was used after its close
    * BindError                an endpoint cannot be bound (exit code 78)
    * NoAnswer                 no service answers at an endpoint, or something else does
    * PoolError                a pool of workers does not work
        * WorkerDied           a call was under way in workers that ended, more than once
        * CallCancelled        a call was cancelled, or its pool closed
    * OnvifError               a camera's ONVIF service cannot be asked, or answers nonsense
        * LoginRefused         it wants another user or password
    * LogError                 an observation log is none, is damaged or does not replay (exit code 78)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class SyncsvcError(Exception):
    """Base of every error that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries with their attributes, not only with their message.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[SyncsvcError], args: tuple[Any, ...], state: dict[str, Any]) -> SyncsvcError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(SyncsvcError):
    """The configuration is refused; the message names file, place, what was found and what is allowed."""

    def __init__(self, file: str, problem: str, *, line: int | None = None, key: str = "") -> None:
        place = f"{file}:{line}" if line is not None else file
        super().__init__(f"{place}: {key}: {problem}" if key else f"{place}: {problem}")
        self.file, self.problem, self.line, self.key = file, problem, line, key


class RecordingBroken(ConfigError):
    """What a recording holds cannot be played, from its beginning or from some place on; trying again is in vain."""


class UsageError(SyncsvcError):
    """A command was called with words that it does not understand."""


class UnknownGroup(UsageError):
    """The service at an endpoint does not have the group that was asked for; the message says which ones it has."""

    def __init__(self, endpoint: str, group: str, groups: Sequence[str]) -> None:
        super().__init__(f"{endpoint}: there is no group {group!r}; the service has: {', '.join(groups)}")
        self.endpoint, self.group, self.groups = endpoint, group, tuple(groups)


class SourceError(SyncsvcError):
    """Something is wrong with one source."""

    def __init__(self, source_id: str, problem: str) -> None:
        super().__init__(f"source {source_id!r}: {problem}")
        self.source_id, self.problem = source_id, problem


class SourceUnavailable(SourceError):
    """The source cannot be reached, or its connection broke: trying again may help."""


class AccessRefused(SourceUnavailable):
    """The source refuses user or password: trying again helps once somebody changed one of them, and may lock both."""


class SourceEnded(SourceError):
    """The source ended cleanly: trying again would not help."""


class TransportError(SyncsvcError):
    """A frame or a message could not be moved between processes."""


class MemoryShortage(TransportError):
    """The machine lacks the memory that a ring needs; the message has the arithmetic."""


class DescriptorsLost(TransportError):
    """A message came without its descriptors, since the process that it came to can open no more of them."""

    def __init__(self, message: Any) -> None:
        name = type(message).__name__
        super().__init__(f"{name} came without its descriptors: no more can be open here (RLIMIT_NOFILE)")
        self.message = message


class SlotReclaimedError(TransportError):
    """A slot was rewritten while somebody still read it."""


class LinkClosed(TransportError):
    """The other end of a pipe or of a channel is gone."""


class WireError(SyncsvcError):
    """A message does not follow the protocol in docs/protocol.md."""


class FrameReclaimedError(SyncsvcError):
    """A subscriber on the service's host held a frame longer than its lease: the slot belongs to another frame now."""


class FrameUndecodable(SyncsvcError):
    """A frame of an encoded stream has no picture here: what it refers to was lost, or has not come yet."""

    def __init__(self, stream: str, seq: int, why: str) -> None:
        super().__init__(f"frame {seq} of stream {stream!r} cannot be decoded: {why}")
        self.stream, self.seq, self.why = stream, seq, why


class NotExported(SyncsvcError):
    """A data set cannot be written, or nothing would be in it; nothing is left of it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place, self.problem = place, problem

    def __reduce__(self) -> tuple[type["NotExported"], tuple[str, str]]:
        return type(self), (self.place, self.problem)


class FrameWithoutPixels(SyncsvcError):
    """A frame came without a payload: its subscriber asked for none, or for a coded picture that it does not have."""

    def __init__(self, stream: str, seq: int) -> None:
        super().__init__(
            f"frame {seq} of {stream!r} came without its pixels: payload=None asks for none, and payload='coded' for "
            "pictures of streams with `coded: true`"
        )
        self.stream, self.seq = stream, seq


class NotRecorded(SyncsvcError):
    """A recording cannot be written; what was written before stays as it is."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: cannot be written: {problem}")
        self.place, self.problem = place, problem

    def __reduce__(self) -> tuple[type["NotRecorded"], tuple[str, str]]:
        return type(self), (self.place, self.problem)


class DiskFull(NotRecorded):
    """There is no room for more of a recording; there may be room again."""


class StillsNotSaved(SyncsvcError):
    """Some pictures of ``save_stills`` could not be coded or written; all others are on the disk.

    ``problems`` says by each one's number (from 0) which file and why; ``paths`` has every path, those of these too.
    """

    def __init__(self, folder: str, paths: Sequence[Path], problems: Mapping[int, str]) -> None:
        first = next(iter(problems.values()))
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(f"{folder}: {len(problems)} of {len(paths)} pictures were not saved: {first}{more}")
        self.folder, self.paths, self.problems = folder, list(paths), dict(problems)


class SubscriptionEnded(SyncsvcError):
    """The service said that all its streams have ended: there will be no further batch."""


class SubscriberClosed(SyncsvcError):
    """The subscriber was closed by us, or its ZeroMQ context was terminated."""


class BindError(SyncsvcError):
    """An endpoint cannot be bound: in use, not ours, or not loopback."""

    def __init__(self, endpoint: str, problem: str) -> None:
        super().__init__(f"{endpoint}: {problem}")
        self.endpoint, self.problem = endpoint, problem


class NoAnswer(SyncsvcError):
    """No service answers at an endpoint; the message says what is there instead, as far as that can be seen.

    ``may_come``: waiting may help, since nobody is there yet, or who is there may be a service that is busy.
    """

    def __init__(self, endpoint: str, problem: str, *, may_come: bool = True) -> None:
        super().__init__(f"{endpoint}: {problem}")
        self.endpoint, self.problem, self.may_come = endpoint, problem, may_come


class PoolError(SyncsvcError):
    """A pool of workers cannot do what it is asked: it is closed, or no worker can begin."""


class WorkerDied(PoolError):
    """A call was under way in a worker that ended, and again in another."""


class CallCancelled(PoolError):
    """A call has no result, since it was cancelled or its pool was closed."""


class OnvifError(SyncsvcError):
    """A camera's ONVIF service cannot be asked, refuses a question, or answers what is no answer."""


class LoginRefused(OnvifError):
    """A camera's ONVIF service wants another user or password, or one at all."""


class LogError(SyncsvcError):
    """A file is no observation log, is damaged, or does not replay; the message names file and line."""

    def __init__(self, file: str, problem: str, *, line: int | None = None) -> None:
        super().__init__(f"{file}:{line}: {problem}" if line is not None else f"{file}: {problem}")
        self.file, self.problem, self.line = file, problem, line
