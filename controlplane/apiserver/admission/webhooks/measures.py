"""The metrics of webhooks, under upstream's names."""

from __future__ import annotations

import time

from apimachinery.kit import metrics

ADMIT, VALIDATING = "admit", "validating"
_SECONDS = metrics.histogram(
    "apiserver_admission_webhook_admission_duration_seconds",
    "Time a webhook took to answer.",
    ("name", "type", "operation", "rejected"),
    (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0),
)
_REQUESTS = metrics.counter(
    "apiserver_admission_webhook_request", "Webhooks asked.", ("name", "type", "operation", "code", "rejected")
)
# Upstream's counters end in _count, without the suffix that the library gives to its own.
_REJECTIONS = metrics.gauge(
    "apiserver_admission_webhook_rejection_count",
    "Requests refused by a webhook, or because it could not be asked.",
    ("name", "type", "operation", "error_type", "rejection_code"),
)
_OPEN = metrics.gauge(
    "apiserver_admission_webhook_fail_open_count", "Requests let through unasked by a webhook.", ("name", "type")
)


class Call:
    """One question to a webhook: made when it begins, ended by one of its methods."""

    def __init__(self, name: str, sort: str, operation: str) -> None:
        self._labels = (name, sort, operation)
        self._begun = time.perf_counter()

    def passed(self) -> None:
        self._end(200, False)

    def rejected(self, why: str, code: int) -> None:
        _REJECTIONS.labels(*self._labels, why, str(code)).inc()
        self._end(code, True)

    def failed_open(self) -> None:
        _OPEN.labels(*self._labels[:2]).inc()
        self._end(503, False)

    def _end(self, code: int, rejected: bool) -> None:
        told = str(rejected).lower()
        _SECONDS.labels(*self._labels, told).observe(time.perf_counter() - self._begun)
        _REQUESTS.labels(*self._labels, str(code), told).inc()
