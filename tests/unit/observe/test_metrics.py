"""What a scrape gets of a status."""

from msgspec import structs

from syncsvc.observe.exposition import exposition
from syncsvc.observe.metrics import COUNTER, GAUGE, HISTOGRAM, METRICS
from tests.statuses import SERVICE, STREAM


def samples(text: bytes) -> dict[str, float]:
    """Values by name and labels."""
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_every_metric_has_a_sample_of_a_service_that_has_something_of_everything() -> None:
    names = {name.split("{")[0] for name in samples(exposition(SERVICE))}
    endings = {GAUGE: [""], COUNTER: ["_total"], HISTOGRAM: ["_bucket", "_count", "_sum"]}
    assert names == {metric.name + ending for metric in METRICS for ending in endings[metric.kind]}


def test_values_are_those_of_the_status() -> None:
    told = samples(exposition(SERVICE))
    assert told["syncsvc_ready"] == 1.0
    assert told["syncsvc_local_leases"] == 2.0
    assert told['syncsvc_stream_state{state="live",stream="a"}'] == 1.0
    assert told['syncsvc_stream_state{state="stalled",stream="a"}'] == 0.0
    assert told['syncsvc_stream_uncertainty_seconds{clock="rtcp",stream="a"}'] == 0.002
    assert told['syncsvc_set_spread_seconds{group="g",quantile="0.5"}'] == 0.005
    assert told['syncsvc_set_spread_seconds{group="g",quantile="1"}'] == 0.008
    assert told['syncsvc_late_batches_total{group="g"}'] == 1.0
    assert told['syncsvc_batch_lateness_seconds_bucket{group="g",le="0.0"}'] == 2.0
    assert told['syncsvc_batch_lateness_seconds_count{group="g"}'] == 3.0
    assert told['syncsvc_batch_lateness_seconds_sum{group="g"}'] == 1.593
    assert told['syncsvc_frames_delivered_total{group="g",stream="a"}'] == 7.0
    assert told['syncsvc_frames_dropped_total{cause="ring_full",group="g",stream="a"}'] == 1.0


def test_what_is_not_known_has_no_sample() -> None:
    stream = structs.replace(STREAM, clock=None, uncertainty_ms=None, drift_ppm=None)
    told = exposition(structs.replace(SERVICE, streams={"a": stream})).decode()
    assert "syncsvc_stream_uncertainty_seconds{" not in told
    assert "syncsvc_stream_drift_ppm{" not in told
