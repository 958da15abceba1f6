"""Selectors of the Services and controllers a pod belongs to, for the default topology spread."""

from __future__ import annotations

from typing import Any

from apimachinery.informer import Informer
from apimachinery.objects import Obj
from apimachinery.selectors import LabelSelector, from_label_selector
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Workloads


class InformedWorkloads(Workloads):
    """Reads informers of Services and of the owners by kind."""

    def __init__(self, services: Informer, owners: dict[str, Informer]) -> None:
        self._services = services
        self._owners = owners
        services.index_by_namespace()

    def selector_of(self, pod: Pod) -> LabelSelector | None:
        """All Services that select the pod and its owner, joined; None where there is neither."""
        labels: dict[str, str] = {}
        for service in self._services.in_namespace(pod.namespace):
            wanted = (service.get("spec") or {}).get("selector") or {}
            if wanted and wanted.items() <= pod.labels.items():
                labels.update(wanted)
        expressions: list[Any] = []
        owner = self._owner(pod)
        if owner is not None:
            selector = (owner.get("spec") or {}).get("selector") or {}
            labels.update(selector.get("matchLabels") or {})
            expressions = selector.get("matchExpressions") or []
        if not labels and not expressions:
            return None
        return from_label_selector({"matchLabels": labels, "matchExpressions": expressions})

    def _owner(self, pod: Pod) -> Obj | None:
        if pod.owner is None:
            return None
        informer = self._owners.get(pod.owner[0])
        return informer.get(f"{pod.namespace}/{pod.owner[1]}") if informer else None
