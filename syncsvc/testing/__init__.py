"""The test kit, for our tests and for yours: a clock with hands, frames by the dozen, a link in memory, leak checks.

Nothing of the service imports it.
"""

from syncsvc.testing.build import MS, S, T0, HeldPixels, frame, observation
from syncsvc.testing.clock import ManualClock, ManualStop
from syncsvc.testing.groups import GroupBench
from syncsvc.testing.leaks import Holdings, leaks_since
from syncsvc.testing.link import MemoryLink

__all__ = [
    "MS",
    "T0",
    "GroupBench",
    "HeldPixels",
    "Holdings",
    "ManualClock",
    "ManualStop",
    "MemoryLink",
    "S",
    "frame",
    "leaks_since",
    "observation",
]
