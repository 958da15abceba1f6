"""metrics.k8s.io, answered from what the meter knows: `kubectl top`, and autoscalers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import NODE, NODE_METRICS, POD, POD_METRICS, Kind
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, condition_holds, labels, name, namespace
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import listing
from controlplane.apiserver.request import Answer, Handler, Request
from controlplane.apiserver.streams.usage import PERIOD, SOON, Meter, Usage

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

log = logging.getLogger(__name__)


class Metrics:
    """The handlers of both kinds."""

    def __init__(self, registry: Registry, meter: Meter) -> None:
        self._registry = registry
        self._meter = meter
        # Nodes that came, or got Ready, since the last round.
        self._new: set[str] = set()
        self._came = asyncio.Event()
        registry.subscribe(NODE, self._node_changed)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and condition_holds(new, "Ready") and (old is None or not condition_holds(old, "Ready")):
            self._new.add(name(new))
            self._came.set()

    def routes(self) -> dict[tuple[str, str, str], Handler]:
        """As the table of subresources has them."""
        return {
            (kind.resource, "", verb): handler
            for kind in (NODE_METRICS, POD_METRICS)
            for verb, handler in (("get", self.get), ("list", self.list))
        }

    async def run(self) -> None:
        """Keep the meter's figures new, for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            next_round = clock() + await self._round()
            while await is_set_within(self._came, next_round - clock()):
                self._came.clear()
                new, self._new = self._new, set()
                if await self._meter.look(new):
                    next_round = min(next_round, clock() + SOON)

    async def _round(self) -> float:
        """Ask all nodes; seconds until the next time."""
        self._new.clear()
        try:
            return await self._meter.ask([name(node) for node in self._registry.items(NODE)])
        except errors.ApiError as error:
            log.warning("usage of nodes not asked for: %s", error)
            return PERIOD

    async def get(self, request: Request) -> Answer:
        """Raises NotFound, also where nothing is known yet."""
        kind = request.served
        found = self._registry.find(POD if kind is POD_METRICS else NODE, request.namespace, request.name)
        told = self._told(kind, found) if found is not None else None
        if told is None:
            raise errors.not_found(kind.plural, request.name, kind.group)
        return Answer(200, told, kind)

    async def list(self, request: Request) -> Answer:
        kind = request.served
        wanted = await listing.selection(request)
        selected = self._registry.collection(POD if kind is POD_METRICS else NODE).select(wanted)
        items = [told for entry in selected if (told := self._told(kind, entry.obj)) is not None]
        body = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": {}, "items": items}
        return Answer(200, body, kind)

    def _told(self, kind: Kind, obj: Obj) -> Obj | None:
        if kind is NODE_METRICS:
            usage = self._meter.usage(name(obj)).get(())
            return _body(kind, obj, usage) | {"usage": _amounts(usage)} if usage is not None else None
        known = self._meter.usage((obj.get("spec") or {}).get("nodeName") or "")
        keys = ((namespace(obj), name(obj), container) for container in _containers(obj))
        return pod_metrics(obj, {key[2]: known[key] for key in keys if key in known})


def _containers(pod: Obj) -> list[str]:
    parts = (pod["spec"].get(part) or () for part in ("containers", "initContainers", "ephemeralContainers"))
    return [container["name"] for part in parts for container in part]


def pod_metrics(pod: Obj, usages: Mapping[str, Usage]) -> Obj | None:
    """A pod's figures by its containers; None where one that runs has none: half of a pod's use is no figure."""
    if (pod.get("status") or {}).get("phase") != "Running":
        return None
    expected = {c["name"] for c in pod["spec"]["containers"]}
    if not expected <= usages.keys():
        return None
    containers = [{"name": which, "usage": _amounts(usages[which])} for which in sorted(usages)]
    oldest = min(usages.values(), key=lambda usage: usage.moment)
    return _body(POD_METRICS, pod, oldest) | {"containers": containers}


def _body(kind: Kind, obj: Obj, usage: Usage) -> Obj:
    metadata: Obj = {"name": name(obj), "creationTimestamp": format_time(now())}
    metadata |= {"namespace": namespace(obj)} if namespace(obj) else {}
    metadata |= {"labels": dict(labels(obj))} if labels(obj) else {}
    told = {"timestamp": format_time(usage.moment), "window": f"{usage.window:.3f}s"}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **told}


def _amounts(usage: Usage) -> Obj:
    return {"cpu": f"{usage.cpu}n", "memory": f"{usage.memory // 1024}Ki"}
