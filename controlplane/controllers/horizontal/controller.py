"""Looks at each autoscaler every 15 seconds."""

from __future__ import annotations

import asyncio

from apimachinery import errors
from apimachinery.kinds import HORIZONTAL_POD_AUTOSCALER, POD, Kind
from apimachinery.objects import Obj, key, labels, namespace
from apimachinery.selectors import SelectorError
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.horizontal import plan
from controlplane.controllers.horizontal.behavior import History
from controlplane.controllers.horizontal.plan import Look, Unpicked
from controlplane.controllers.horizontal.rivals import Rivals
from controlplane.controllers.horizontal.sources import Sources
from controlplane.controllers.served import ServedKinds

PERIOD = 15.0
TRIES = 5


class HorizontalController:
    """The loop. What was recommended and done lately is kept in memory alone, as upstream's: who starts anew is patient
    with shrinking, for it takes the size that it finds for a recommendation.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._scalers = context.informers.of(HORIZONTAL_POD_AUTOSCALER)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("autoscalers", backoff_max=PERIOD)
        self._sources = Sources(context.client)
        self._served = ServedKinds(context.client)
        self._histories: dict[str, History] = {}
        self._rivals = Rivals()
        self._pods.index_by_namespace()
        self._scalers.add_handler(self._on_scaler)

    async def run(self) -> None:
        await synced(self._scalers, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_scaler(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._histories.pop(key(old), None)
            self._rivals.forget(key(old))
        elif new is not None and (old is None or old["spec"] != new["spec"]):
            self._queue.add(key(new))

    async def _sync(self, item: str) -> None:
        hpa = self._scalers.get(item)
        if hpa is None:
            return
        self._queue.add_after(item, PERIOD)
        kind, scale = await self._scale(hpa)
        if kind is None:
            return
        size = int((scale.get("spec") or {}).get("replicas") or 0)
        selector = str((scale.get("status") or {}).get("selector") or "")
        pods, unpicked = self._picked(hpa, selector)
        history = self._histories.setdefault(item, History(recommended=((now(), size),)))
        specs = () if unpicked else hpa["spec"].get("metrics") or ()
        measured = await asyncio.gather(*(self._sources.measure(s, namespace(hpa), selector) for s in specs))
        present = int((scale.get("status") or {}).get("replicas") or 0)
        decision = plan.plan(hpa, Look(size, present, pods, measured, history, unpicked), now())
        if decision.size is None or await self._resize(hpa, kind, scale, decision):
            self._histories[item] = decision.history
            self._tell(hpa, decision)
            await self._write(hpa, decision.status)

    async def _scale(self, hpa: Obj) -> tuple[Kind | None, Obj]:
        """The target's kind and scale; None where it cannot be had, which is told."""
        target = hpa["spec"]["scaleTargetRef"]
        group = str(target.get("apiVersion") or "").rpartition("/")[0]
        try:
            kind = await self._served.of(group, target["kind"])
            if kind is None or "scale" not in kind.subresources:
                raise errors.ApiError(f'no matches for kind "{target["kind"]}" in group "{group}"')
            return kind, await self._scale_of(kind, target["name"], namespace(hpa))
        except errors.ApiError as error:
            self._context.recorder.event(hpa, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            await self._write(hpa, plan.failed(hpa, "FailedGetScale", text, now()))
            return None, {}

    async def _scale_of(self, kind: Kind, which: str, space: str) -> Obj:
        return await self._context.client.get(kind, which, space, subresource="scale")

    def _picked(self, hpa: Obj, selector: str) -> tuple[list[Obj], Unpicked | None]:
        """The pods of the target; or why they cannot be known, or that another autoscaler has them, too."""
        if not selector:
            text = "the HPA target's scale is missing a selector"
            return [], Unpicked("InvalidSelector", text, "SelectorRequired", "selector is required")
        space = namespace(hpa)
        try:
            chosen = self._rivals.note(key(hpa), space, selector)
        except SelectorError as error:
            text = f"couldn't convert selector into a corresponding internal selector object: {error}"
            return [], Unpicked("InvalidSelector", text)
        pods = [p for p in self._pods.in_namespace(space) if chosen.matches(labels(p))]
        if others := self._rivals.others(key(hpa), space, map(labels, pods)):
            listed = " ".join(sorted([key(hpa), *others]))
            text = f"pods by selector {selector} are controlled by multiple HPAs: [{listed}]"
            return pods, Unpicked("AmbiguousSelector", text)
        return pods, None

    async def _resize(self, hpa: Obj, kind: Kind, scale: Obj, decision: plan.Decision) -> bool:
        """Write the size; False, and told, where it is not taken."""
        client, target = self._context.client, hpa["spec"]["scaleTargetRef"]["name"]
        for attempt in range(TRIES):
            wanted = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": decision.size}}
            path = kind.path(namespace(hpa), target, "scale")
            try:
                await client.request("PUT", path, body=wanted)
                return True
            except errors.Conflict as error:
                if attempt == TRIES - 1:
                    await self._not_resized(hpa, decision, error)
                    return False
                scale = await self._scale_of(kind, target, namespace(hpa))
            except errors.ApiError as error:
                await self._not_resized(hpa, decision, error)
                return False
        return False

    async def _not_resized(self, hpa: Obj, decision: plan.Decision, error: errors.ApiError) -> None:
        text = f"New size: {decision.size}; reason: {decision.reason}; error: {error}"
        self._context.recorder.event(hpa, "Warning", "FailedRescale", text)
        message = f"the HPA controller was unable to update the target scale: {error}"
        await self._write(hpa, plan.failed(hpa, "FailedUpdateScale", message, now()))

    def _tell(self, hpa: Obj, decision: plan.Decision) -> None:
        for note in decision.notes:
            self._context.recorder.event(hpa, note.kind, note.reason, note.message)

    async def _write(self, hpa: Obj, status: Obj) -> None:
        """Raises Conflict where the autoscaler changed meanwhile: it is looked at again."""
        if status == (hpa.get("status") or {}):
            return
        try:
            await self._context.client.update(
                HORIZONTAL_POD_AUTOSCALER, {**hpa, "status": status}, subresource="status"
            )
        except errors.NotFound:
            self._histories.pop(key(hpa), None)
