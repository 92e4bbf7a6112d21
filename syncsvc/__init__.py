"""What users import: the subscribers, the values they yield, and the errors they raise.

Names load on first use, so that a capture process that imports ``syncsvc.capture`` does not pay for the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncsvc.client.pixels import stack as stack
    from syncsvc.client.subscriber import AsyncSubscriber as AsyncSubscriber
    from syncsvc.client.subscriber import Subscriber as Subscriber
    from syncsvc.errors import ConfigError as ConfigError
    from syncsvc.errors import FrameReclaimedError as FrameReclaimedError
    from syncsvc.errors import FrameUndecodable as FrameUndecodable
    from syncsvc.errors import SyncsvcError as SyncsvcError
    from syncsvc.errors import WireError as WireError
    from syncsvc.model import Counts as Counts
    from syncsvc.model import Frame as Frame
    from syncsvc.model import FrameBatch as FrameBatch
    from syncsvc.model import FrameSet as FrameSet
    from syncsvc.model import Gap as Gap

__version__ = "0.1.0"

_HOME = {
    "stack": "syncsvc.client.pixels",
    "AsyncSubscriber": "syncsvc.client.subscriber",
    "Subscriber": "syncsvc.client.subscriber",
    "ConfigError": "syncsvc.errors",
    "FrameReclaimedError": "syncsvc.errors",
    "FrameUndecodable": "syncsvc.errors",
    "SyncsvcError": "syncsvc.errors",
    "WireError": "syncsvc.errors",
    "Counts": "syncsvc.model",
    "Frame": "syncsvc.model",
    "FrameBatch": "syncsvc.model",
    "FrameSet": "syncsvc.model",
    "Gap": "syncsvc.model",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
