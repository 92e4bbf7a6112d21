"""When a batch was to leave at the latest: of the batch and its group's bounds alone, whoever asks and whenever."""

from syncsvc.model import FrameBatch
from syncsvc.observe.events import GroupRules


def deadline_of(batch: FrameBatch, rules: GroupRules) -> int:
    """The end of the batch's window and ``max_latency_ns``, UTC by the clock of the batch's epoch.

    Where a batch is one set, its window has any length: it is due ``max_latency_ns`` after its oldest frame, and one
    without frames after the time of silence that it stands for.
    """
    until_ns = batch.window_end_ns
    if rules.window_ns is None:
        until_ns = min([until_ns, *(some[0].time_ns for some in batch.frames.values() if some)])
    return until_ns + rules.max_latency_ns
