"""Prometheus metrics of this process, behind one door."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client import Counter as Counter
from prometheus_client import Histogram as Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Registry = CollectorRegistry
REGISTRY = Registry()
# What service levels are measured by (KEP-3466) is served apart from the rest.
_LEVELS = CollectorRegistry()
_CHECK = Gauge("kubernetes_healthcheck", "The result of a health check: 1 is well.", ("name", "type"), registry=_LEVELS)
_CHECKS = Counter(
    "kubernetes_healthchecks", "The results of all health checks.", ("name", "type", "status"), registry=_LEVELS
)

# Upstream's default latency buckets: 1 ms doubling to about 16 s.
SECONDS = tuple(0.001 * 2**i for i in range(15))
# What Prometheus' clients take where nothing is said.
DEFAULT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def counter(name: str, text: str, labels: Sequence[str] = (), registry: Registry = REGISTRY) -> Counter:
    """A number that only grows; the name is given without `_total`."""
    return Counter(name, text, labels, registry=registry)


def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
    """A number that goes up and down."""
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(
    name: str,
    text: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = SECONDS,
    registry: Registry = REGISTRY,
) -> Histogram:
    """A distribution; seconds unless the name says otherwise."""
    return Histogram(name, text, labels, registry=registry, buckets=buckets)


def remove(metric: Counter | Histogram, *labels: str) -> None:
    """Forget the series with these values of its labels, if there is one."""
    with contextlib.suppress(KeyError):
        metric.remove(*labels)


def exposition(registry: Registry = REGISTRY) -> tuple[bytes, str]:
    """The text format of every metric of a registry, and its content type."""
    return generate_latest(registry), CONTENT_TYPE_LATEST


def checked(name: str, type: str, well: bool) -> None:
    """Take down one run of a health check; type is the path that asked for it: livez, readyz, healthz."""
    _CHECK.labels(name, type).set(1 if well else 0)
    _CHECKS.labels(name, type, "success" if well else "error").inc()


def levels() -> tuple[bytes, str]:
    """What /metrics/slis shows, and its content type."""
    return generate_latest(_LEVELS), CONTENT_TYPE_LATEST
