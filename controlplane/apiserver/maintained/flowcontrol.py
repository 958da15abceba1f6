"""Upstream's default FlowSchemas and PriorityLevelConfigurations, and whether a FlowSchema leads anywhere.

Two of each are mandatory and always as said here. The others are suggestions: they follow what is said here until
somebody says otherwise by the annotation (KEP-1040).
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from apimachinery import apply, errors
from apimachinery.kinds import FLOW_SCHEMA, PRIORITY_LEVEL
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.maintained.keeping import SELF, Plan, Wanted
from controlplane.apiserver.registry import Context, Registry
from controlplane.apiserver.rules import flows

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
# Who writes the conditions of FlowSchemas, as upstream calls it.
CONSUMER = "api-priority-and-fairness-config-consumer-v1"
# Level -> its shares of the server, what part of them it lends, and (queues, hand size, length of a queue).
_LEVELS: dict[str, tuple[int, int, tuple[int, int, int] | None]] = {
    "system": (30, 33, (64, 6, 50)),
    "node-high": (40, 25, (64, 6, 50)),
    "leader-election": (10, 0, (16, 4, 50)),
    "workload-high": (40, 50, (128, 6, 50)),
    "workload-low": (100, 90, (128, 6, 50)),
    "global-default": (20, 50, (128, 6, 50)),
}


def wanted() -> tuple[Wanted, ...]:
    levels = {**flows.MANDATORY_LEVELS, **{name: flows.level(*row) for name, row in _LEVELS.items()}}
    schemas = {**flows.MANDATORY_SCHEMAS, **{name: flows.schema(*row) for name, row in _schemas().items()}}
    return (
        *(Wanted(PRIORITY_LEVEL, name, _kept(name, spec)) for name, spec in levels.items()),
        *(Wanted(FLOW_SCHEMA, name, _kept(name, spec)) for name, spec in schemas.items()),
    )


def _kept(name: str, spec: Obj) -> Plan:
    fresh = {"metadata": {"annotations": {AUTO_UPDATE: "true"}}, "spec": spec}

    def plan(found: Obj | None, now: datetime) -> Obj:
        if found is None:
            return fresh
        if name not in flows.MANDATORY_LEVELS and not _follows(found):
            return found
        metadata = found["metadata"]
        annotations = {**(metadata.get("annotations") or {}), AUTO_UPDATE: "true"}
        return {**found, "metadata": {**metadata, "annotations": annotations}, "spec": spec}

    return plan


def _follows(found: Obj) -> bool:
    """Whether a suggestion is still ours: said so, or unsaid of one that nobody has changed."""
    said = (found["metadata"].get("annotations") or {}).get(AUTO_UPDATE)
    return said == "true" or (said is None and found["metadata"].get("generation") == 1)


def _schemas() -> dict[str, tuple[str, int, str, Obj]]:
    """Name -> its level, precedence, what tells flows apart, and whose requests."""
    leases = flows.rule(["*"], ["coordination.k8s.io"], ["leases"], False)
    probes = [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]
    elections: dict[str, Any] = {
        "subjects": [*flows.users("system:kube-controller-manager", "system:kube-scheduler"), *flows.SYSTEM_ACCOUNTS],
        "resourceRules": [{**leases, "verbs": ["get", "create", "update"]}],
    }
    nodes = {
        "subjects": flows.groups("system:nodes"),
        "resourceRules": [flows.rule(["*"], [""], ["nodes", "nodes/status"], True), leases],
    }
    manager, scheduler = flows.users("system:kube-controller-manager"), flows.users("system:kube-scheduler")
    return {
        "probes": ("exempt", 2, "", {"subjects": flows.EVERYBODY, "nonResourceRules": probes}),
        "system-leader-election": ("leader-election", 100, "ByUser", elections),
        "system-node-high": ("node-high", 400, "ByUser", nodes),
        "system-nodes": ("system", 500, "ByUser", flows.anything(flows.groups("system:nodes"))),
        "kube-controller-manager": ("workload-high", 800, "ByNamespace", flows.anything(manager)),
        "kube-scheduler": ("workload-high", 800, "ByNamespace", flows.anything(scheduler)),
        "kube-system-service-accounts": ("workload-high", 900, "ByNamespace", flows.anything(flows.SYSTEM_ACCOUNTS)),
        "service-accounts": ("workload-low", 9000, "ByUser", flows.anything(flows.groups("system:serviceaccounts"))),
        "global-default": ("global-default", 9900, "ByUser", flows.anything(flows.EVERYBODY)),
    }


def dangling(schema: Obj, level_exists: bool, now: datetime) -> Obj | None:
    """The condition that a FlowSchema is to have of whether its level exists; None where it says so already."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    ends = "and it exists" if level_exists else "but there is no such object"
    condition = {
        "type": "Dangling",
        "status": "False" if level_exists else "True",
        "lastTransitionTime": format_time(now),
        "reason": "Found" if level_exists else "NotFound",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" {ends}',
    }
    conditions = (schema.get("status") or {}).get("conditions") or []
    before: Obj = next((c for c in conditions if c.get("type") == "Dangling"), {})
    unchanged = all(before.get(member) == condition[member] for member in ("status", "reason", "message"))
    return None if unchanged else condition


class Dangling:
    """Tells on each FlowSchema whether the level that it names exists."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: WorkQueue[str] = WorkQueue("flow-schemas", backoff_max=60.0)

    async def run(self) -> None:
        self._registry.subscribe(FLOW_SCHEMA, self._schema_changed)
        self._registry.subscribe(PRIORITY_LEVEL, self._level_changed)
        await self._queue.run_workers(1, self._sync)

    def _schema_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._queue.add(new["metadata"]["name"])

    def _level_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None:
            return
        level = (new or old or {})["metadata"]["name"]
        for schema in self._registry.items(FLOW_SCHEMA):
            if schema["spec"]["priorityLevelConfiguration"]["name"] == level:
                self._queue.add(schema["metadata"]["name"])

    async def _sync(self, name: str) -> None:
        found = self._registry.find(FLOW_SCHEMA, "", name)
        if found is None:
            return
        level = found["spec"]["priorityLevelConfiguration"]["name"]
        exists, at = self._registry.find(PRIORITY_LEVEL, "", level) is not None, now()
        condition = dangling(found, exists, at)
        if condition is None:
            return
        kind, catalog = FLOW_SCHEMA, self._registry.catalog
        node = catalog.schema.node(kind.api_version, kind.kind)
        assert node is not None
        told: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": name}}
        told["status"] = {"conditions": [condition]}
        # Applied, so that whoever else writes conditions keeps them and is kept apart.
        context = Context(catalog, user=SELF, manager=CONSUMER, settled=True)
        with contextlib.suppress(errors.NotFound):
            await self._registry.change_entry(
                kind,
                "",
                name,
                lambda stored: apply.apply(
                    stored, told, manager=CONSUMER, node=node, now=at, force=True, subresource="status"
                ),
                context,
                "status",
            )
