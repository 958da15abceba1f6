"""What is asked of other objects than pods and nodes: who owns a pod, and which disruption budgets hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.informer import Informer
from apimachinery.objects import Obj
from apimachinery.selectors import LabelSelector, from_label_selector
from controlplane.scheduler.extract import Pod

# Pods' selectors that are remembered; then all are forgotten.
REMEMBERED = 4096


class Workloads:
    """Selectors of the Services and workload controllers a pod belongs to; the default knows none."""

    def selector_of(self, pod: Pod) -> LabelSelector | None:
        """The pods that belong with this one, or None where nothing selects it."""
        return None


class InformedWorkloads(Workloads):
    """Reads informers of Services and of the owners by kind; what it found stands until one of them changes."""

    def __init__(self, services: Informer, owners: Mapping[str, Informer]) -> None:
        self._services = services
        self._owners = owners
        self._found: dict[tuple[str, Any, Any], LabelSelector | None] = {}
        services.index_by_namespace()
        for informer in (services, *owners.values()):
            informer.add_handler(self._on_change)

    def _on_change(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self._found.clear()

    def selector_of(self, pod: Pod) -> LabelSelector | None:
        """All Services that select the pod and its owner, joined; None where there is neither."""
        place = pod.namespace, pod.label_set, pod.owner
        if place not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[place] = self._joined(pod)
        return self._found[place]

    def _joined(self, pod: Pod) -> LabelSelector | None:
        labels: dict[str, str] = {}
        for service in self._services.in_namespace(pod.namespace):
            wanted = (service.get("spec") or {}).get("selector") or {}
            if wanted and wanted.items() <= pod.labels.items():
                labels.update(wanted)
        expressions: list[Any] = []
        owner = self._owner(pod)
        if owner is not None:
            selector = (owner.get("spec") or {}).get("selector") or {}
            if pod.owner is not None and pod.owner[0] == "ReplicationController":
                selector = {"matchLabels": selector}
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


@dataclass(frozen=True)
class Budget:
    """A PodDisruptionBudget: how many of the pods it selects may still go; `gone`: names counted already."""

    selector: LabelSelector
    allowed: int
    gone: frozenset[str]


class Budgets:
    """The disruption budgets of a namespace; the default knows none."""

    def of(self, namespace: str) -> Iterable[Budget]:
        """Those that select anything."""
        return ()


class InformedBudgets(Budgets):
    """Reads an informer of PodDisruptionBudgets."""

    def __init__(self, budgets: Informer) -> None:
        self._budgets = budgets
        budgets.index_by_namespace()

    def of(self, namespace: str) -> Iterable[Budget]:
        found = (budget(obj) for obj in self._budgets.in_namespace(namespace))
        return [one for one in found if not one.selector.impossible and not one.selector.empty]


def budget(obj: Obj) -> Budget:
    """The view of a PodDisruptionBudget."""
    status = obj.get("status") or {}
    gone = frozenset(status.get("disruptedPods") or {})
    return Budget(
        from_label_selector((obj.get("spec") or {}).get("selector")), status.get("disruptionsAllowed") or 0, gone
    )
