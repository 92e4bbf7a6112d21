"""The metrics as Prometheus reads them; apart from their declarations, since only a scrape needs its library."""

from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from syncsvc.observe.metrics import HISTOGRAM, METRICS, Declared
from syncsvc.observe.status import Histogram, ServiceStatus

_FAMILIES: dict[str, type[GaugeMetricFamily] | type[CounterMetricFamily]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


def exposition(status: ServiceStatus) -> bytes:
    """The text that a scrape gets."""
    return generate_latest(_Told(status))


class _Told(Collector):
    """What a status says; children report over their channels, nothing is shared."""

    def __init__(self, status: ServiceStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        return [_family(metric, self._status) for metric in METRICS]


def _family(metric: Declared, status: ServiceStatus) -> Metric:
    if metric.kind == HISTOGRAM:
        return _histogram(metric, status)
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(status):
        assert not isinstance(value, Histogram), f"{metric.name} is declared as a {metric.kind}"
        family.add_metric(labels, value)
    return family


def _histogram(metric: Declared, status: ServiceStatus) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(status):
        assert isinstance(value, Histogram), f"{metric.name} is declared as a histogram"
        family.add_metric(labels, [(bound, count) for bound, count in value.buckets.items()], value.sum)
    return family
