"""The receiver's side of the observation log: turns what its parts learn and decide into records."""

from collections.abc import Mapping

from syncsvc.align.group import Note
from syncsvc.model import FrameBatch, Observation
from syncsvc.observe import records
from syncsvc.observe.events import GroupRules
from syncsvc.observe.journal import Journal
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.timing.ladder import Stamp
from syncsvc.timing.utc import UtcSegment


class ObservationLog:
    """Writes records to a journal, from any thread; what streams tell it: ``ingest.consumers``."""

    def __init__(self, journal: Journal) -> None:
        self._put = journal.put
        self.note: Note = journal.put
        """Takes what a group is told and decides (``GroupOutput.note``)."""
        self.close = journal.close
        """Write what waits; nothing is written later."""
        self._segment: UtcSegment | None = None

    def run(self, plan: ReceiverPlan, *, epoch: int, utc_ns: int, mono_ns: int) -> None:
        """The receiver begins to serve."""
        streams, groups = _settings(plan)
        self._put(
            records.RunRecord(
                v=1, run_id=plan.run_id, epoch=epoch, utc_ns=utc_ns, mono_ns=mono_ns, streams=streams, groups=groups
            )
        )

    def reload(self, plan: ReceiverPlan, *, mono_ns: int) -> None:
        """The configuration was read again."""
        streams, groups = _settings(plan)
        self._put(records.ReloadRecord(mono_ns=mono_ns, streams=streams, groups=groups))

    def segment(self, segment: UtcSegment, clock_epoch: int) -> None:
        """How the host's mapper maps the present; told again, it writes nothing."""
        if segment is not self._segment:
            self._segment = segment
            self._put(
                records.UtcRecord(mono_ns=segment.mono_ns, utc_ns=segment.utc_ns, rate=segment.rate, epoch=clock_epoch)
            )

    def sent(self, batch: FrameBatch, emitted_ns: int) -> None:
        """A batch leaves."""
        self._put(records.SentRecord(group=batch.group, seq=batch.seq, epoch=batch.epoch, emitted_ns=emitted_ns))

    # From the streams' threads.

    def session(self, stream: str, mono_ns: int) -> None:
        """The source was opened anew."""
        self._put(records.SessionRecord(stream=stream, mono_ns=mono_ns))

    def observed(self, stream: str, seen: Observation) -> None:
        """A frame came in."""
        self._put(records.ObsRecord.of(stream, seen))

    def lost(self, stream: str, cause: str, count: int, mono_ns: int) -> None:
        """Frames were captured and lost."""
        self._put(records.LossRecord(stream=stream, cause=cause, count=count, mono_ns=mono_ns))

    def stamped(self, stream: str, stamp: Stamp) -> None:
        """A frame has its time."""
        self._put(
            records.StampRecord(
                stream=stream,
                seq=stamp.observation.seq,
                time_ns=stamp.time_ns,
                uncertainty_ns=stamp.uncertainty_ns,
                clock=stamp.clock,
                arrival_ns=stamp.arrival_ns,
            )
        )

    def clock(
        self, stream: str, clock: str | None, is_doubtful: bool, reasons: Mapping[str, str], mono_ns: int
    ) -> None:
        """The stream's clock or its standing changed."""
        self._put(
            records.ClockRecord(
                stream=stream, clock=clock, doubtful=is_doubtful, reasons=dict(reasons), mono_ns=mono_ns
            )
        )


def _settings(plan: ReceiverPlan) -> tuple[dict[str, records.StreamSettings], dict[str, GroupRules]]:
    streams = {
        name: records.StreamSettings(
            stream.kind, stream.clock, stream.latency_ns, stream.stall_after_ns, stream.hold_ns, stream.edge_ns
        )
        for name, stream in plan.streams.items()
    }
    return streams, {name: group.rules for name, group in plan.groups.items()}
