"""Running flows side by side, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from apimachinery.objects import Obj, controller_of, is_deleting, labels, name, namespace, uid
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play
from tests.waiting import WHOLE

# An image that no node of the stage finds.
NO_IMAGE = "web:404"


class Flow:
    """One client in one namespace."""

    def __init__(self, at: Stage, space: str) -> None:
        self.at = at
        self.client = at.client
        self.space = space
        # By the loop's clock: shortly before the scenario is cut off, which says neither who waited nor for what.
        self.end_at = asyncio.get_running_loop().time() + WHOLE - 5.0

    async def make(self, kind: Kind, called: str, spec: Obj, **meta: Any) -> Obj:
        metadata = {"name": called, **({"namespace": self.space} if kind.namespaced else {}), **meta}
        wanted = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        return await self.client.create(kind, wanted)

    async def get(self, kind: Kind, called: str) -> Obj:
        return await self.client.get(kind, called, self.space if kind.namespaced else None)

    async def patch(self, kind: Kind, called: str, patch: Obj, subresource: str | None = None) -> Obj:
        where = self.space if kind.namespaced else None
        strategic = PatchType.STRATEGIC
        return await self.client.patch(kind, called, patch, where, subresource=subresource, patch_type=strategic)

    async def every(self, kind: Kind, selector: str = "") -> list[Obj]:
        found: list[Obj] = (await self.client.list(kind, self.space, label_selector=selector))["items"]
        return found

    async def delete(self, kind: Kind, called: str, **options: Any) -> None:
        await self.client.delete(kind, called, self.space if kind.namespaced else None, **options)

    async def status(self, kind: Kind, called: str) -> Obj:
        return (await self.get(kind, called)).get("status") or {}

    async def until(self, what: Callable[[], Any]) -> Any:
        return await self.at.until(what, max(self.end_at - asyncio.get_running_loop().time(), 0.0))

    async def has(self, kind: Kind, called: str, **wanted: Any) -> None:
        """Wait until a status says so; a number that is not told is 0, and a generation counts when it was passed, for
        anybody may make one more at any moment: a Deployment's controller does, when it writes the revision.
        """
        last: Obj = {}

        def agrees(member: str, value: Any) -> bool:
            told = last.get(member) or 0
            return bool(told >= value if member == "observedGeneration" else told == value)

        async def said() -> bool:
            nonlocal last
            last = await self.status(kind, called)
            return all(agrees(member, value) for member, value in wanted.items())

        try:
            await self.until(said)
        except AssertionError as error:
            raise AssertionError(f"{kind.kind} {called}: wanted {wanted}, last {last}") from error

    async def gone(self, kind: Kind, called: str) -> None:
        async def is_gone() -> bool:
            try:
                await self.get(kind, called)
            except errors.NotFound:
                return True
            return False

        await self.until(is_gone)

    def pods(self, **with_labels: str) -> list[Obj]:
        """The pods of the namespace that are not on their way out, by name."""
        here = (p for p in self.at.pods.items() if namespace(p) == self.space and not is_deleting(p))
        return sorted((p for p in here if with_labels.items() <= labels(p).items()), key=name)

    def names(self) -> list[str]:
        return [name(p) for p in self.pods()]

    async def pods_are(self, count: int, ready: bool = True, **with_labels: str) -> list[Obj]:
        def enough() -> list[Obj] | bool:
            found = self.pods(**with_labels)
            up = all((p.get("status") or {}).get("podIP") for p in found)
            return len(found) == count and (up or not ready) and (found or True)

        found = await self.until(enough)
        return found if isinstance(found, list) else []

    async def tell(self, pod: Obj, **status: Any) -> None:
        """What a pod's node says of it."""
        await self.patch(POD, name(pod), {"status": status}, "status")

    async def ready(self, pod: Obj, is_ready: bool) -> None:
        await self.tell(pod, conditions=[{"type": "Ready", "status": "True" if is_ready else "False"}])

    async def end(self, pod: Obj, phase: str = "Succeeded", code: int = 0, **status: Any) -> None:
        """A pod's process ends."""
        ended = {"exitCode": code, "reason": "Completed" if not code else "Error"}
        container = {"name": "c", "image": "web:1", "imageID": "", "ready": False, "restartCount": 0}
        told = [{**container, "state": {"terminated": ended}}]
        conditions = [{"type": "Ready", "status": "False"}, *status.pop("conditions", ())]
        await self.tell(pod, phase=phase, conditions=conditions, containerStatuses=told, **status)

    async def update(self, kind: Kind, called: str, change: Callable[[Obj], None]) -> None:
        """Read, change, write back: again where somebody else wrote meanwhile."""

        async def written() -> bool:
            stored = await self.get(kind, called)
            change(stored)
            try:
                await self.client.update(kind, stored)
            except errors.Conflict:
                return False
            return True

        await self.until(written)

    async def scale(self, kind: Kind, called: str, replicas: int) -> None:
        """As `kubectl scale` does; read back, too."""

        async def written() -> bool:
            scale = await self.client.get(kind, called, self.space, "scale")
            scale["spec"]["replicas"] = replicas
            try:
                await self.client.request("PUT", kind.path(self.space, called, "scale"), body=scale)
            except errors.Conflict:
                return False
            return True

        await self.until(written)
        assert (await self.client.get(kind, called, self.space, "scale"))["spec"]["replicas"] == replicas
        assert (await self.get(kind, called))["spec"]["replicas"] == replicas

    async def keeps_conditions(self, kind: Kind, called: str) -> None:
        """A condition of somebody else's, by patch and by update, stays through what the loop writes next."""
        mine = {"type": "whtPatched", "status": "True", "reason": "E2E", "message": "by a patch"}
        await self.client.patch(
            kind,
            called,
            {"status": {"conditions": [mine]}},
            self.space,
            subresource="status",
            patch_type=PatchType.MERGE,
        )

        async def updated() -> bool:
            found = await self.client.get(kind, called, self.space, "status")
            conditions = found["status"].get("conditions") or []
            found["status"]["conditions"] = [*conditions, {**mine, "type": "whtUpdated"}]
            try:
                await self.client.update(kind, found, subresource="status")
            except errors.Conflict:
                return False
            return True

        await self.until(updated)
        await self.patch(kind, called, {"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}})
        generation = (await self.get(kind, called))["metadata"]["generation"]
        await self.has(kind, called, observedGeneration=generation)
        kept = {c["type"] for c in (await self.status(kind, called))["conditions"]}
        assert kept >= {"whtPatched", "whtUpdated"}, kept

    async def deletes_collection(self, kind: Kind, selector: str, count: int) -> None:
        """All of a label, listed over every namespace and deleted at once."""
        everywhere = (await self.client.list(kind, label_selector=selector))["items"]
        assert len(everywhere) == count
        await self.client.delete_collection(kind, self.space, label_selector=selector)

        async def empty() -> bool:
            return not await self.every(kind, selector)

        await self.until(empty)


def owned_by(obj: Obj, owner: Obj) -> bool:
    return (controller_of(obj) or {}).get("uid") == uid(owner)


def template(image: str = "web:1", pod: Obj | None = None, **with_labels: str) -> Obj:
    """A pod template of one container."""
    spec = {"containers": [{"name": "c", "image": image}], **(pod or {})}
    return {"metadata": {"labels": {"app": "web", **with_labels}}, "spec": spec}


def workload(replicas: int | None, image: str = "web:1", **spec: Any) -> Obj:
    """The spec of what keeps a number of pods `app: web`; None: no number."""
    counted = {} if replicas is None else {"replicas": replicas}
    return {**counted, "selector": {"matchLabels": {"app": "web"}}, "template": template(image), **spec}


Step = Callable[[Flow], Awaitable[None]]


def side_by_side(root: Path, steps: Sequence[Step], **settings: Any) -> None:
    """Each flow in a namespace of its own. What the first that fails says is said with its name."""

    async def scenario(at: Stage) -> None:
        async def alone(number: int, step: Step) -> None:
            flow = Flow(at, f"flow{number}")
            meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": flow.space}}
            await at.client.create(NAMESPACE, meta)
            await flow.until(lambda: flow.get(SERVICE_ACCOUNT, "default"))
            try:
                await step(flow)
            except Exception as error:
                raise AssertionError(f"{step.__name__}: {error!r}") from error

        await asyncio.gather(*(alone(number, step) for number, step in enumerate(steps)))

    play(root, scenario, cpu="100", **settings)
