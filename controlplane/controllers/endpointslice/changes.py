"""Which Services a change of a pod or a Service concerns, and when what changed them happened."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.informer import Informer
from apimachinery.objects import Obj, condition, key, labels, namespace
from apimachinery.selectors import from_map
from controlplane.controllers.endpointslice import endpoints


class Changes:
    """Hands the keys of Services to `add` as soon as something that shows in their endpoints changed."""

    def __init__(self, services: Informer, pods: Informer, add: Callable[[str], None]) -> None:
        self._services = services
        self._pods = pods
        self._add = add
        self._triggers: dict[str, str] = {}
        for informer in (services, pods):
            informer.index_by_namespace()
        services.add_handler(self._on_service)
        pods.add_handler(self._on_pod)

    def take_trigger(self, service: str) -> str | None:
        """When the earliest change happened that was told of since the last call (RFC 3339), if known."""
        return self._triggers.pop(service, None)

    def pods_of(self, service: Obj) -> list[Obj]:
        """The pods that the Service's selector picks."""
        chosen = from_map(service["spec"]["selector"])
        return [p for p in self._pods.in_namespace(namespace(service)) if chosen.matches(labels(p))]

    def _on_service(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._triggers.pop(key(old), None)
        elif new is not None and old is None:
            self._trigger(key(new), new["metadata"].get("creationTimestamp"))
        self._add(key(new or old or {}))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and endpoints.relevant(old) == endpoints.relevant(new):
            return
        seen: set[str] = set()
        for pod in (new, old):
            if pod is None:
                continue
            pod_labels = labels(pod)
            for service in self._services.in_namespace(namespace(pod)):
                selector = (service.get("spec") or {}).get("selector")
                if selector and key(service) not in seen and selector.items() <= pod_labels.items():
                    seen.add(key(service))
                    ready = condition(pod, "Ready") or {}
                    self._trigger(key(service), ready.get("lastTransitionTime"))
                    self._add(key(service))

    def _trigger(self, service: str, moment: str | None) -> None:
        """The earliest of the changes that one sync takes up."""
        if moment is not None:
            self._triggers[service] = min(self._triggers.get(service, moment), moment)
