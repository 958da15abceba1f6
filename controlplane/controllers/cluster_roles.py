"""ClusterRoles that gather the rules of others (admin, edit, view and whatever joins them by label)."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery import errors, selectors
from apimachinery.kinds import CLUSTER_ROLE
from apimachinery.objects import Obj, is_deleting, labels, name
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced


def gathered(role: Obj, roles: Iterable[Obj]) -> list[Obj]:
    """The rules an aggregating role must have: those of every role its selectors pick, by name, each rule once."""
    wanted = [selectors.from_label_selector(s) for s in role["aggregationRule"].get("clusterRoleSelectors") or ()]
    rules: list[Obj] = []
    for other in sorted(roles, key=name):
        if name(other) == name(role) or not any(selector.matches(labels(other)) for selector in wanted):
            continue
        rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController:
    """Keeps the rules of aggregating roles up to date; any role may have joined or left any of them."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._roles = context.informers.of(CLUSTER_ROLE)
        self._queue: WorkQueue[str] = WorkQueue("clusterroles", backoff_max=60.0)
        self._roles.add_handler(self._on_role)

    async def run(self) -> None:
        await synced(self._roles)
        await self._queue.run_workers(1, self._sync)

    def _on_role(self, _old: Obj | None, _new: Obj | None) -> None:
        for role in self._roles.items():
            if role.get("aggregationRule"):
                self._queue.add(name(role))

    async def _sync(self, key: str) -> None:
        role = self._roles.get(key)
        if role is None or is_deleting(role) or not role.get("aggregationRule"):
            return
        rules = gathered(role, self._roles.items())
        if rules == (role.get("rules") or []):
            return
        try:
            await self._client.update(CLUSTER_ROLE, {**role, "rules": rules})
        except errors.NotFound:
            return
