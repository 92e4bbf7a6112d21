"""The test kit, for our tests and for yours: a clock with hands, frames by the dozen, a link in memory, leak checks.

Nothing of the service imports it.
"""

from syncsvc.clock import NS_PER_MS as MS
from syncsvc.clock import NS_PER_S as S
from syncsvc.testing.build import T0, TINY, HeldPixels, frame, observation
from syncsvc.testing.groups import GroupBench
from syncsvc.testing.leaks import Holdings, leaks_since, names_left_since, shared_names
from syncsvc.testing.manual_clock import ManualClock, ManualStop
from syncsvc.testing.scripted_link import MemoryLink

__all__ = [
    "MS",
    "T0",
    "TINY",
    "GroupBench",
    "HeldPixels",
    "Holdings",
    "ManualClock",
    "ManualStop",
    "MemoryLink",
    "S",
    "frame",
    "leaks_since",
    "names_left_since",
    "observation",
    "shared_names",
]
