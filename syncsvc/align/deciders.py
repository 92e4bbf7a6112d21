"""Which decider a group has: batches by windows, or one per set."""

from syncsvc.align.sets import GroupSets
from syncsvc.align.windows import GroupWindows
from syncsvc.observe.events import Open

Decider = GroupWindows | GroupSets


def decider_for(group: str, opening: Open, clock_epoch: int) -> Decider:
    """The decider of a group that begins, in this epoch of the host's clock."""
    window_ns = opening.rules.window_ns
    if window_ns is None:
        return GroupSets(group, opening, clock_epoch)
    return GroupWindows(group, opening, window_ns, clock_epoch)
