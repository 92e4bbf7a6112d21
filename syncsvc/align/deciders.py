"""Which decider a group has: batches by windows, or one per set."""

from syncsvc.align.batches import GroupRules
from syncsvc.align.decider import Opening
from syncsvc.align.sets import GroupSets
from syncsvc.align.windows import GroupWindows

Decider = GroupWindows | GroupSets


def decider_for(rules: GroupRules, opening: Opening) -> Decider:
    """The decider of a group that begins."""
    return GroupWindows(rules, opening) if rules.window_ns else GroupSets(rules, opening)
