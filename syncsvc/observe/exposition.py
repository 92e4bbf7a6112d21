"""The metrics as Prometheus reads them; apart from their declarations, since only a scrape needs its library.

Beside them stands what its library tells of the daemon's own process, by names that dashboards know (``process_*``).
"""

from collections.abc import Callable, Iterable

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from syncsvc.observe.histogram import Histogram
from syncsvc.observe.metrics import HISTOGRAM, METRICS, SUMMARY, Declared
from syncsvc.observe.status import Quantiles, ServiceStatus

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
        return [*(_family(metric, self._status) for metric in METRICS), *ProcessCollector(registry=None).collect()]


def _family(metric: Declared, status: ServiceStatus) -> Metric:
    if metric.kind in _MADE_OF_PARTS:
        return _MADE_OF_PARTS[metric.kind](metric, status)
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(status):
        assert isinstance(value, float), f"{metric.name} is declared as a {metric.kind}"
        family.add_metric(labels, value)
    return family


def _histogram(metric: Declared, status: ServiceStatus) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(status):
        assert isinstance(value, Histogram), f"{metric.name} is declared as a histogram"
        family.add_metric(labels, [(bound, count) for bound, count in value.buckets.items()], value.sum)
    return family


def _summary(metric: Declared, status: ServiceStatus) -> Metric:
    family = Metric(metric.name, metric.help, SUMMARY)
    for values, value in metric.samples(status):
        assert isinstance(value, Quantiles), f"{metric.name} is declared as a summary"
        labels = dict(zip(metric.labels, values, strict=True))
        for quantile, known in value.quantiles.items():
            family.add_sample(metric.name, {**labels, "quantile": quantile}, known)
        family.add_sample(f"{metric.name}_count", labels, value.count)
        family.add_sample(f"{metric.name}_sum", labels, value.sum)
    return family


_MADE_OF_PARTS: dict[str, Callable[[Declared, ServiceStatus], Metric]] = {HISTOGRAM: _histogram, SUMMARY: _summary}
