"""The service's state as Prometheus metrics: one collector over the status that the API gives."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = ("starting", "live", "stalled", "absent", "ended", "draining")


class StatusCollector(Collector):
    """Turns ``/api/status`` into metrics at each scrape; children report over their channels, nothing is shared."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """All metrics, as of now."""
        status = self._status()
        yield GaugeMetricFamily("syncsvc_ready", "1 when every socket is bound", float(bool(status["is_ready"])))
        yield GaugeMetricFamily("syncsvc_subscriptions", "Subscriptions on the live socket", status["subscriptions"])
        yield from _of_local(status.get("local", {}))
        yield from _of_streams(status["streams"])
        yield from _of_groups(status["groups"])


def _of_local(local: Mapping[str, int]) -> Iterable[Metric]:
    yield GaugeMetricFamily("syncsvc_local_leases", "Frames that subscribers on this host hold", local.get("leases", 0))
    for key, name, text in (
        ("leases_revoked", "syncsvc_local_leases_revoked", "Frames that subscribers on this host held too long"),
        ("cut_off", "syncsvc_local_subscribers_cut_off", "Subscribers on this host that did not give frames back"),
        ("batches_missed", "syncsvc_local_batches_missed", "Batches that subscribers on this host had no room for"),
    ):
        yield CounterMetricFamily(name, text, local.get(key, 0))


def _of_streams(streams: Mapping[str, Mapping[str, Any]]) -> Iterable[Metric]:
    state = GaugeMetricFamily(
        "syncsvc_stream_state", "1 for the state that the stream is in", labels=["stream", "state"]
    )
    restarts = CounterMetricFamily("syncsvc_capture_restarts", "Restarts of the capture process", labels=["stream"])
    fps = GaugeMetricFamily("syncsvc_stream_fps", "Frames per second, lately", labels=["stream"])
    uncertainty = GaugeMetricFamily(
        "syncsvc_stream_uncertainty_seconds", "Half width of the capture time's interval", labels=["stream", "clock"]
    )
    doubtful = GaugeMetricFamily(
        "syncsvc_stream_doubtful", "1 while the stream was caught lying and its times are a guess", labels=["stream"]
    )
    drift = GaugeMetricFamily(
        "syncsvc_stream_drift_ppm", "Rate of the stream's pts against the host, less one", labels=["stream"]
    )
    for name, stream in streams.items():
        for one in STATES:
            state.add_metric([name, one], float(stream.get("state", "starting") == one))
        restarts.add_metric([name], stream.get("restarts", 0))
        fps.add_metric([name], stream.get("fps") or 0.0)
        if stream.get("uncertainty_ms") is not None:
            uncertainty.add_metric([name, str(stream.get("clock"))], stream["uncertainty_ms"] / 1000)
        doubtful.add_metric([name], float(stream.get("doubtful", False)))
        if stream.get("drift_ppm") is not None:
            drift.add_metric([name], stream["drift_ppm"])
    return [state, restarts, fps, uncertainty, doubtful, drift]


def _of_groups(groups: Mapping[str, Mapping[str, Any]]) -> Iterable[Metric]:
    batches = CounterMetricFamily("syncsvc_batches", "Batches emitted", labels=["group"])
    complete = CounterMetricFamily("syncsvc_complete_batches", "Batches with every stream", labels=["group"])
    sets = CounterMetricFamily("syncsvc_sets", "Sets of frames that belong together", labels=["group"])
    spread = GaugeMetricFamily("syncsvc_set_spread_seconds", "Spread of recent sets", labels=["group", "quantile"])
    captured = CounterMetricFamily("syncsvc_frames_captured", "Frames captured", labels=["group", "stream"])
    delivered = CounterMetricFamily("syncsvc_frames_delivered", "Frames in batches", labels=["group", "stream"])
    late = CounterMetricFamily("syncsvc_frames_late", "Frames that came after their window", labels=["group", "stream"])
    dropped = CounterMetricFamily("syncsvc_frames_dropped", "Frames lost", labels=["group", "stream", "cause"])
    for name, group in groups.items():
        batches.add_metric([name], group["batches"])
        complete.add_metric([name], group["complete_batches"])
        sets.add_metric([name], group["sets"])
        for quantile, key in (("0.5", "spread_p50_ms"), ("1", "spread_max_ms")):
            if group[key] is not None:
                spread.add_metric([name, quantile], group[key] / 1000)
        for stream, counts in group["counts"].items():
            captured.add_metric([name, stream], counts["captured"])
            delivered.add_metric([name, stream], counts["delivered"])
            late.add_metric([name, stream], counts["late"])
            for cause, count in counts["dropped"].items():
                dropped.add_metric([name, stream, cause], count)
    return [batches, complete, sets, spread, captured, delivered, late, dropped]


def exposition(status: Callable[[], Mapping[str, Any]]) -> bytes:
    """The text that a scrape gets."""
    registry = CollectorRegistry()
    registry.register(StatusCollector(status))
    return generate_latest(registry)
