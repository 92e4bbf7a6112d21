"""The metrics as Prometheus reads them; apart from their declarations, since only a scrape needs its library."""

from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from syncsvc.observe.metrics import METRICS, Declared
from syncsvc.observe.status import ServiceStatus

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
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(status):
        family.add_metric(labels, value)
    return family
