"""Prometheus metrics of this process, behind one door."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()

# Upstream's default latency buckets: 1 ms doubling to about 16 s.
SECONDS = tuple(0.001 * 2**i for i in range(15))


def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
    """A number that only grows; the name is given without ``_total``."""
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
