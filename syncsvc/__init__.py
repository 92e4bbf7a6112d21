"""What users import: the subscribers, the values that they hand out, a pool for them, and the errors.

Names load on first use, so that a capture process that imports ``syncsvc.capture`` does not pay for the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncsvc.client.async_subscriber import AsyncSubscriber as AsyncSubscriber
    from syncsvc.client.pixels import stack as stack
    from syncsvc.client.sequence import SubscriberStats as SubscriberStats
    from syncsvc.client.subscriber import Subscriber as Subscriber
    from syncsvc.errors import CallCancelled as CallCancelled
    from syncsvc.errors import ConfigError as ConfigError
    from syncsvc.errors import DiskFull as DiskFull
    from syncsvc.errors import FrameReclaimedError as FrameReclaimedError
    from syncsvc.errors import FrameUndecodable as FrameUndecodable
    from syncsvc.errors import FrameWithoutPixels as FrameWithoutPixels
    from syncsvc.errors import NoAnswer as NoAnswer
    from syncsvc.errors import NotRecorded as NotRecorded
    from syncsvc.errors import PoolError as PoolError
    from syncsvc.errors import StillsNotSaved as StillsNotSaved
    from syncsvc.errors import SubscriberClosed as SubscriberClosed
    from syncsvc.errors import SubscriptionEnded as SubscriptionEnded
    from syncsvc.errors import SyncsvcError as SyncsvcError
    from syncsvc.errors import UnknownGroup as UnknownGroup
    from syncsvc.errors import UsageError as UsageError
    from syncsvc.errors import WireError as WireError
    from syncsvc.errors import WorkerDied as WorkerDied
    from syncsvc.layout import Codec as Codec
    from syncsvc.layout import Layout as Layout
    from syncsvc.model import Counts as Counts
    from syncsvc.model import Frame as Frame
    from syncsvc.model import FrameBatch as FrameBatch
    from syncsvc.model import FrameSet as FrameSet
    from syncsvc.model import Gap as Gap
    from syncsvc.model import LateFrame as LateFrame
    from syncsvc.model import Payload as Payload
    from syncsvc.pool.calls import PoolCall as PoolCall
    from syncsvc.pool.crew import PoolStats as PoolStats
    from syncsvc.pool.frame_pool import FramePool as FramePool
    from syncsvc.sinks.record.recorder import Recorder as Recorder
    from syncsvc.sinks.stills.save import save_stills as save_stills
    from syncsvc.wire.result import Result as Result

__version__ = "0.1.0"

_NAMES = {
    "syncsvc.client.pixels": ("stack",),
    "syncsvc.client.sequence": ("SubscriberStats",),
    "syncsvc.client.async_subscriber": ("AsyncSubscriber",),
    "syncsvc.client.subscriber": ("Subscriber",),
    "syncsvc.errors": (
        "CallCancelled", "ConfigError", "DiskFull", "FrameReclaimedError", "FrameUndecodable", "FrameWithoutPixels",
        "NoAnswer", "NotRecorded", "PoolError", "StillsNotSaved", "SubscriberClosed", "SubscriptionEnded",
        "SyncsvcError", "UnknownGroup", "UsageError", "WireError", "WorkerDied",
    ),
    "syncsvc.layout": ("Codec", "Layout"),
    "syncsvc.model": ("Counts", "Frame", "FrameBatch", "FrameSet", "Gap", "LateFrame", "Payload"),
    "syncsvc.pool.calls": ("PoolCall",),
    "syncsvc.pool.crew": ("PoolStats",),
    "syncsvc.pool.frame_pool": ("FramePool",),
    "syncsvc.sinks.record.recorder": ("Recorder",),
    "syncsvc.sinks.stills.save": ("save_stills",),
    "syncsvc.wire.result": ("Result",),
}  # fmt: skip
_HOME = {name: home for home, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
