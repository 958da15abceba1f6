"""What probes did, as /metrics/probes of a kubelet shows it: a registry of its own, apart from /metrics.

A container's series last as long as its pod, whatever is started again in it.
"""

from __future__ import annotations

from agent import podspec
from agent.probes.checks import Outcome
from apimachinery.kit import metrics
from apimachinery.kit.metrics import Registry
from apimachinery.objects import Obj

REGISTRY = Registry()
TOTAL = metrics.counter(
    "prober_probe",
    "Probes of containers, by kind and result",
    ("probe_type", "result", "container", "pod", "namespace", "pod_uid"),
    registry=REGISTRY,
)
SECONDS = metrics.histogram(
    "prober_probe_duration_seconds",
    "How long probes that did not fail took",
    ("probe_type", "container", "pod", "namespace"),
    buckets=metrics.DEFAULT,
    registry=REGISTRY,
)
KINDS = ("Liveness", "Readiness", "Startup")
_RESULTS = {Outcome.SUCCESS: "successful", Outcome.FAILURE: "failed", Outcome.UNKNOWN: "unknown"}


def probed(kind: str, pod: Obj, container: str, outcome: Outcome, seconds: float) -> None:
    """One probe, with what was tried again in it."""
    where = (container, podspec.name(pod), podspec.namespace(pod))
    TOTAL.labels(kind, _RESULTS[outcome], *where, podspec.uid(pod)).inc()
    if outcome is not Outcome.FAILURE:
        SECONDS.labels(kind, *where).observe(seconds)


def forget(pod: Obj, container: str) -> None:
    """Its pod is gone."""
    where = (container, podspec.name(pod), podspec.namespace(pod))
    for kind in KINDS:
        for result in _RESULTS.values():
            metrics.remove(TOTAL, kind, result, *where, podspec.uid(pod))
        metrics.remove(SECONDS, kind, *where)


__all__ = ["REGISTRY", "forget", "probed"]
