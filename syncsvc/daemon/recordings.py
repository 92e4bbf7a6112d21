"""The common start of the recordings: told to each of their captures, with a line where nobody knows better."""

import logging
from collections.abc import Sequence

from syncsvc.capture.spec import FileSpec
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.config.models import Config
from syncsvc.daemon.capture_child import SupervisedCapture
from syncsvc.daemon.planning import is_patient, window_lcm_ns
from syncsvc.daemon.starts import UNSAID_NS, begun_together, decide_starts

TOGETHER = (
    "recordings %s do not say when they were made, and were started together: their times are ± %g s of each other; "
    "offset_ms corrects that, and `syncsvc doctor --content` measures it from the pictures"
)

log = logging.getLogger(__name__)


def begin_together(waiting: Sequence[SupervisedCapture], config: Config, ready_ns: int, clock: Clock) -> None:
    """Begin the recordings that are ready; ``ready_ns`` is when the service was, UTC."""
    recorded = {stream.name: stream.recorded for stream in waiting}
    groups = [group.streams for group in config.groups.values()]
    offsets = {
        stream.name: stream.spec.offset_ns
        for stream in waiting
        if isinstance(stream.spec, FileSpec) and stream.spec.offset_ns is not None
    }
    for names in begun_together(recorded, groups, offsets):
        log.warning(TOGETHER, ", ".join(names), UNSAID_NS / NS_PER_S)
    starts = decide_starts(
        recorded,
        groups,
        offsets,
        edge_ns=window_lcm_ns(config),
        first_ns=ready_ns,
        now_utc_ns=clock.utc_ns(),
        now_mono_ns=clock.monotonic_ns(),
        is_patient=is_patient(config),
    )
    for stream in waiting:
        stream.begin(starts[stream.name])
