"""What a scrape gets of a status."""

import os
import re

from msgspec import structs

from syncsvc.observe.events import GroupRules
from syncsvc.observe.exposition import exposition
from syncsvc.observe.metrics import COUNTER, GAUGE, HISTOGRAM, METRICS, SUMMARY
from syncsvc.observe.status import DROP_CAUSES, GroupStatus
from syncsvc.testing import MS, S
from tests.statuses import SERVICE, STREAM


def samples(text: bytes) -> dict[str, float]:
    """Values by name and labels."""
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_every_metric_has_a_sample_of_a_service_that_has_something_of_everything() -> None:
    here = structs.replace(SERVICE, pid=os.getpid())
    names = {name.split("{")[0] for name in samples(exposition(here))}
    endings = {
        GAUGE: [""], COUNTER: ["_total"], HISTOGRAM: ["_bucket", "_count", "_sum"], SUMMARY: ["", "_count", "_sum"],
    }  # fmt: skip
    assert {name for name in names if not name.startswith("process_")} == {
        metric.name + ending for metric in METRICS for ending in endings[metric.kind]
    }


def test_values_are_those_of_the_status() -> None:
    told = samples(exposition(SERVICE))
    assert told["syncsvc_ready"] == 1.0
    assert told["syncsvc_local_leases"] == 2.0
    assert told['syncsvc_stream_state{state="live",stream="a"}'] == 1.0
    assert told['syncsvc_stream_state{state="stalled",stream="a"}'] == 0.0
    assert told['syncsvc_stream_uncertainty_seconds{clock="rtcp",stream="a"}'] == 0.002
    assert told['syncsvc_set_spread_seconds{group="g",quantile="0.5"}'] == 0.005
    assert told['syncsvc_set_spread_seconds{group="g",quantile="1"}'] == 0.008
    assert told['syncsvc_set_spread_seconds_count{group="g"}'] == 7.0
    assert told['syncsvc_set_spread_seconds_sum{group="g"}'] == 0.035
    assert told['syncsvc_stream_offset_seconds{group="g",stream="a"}'] == -0.012
    assert told['syncsvc_batch_latency_seconds_bucket{group="g",le="+Inf"}'] == 3.0
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


def test_every_counter_of_a_group_is_there_before_anything_was_heard_of_it() -> None:
    groups = {"g": GroupStatus.unheard(GroupRules(("a", "b"), S, 40 * MS, 500 * MS))}
    told = samples(exposition(structs.replace(SERVICE, groups=groups)))
    for metric in METRICS:
        if metric.kind == COUNTER and "{group}" in metric.path:
            some = {name: value for name, value in told.items() if name.startswith(f"{metric.name}_total{{")}
            assert some, metric.name
            assert set(some.values()) == {0.0}
    for stream in ("a", "b"):
        for cause in DROP_CAUSES:
            assert told[f'syncsvc_frames_dropped_total{{cause="{cause}",group="g",stream="{stream}"}}'] == 0.0


def test_what_runs_and_what_it_takes_is_told() -> None:
    told = samples(exposition(structs.replace(SERVICE, pid=os.getpid())))
    assert [value for name, value in told.items() if name.startswith("syncsvc_build_info{")] == [1.0]
    assert told['syncsvc_process_cpu_seconds_total{process="daemon"}'] > 0
    assert told['syncsvc_process_resident_memory_bytes{process="daemon"}'] > 1_000_000
    assert told["process_cpu_seconds_total"] > 0


def test_the_text_is_what_promtool_asks_for() -> None:
    text = exposition(SERVICE).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert set(kinds) == set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|us|ns|kb|mb|milliseconds|bucket|count|sum|gauge|counter|info_total)(_|$)", name), (
            name
        )
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    for line in text.splitlines():
        if 'quantile="' in line:
            assert kinds[line.partition("{")[0]] == "summary"
