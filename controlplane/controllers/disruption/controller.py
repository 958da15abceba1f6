"""Keeps the status of each PodDisruptionBudget, which evictions spend, and takes stale marks from spared pods."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from apimachinery import errors
from apimachinery.kinds import POD, POD_DISRUPTION_BUDGET
from apimachinery.objects import Obj, controller_of, is_deleting, key, labels, name, namespace
from apimachinery.selectors import from_label_selector
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.disruption.plan import fail_safe, needs_scale, plan, spared, stale_in, unmanaged
from controlplane.controllers.disruption.scales import Scales, Unknown

# A controller that was not known may come without any pod changing.
UNKNOWN_RETRY = 30.0


class DisruptionController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._budgets = context.informers.of(POD_DISRUPTION_BUDGET)
        self._pods = context.informers.of(POD)
        self._scales = Scales(context)
        self._queue: WorkQueue[str] = WorkQueue("disruption")
        self._marked: WorkQueue[str] = WorkQueue("stale disruption")
        for informer in (self._budgets, self._pods):
            informer.index_by_namespace()
        self._budgets.add_handler(lambda old, new: self._queue.add(key(new or old or {})))
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await synced(self._budgets, self._pods, *self._scales.informers())
        budgets = self._queue.run_workers(self._context.settings.workers, self._sync)
        await asyncio.gather(budgets, self._marked.run_workers(1, self._clear))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        wait = stale_in(new, now()) if new is not None else None
        if new is not None and wait is not None:
            self._marked.add_after(key(new), wait)
        if old is not None and new is not None and _counted(old) == _counted(new):
            return
        for pod in (old, new):
            for budget in self._covering(pod):
                self._queue.add(key(budget))

    def _covering(self, pod: Obj | None) -> Iterable[Obj]:
        if pod is None:
            return
        for budget in self._budgets.in_namespace(namespace(pod)):
            if from_label_selector(budget["spec"].get("selector")).matches(labels(pod)):
                yield budget

    async def _sync(self, item: str) -> None:
        budget = self._budgets.get(item)
        if budget is None:
            return
        selector = from_label_selector(budget["spec"].get("selector"))
        pods = [p for p in self._pods.in_namespace(namespace(budget)) if selector.matches(labels(p))]
        if not pods:
            self._context.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            scale = await self._scales.total(pods) if needs_scale(budget) else 0
        except (Unknown, errors.ApiError) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._context.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._write(budget, fail_safe(budget, str(error), now()))
            self._queue.add_after(item, UNKNOWN_RETRY)
            return
        self._tell_unmanaged(budget, pods)
        todo = plan(budget, pods, scale, now())
        for pod in todo.overdue:
            text = f"Pod was expected by PDB {item} to be deleted but it wasn't"
            self._context.recorder.event(pod, "Warning", "NotDeleted", text)
        await self._write(budget, todo.status)
        if todo.recheck is not None:
            self._queue.add_after(item, todo.recheck)

    def _tell_unmanaged(self, budget: Obj, pods: list[Obj]) -> None:
        if not needs_scale(budget) or not unmanaged(pods):
            return
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {budget['spec'].get('selector')}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
            'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
            "integer value."
        )
        self._context.recorder.event(budget, "Warning", "UnmanagedPods", text)

    async def _write(self, budget: Obj, status: Obj) -> None:
        """An eviction that spent of the budget meanwhile makes this a Conflict, and the budget is counted again."""
        if status == (budget.get("status") or {}):
            return
        try:
            client = self._context.client
            await client.update(POD_DISRUPTION_BUDGET, {**budget, "status": status}, subresource="status")
        except errors.NotFound:
            return

    async def _clear(self, item: str) -> None:
        pod = self._pods.get(item)
        wait = stale_in(pod, now()) if pod is not None else None
        if pod is None or wait is None:
            return
        if wait > 0:
            self._marked.add_after(item, wait)
            return
        try:
            await self._context.client.update(POD, {**pod, "status": spared(pod, now())}, subresource="status")
        except errors.NotFound:
            return


def _counted(pod: Obj) -> tuple[object, ...]:
    """What of a pod a budget looks at."""
    owner = (controller_of(pod) or {}).get("uid")
    return name(pod), labels(pod), is_deleting(pod), pod_status.is_ready(pod), owner
