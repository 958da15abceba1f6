"""Prometheus metrics of this process, behind one door."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client import Counter as Counter
from prometheus_client import Histogram as Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()
# What service levels are measured by (KEP-3466) is served apart from the rest.
_LEVELS = CollectorRegistry()
_CHECK = Gauge("kubernetes_healthcheck", "The result of a health check: 1 is well.", ("name", "type"), registry=_LEVELS)
_CHECKS = Counter(
    "kubernetes_healthchecks", "The results of all health checks.", ("name", "type", "status"), registry=_LEVELS
)

# Upstream's default latency buckets: 1 ms doubling to about 16 s.
SECONDS = tuple(0.001 * 2**i for i in range(15))


def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
    """A number that only grows; the name is given without `_total`."""
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
    """A number that goes up and down."""
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> Histogram:
    """A distribution; seconds unless the name says otherwise."""
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


def exposition() -> tuple[bytes, str]:
    """The text format of every metric, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def checked(name: str, type: str, well: bool) -> None:
    """Take down one run of a health check; type is the path that asked for it: livez, readyz, healthz."""
    _CHECK.labels(name, type).set(1 if well else 0)
    _CHECKS.labels(name, type, "success" if well else "error").inc()


def levels() -> tuple[bytes, str]:
    """What /metrics/slis shows, and its content type."""
    return generate_latest(_LEVELS), CONTENT_TYPE_LATEST
