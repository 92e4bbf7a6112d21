"""The receiver's side of the observation log: turns what its parts learn and decide into records."""

from syncsvc.align.deciders import RULE
from syncsvc.model import FrameBatch
from syncsvc.observe import records
from syncsvc.observe.events import GroupRules
from syncsvc.observe.journal import Journal
from syncsvc.observe.records import Note
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.timing.utc import UtcSegment


class ObservationLog:
    """Writes what the receiver's main thread has to say to a journal; streams and groups have ``note`` for theirs."""

    def __init__(self, journal: Journal) -> None:
        self.note: Note = journal.put
        self.close = journal.close
        """Write what waits; nothing is written later."""
        self._segment: UtcSegment | None = None

    def run(self, plan: ReceiverPlan, *, epoch: int, utc_ns: int, mono_ns: int) -> None:
        """The receiver begins to serve."""
        streams, groups = _settings(plan)
        self.note(
            records.RunRecord(
                v=1, run_id=plan.run_id, epoch=epoch, utc_ns=utc_ns, mono_ns=mono_ns, streams=streams, groups=groups,
                pairing=RULE,
            )
        )  # fmt: skip

    def reload(self, plan: ReceiverPlan, *, mono_ns: int) -> None:
        """The configuration was read again."""
        streams, groups = _settings(plan)
        self.note(records.ReloadRecord(mono_ns=mono_ns, streams=streams, groups=groups))

    def segment(self, segment: UtcSegment, clock_epoch: int) -> None:
        """How the host's mapper maps the present; told again, it writes nothing."""
        if segment is not self._segment:
            self._segment = segment
            self.note(
                records.UtcRecord(mono_ns=segment.mono_ns, utc_ns=segment.utc_ns, rate=segment.rate, epoch=clock_epoch)
            )

    def sent(self, batch: FrameBatch, emitted_ns: int, late_ns: int, since_ns: int | None) -> None:
        """A batch leaves, this late; ``since_ns`` as in its header."""
        sent = records.SentRecord(
            group=batch.group, seq=batch.seq, epoch=batch.epoch, emitted_ns=emitted_ns, late_ns=late_ns,
            since_ns=since_ns,
        )  # fmt: skip
        self.note(sent)


def _settings(plan: ReceiverPlan) -> tuple[dict[str, records.StreamSettings], dict[str, GroupRules]]:
    settings = {name: stream.settings for name, stream in plan.streams.items()}
    return settings, {name: group.rules for name, group in plan.groups.items()}
