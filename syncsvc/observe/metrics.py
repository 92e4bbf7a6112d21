"""The service's state as Prometheus metrics: each declared once, with what it is and where in the status it stands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from syncsvc.observe.histogram import Histogram
from syncsvc.observe.status import Quantiles, ServiceStatus

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
HISTOGRAM: Final = "histogram"
SUMMARY: Final = "summary"
Sample = float | Histogram | Quantiles


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric, and one row of the table in ``docs/operations.md``."""

    name: str
    kind: Literal["gauge", "counter", "histogram", "summary"]
    """A counter is exposed with ``_total`` behind its name, the last two as Prometheus has them."""
    path: str
    """Where its samples stand in a ``ServiceStatus``; a part in braces is each key of a map, and a label's name."""
    help: str

    @property
    def labels(self) -> list[str]:
        """Names of its labels."""
        return re.findall(r"{(\w+)}", self.path)

    def samples(self, status: ServiceStatus) -> Iterator[tuple[list[str], Sample]]:
        """Its samples, as of this status: the labels' values, and what is known."""
        for labels, value in _samples(status, self.path.split(".")):
            if value is not None:
                yield labels, value if isinstance(value, Histogram | Quantiles) else float(value)


def _samples(told: Any, path: Sequence[str]) -> Iterator[tuple[list[str], Sample | None]]:
    if not path:
        yield [], told
    elif not path[0].startswith("{"):
        yield from _samples(getattr(told, path[0]), path[1:])
    else:
        for key, one in told.items():
            for labels, value in _samples(one, path[1:]):
                yield [key, *labels], value


