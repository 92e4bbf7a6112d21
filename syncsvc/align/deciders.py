"""Which decider a group has (batches by windows, or one per set), and which rule it pairs by."""

from collections.abc import Callable

from syncsvc.align.sets import GroupSets
from syncsvc.align.windows import GroupWindows
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.policy import SetPolicy
from syncsvc.pairing.turns import Turns

Decider = GroupWindows | GroupSets
RULE = Turns.name
"""What an observation log calls the rule: under another one its frames give other sets."""


def policy_for(rules: GroupRules) -> SetPolicy:
    """The rule that a group pairs by."""
    return Turns(rules.max_skew_ns, rules.reference, rules.min_streams)


def decider_for(
    group: str, opening: Open, clock_epoch: int, make_policy: Callable[[GroupRules], SetPolicy] = policy_for
) -> Decider:
    """The decider of a group that begins, in this epoch of the host's clock."""
    window_ns = opening.rules.window_ns
    if window_ns is None:
        return GroupSets(group, opening, make_policy, clock_epoch)
    return GroupWindows(group, opening, make_policy, window_ns, clock_epoch)