METRICS = (
    Declared("syncsvc_build_info", GAUGE, "build.{version}.{python}", "1; our version, and Python's"),
    Declared("syncsvc_process_cpu_seconds", COUNTER, "usage.{process}.cpu_s",
             "user and system time of `daemon`, `receiver`, `nursery` and each `capture STREAM`"),
    Declared("syncsvc_process_resident_memory_bytes", GAUGE, "usage.{process}.resident_bytes",
             "memory of the same; that of rings is counted in each process that has them"),
    Declared("syncsvc_ready", GAUGE, "is_ready", "1 when every socket is bound"),
    Declared("syncsvc_subscriptions", GAUGE, "subscriptions",
             "subscriptions on `live`, and subscribers in modes `local` and `lossless`"),
    Declared("syncsvc_local_leases", GAUGE, "local.leases", "frames that subscribers in mode `local` hold"),
    Declared("syncsvc_local_leases_revoked", COUNTER, "local.leases_revoked",
             "of these, frames that were held too long, and reclaimed"),
    Declared("syncsvc_local_subscribers_cut_off", COUNTER, "local.cut_off",
             "subscribers in mode `local` that did not give frames back when asked"),
    Declared("syncsvc_local_batches_missed", COUNTER, "local.batches_missed",
             "batches that a subscriber in mode `local` had no room for"),
    Declared("syncsvc_lossless_subscriptions", GAUGE, "lossless.subscriptions",
             "subscriptions in mode `lossless`, with those whose subscriber is away"),
    Declared("syncsvc_lossless_history_batches", GAUGE, "lossless.batches", "batches that are kept for them"),
    Declared("syncsvc_lossless_history_bytes", GAUGE, "lossless.size_bytes", "and what these take"),
    Declared("syncsvc_lossless_gaps", COUNTER, "lossless.gaps",
             "times that one was told of batches that the history had not any more"),
    Declared("syncsvc_lossless_cut_off", COUNTER, "lossless.cut_off",
             "connections of mode `lossless` that were ended, since nobody read there while the history went on"),
    Declared("syncsvc_spool_paused", GAUGE, "spool.is_paused", "1 while batches cannot be written to the spool"),
    Declared("syncsvc_spool_batches", GAUGE, "spool.batches", "batches in the spool"),
    Declared("syncsvc_spool_bytes", GAUGE, "spool.size_bytes", "and what these take"),
    Declared("syncsvc_spool_waiting_batches", GAUGE, "spool.waiting", "batches on their way to the disk"),
    Declared("syncsvc_spool_written_batches", COUNTER, "spool.written", "batches that were written to the spool"),
    Declared("syncsvc_spool_skipped_batches", COUNTER, "spool.skipped.{cause}",
             "batches that the spool has not: `disk_full`, `not_written` (the disk fails), `too_slow`"),
    Declared("syncsvc_spool_damages", COUNTER, "spool.damaged",
             "what was not on the disk as it was written, and is not handed out"),
    Declared("syncsvc_stream_state", GAUGE, "streams.{stream}.states.{state}",
             "1 for the state that the stream is in: `starting`, `live`, `stalled`, `absent`, `ended`, `draining`"),
    Declared("syncsvc_stream_fps", GAUGE, "streams.{stream}.fps", "frames per second, lately"),
    Declared("syncsvc_stream_uncertainty_seconds", GAUGE, "streams.{stream}.uncertainty_s.{clock}",
             "the ± of its capture times, and the clock in use"),
    Declared("syncsvc_stream_doubtful", GAUGE, "streams.{stream}.doubtful",
             "1 while the stream was caught lying and its times are a guess: it leads no sets"),
    Declared("syncsvc_stream_drift_ppm", GAUGE, "streams.{stream}.drift_ppm",
             "rate of its pts against the host's clock, where a clock model follows them"),
    Declared("syncsvc_capture_restarts", COUNTER, "streams.{stream}.restarts", "restarts of its capture process"),
    Declared("syncsvc_stream_quarantined", GAUGE, "streams.{stream}.quarantined",
             "1 while its capture is left alone, since it broke more than five times in a minute"),
    Declared("syncsvc_stream_quarantines", COUNTER, "streams.{stream}.quarantines", "how often that was so"),
    Declared("syncsvc_batches", COUNTER, "groups.{group}.batches", "batches emitted"),
    Declared("syncsvc_complete_batches", COUNTER, "groups.{group}.complete_batches", "those with every stream"),
    Declared("syncsvc_late_batches", COUNTER, "groups.{group}.promises.late_batches",
             "those that left more than 20 ms later than `max_latency_ms` allows"),
    Declared("syncsvc_batch_lateness_seconds", HISTOGRAM, "groups.{group}.promises.lateness_s",
             "how much later than `max_latency_ms` allows batches left; in the bucket 0, in time"),
    Declared("syncsvc_wide_sets", COUNTER, "groups.{group}.promises.wide_sets",
             "sets that were wider than `max_skew_ms`: always 0, or the service is at fault"),
    Declared("syncsvc_sets", COUNTER, "groups.{group}.sets", "sets emitted"),
    Declared("syncsvc_set_spread_seconds", SUMMARY, "groups.{group}.spread_s",
             "spread of sets; quantiles of recent ones: 0.5 is the median, 1 the widest"),
    Declared("syncsvc_stream_offset_seconds", GAUGE, "groups.{group}.offsets_s.{stream}",
             "how much later than the middle of its sets its frames were taken, on average of recent ones"),
    Declared("syncsvc_batch_latency_seconds", HISTOGRAM, "groups.{group}.latency_s",
             "how long after its window's end a batch left; nothing of recordings played `asap`"),
    Declared("syncsvc_frames_captured", COUNTER, "groups.{group}.counts.{stream}.captured", "frames captured"),
    Declared("syncsvc_frames_delivered", COUNTER, "groups.{group}.counts.{stream}.delivered", "frames in batches"),
    Declared("syncsvc_frames_late", COUNTER, "groups.{group}.counts.{stream}.late",
             "frames that came after their window"),
    Declared("syncsvc_frames_dropped", COUNTER, "groups.{group}.drops.{stream}.{cause}", "frames lost"),
    Declared("syncsvc_frames_skipped", COUNTER, "groups.{group}.counts.{stream}.skipped",
             "frames that never reached us, by the grid of their pts; not among those captured"),
)  # fmt: skip
