"""Makes and removes the volumes; killed anywhere, it goes on from the pods and volumes that stand."""

from __future__ import annotations

import contextlib
import logging

from apimachinery import errors, objects
from apimachinery.kinds import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS, Kind
from apimachinery.objects import Obj, is_deleting, key, labels, name, uid
from apimachinery.volumes import claims
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.localpath import plan
from controlplane.controllers.localpath.plan import Home, Refusal

log = logging.getLogger(__name__)

BY_VOLUME = "local-path-volume"
# How often what nobody tells of is looked at again: a node that comes back, a pod that does not start.
AGAIN = 15.0


class LocalPathProvisioner:
    """The loop; it rests where no directory was given."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._home = Home(settings.local_path_directory, settings.local_path_image)
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIM)
        self._volumes = context.informers.of(PERSISTENT_VOLUME)
        self._classes = context.informers.of(STORAGE_CLASS)
        self._nodes = context.informers.of(NODE)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[tuple[Kind, str]] = WorkQueue("local-path", backoff_max=60.0)
        self._claims.add_index(BY_VOLUME, lambda claim: (plan.volume_name(claim),))
        self._claims.add_handler(self._on_claim)
        self._volumes.add_handler(self._on_volume)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        if not self._home.directory:
            return
        await synced(self._claims, self._volumes, self._classes, self._nodes, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add((PERSISTENT_VOLUME_CLAIM, key(new or old or {})))

    def _on_volume(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add((PERSISTENT_VOLUME, name(new or old or {})))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        volume = labels(new or old or {}).get(plan.VOLUME)
        if volume is None:
            return
        self._queue.add((PERSISTENT_VOLUME, volume))
        for claim in self._claims.by_index(BY_VOLUME, volume):
            self._queue.add((PERSISTENT_VOLUME_CLAIM, key(claim)))

    async def _sync(self, item: tuple[Kind, str]) -> None:
        kind, which = item
        if kind is PERSISTENT_VOLUME:
            await self._look_at_volume(which)
            return
        claim = self._claims.get(which)
        found = self._classes.get(claims.class_of(claim)) if claim is not None else None
        if claim is not None and found is not None and plan.is_wanted(claim, found):
            await self._provision(claim, found)

    # A volume comes

    async def _provision(self, claim: Obj, storage_class: Obj) -> None:
        volume = plan.volume_name(claim)
        if self._volumes.get(volume) is not None:
            return
        pod = self._pod("create", volume)
        if pod is not None and pod_status.phase(pod) == "Failed":
            await self._refused(claim, storage_class, Refusal(_why(pod), elsewhere=True))
            await self._remove(pod)
            return
        nodes = {name(n): n for n in self._nodes.items()}
        ours = [v for v in self._volumes.items() if plan.is_ours(v)]
        # A pod that was made says where: a choice of our own is made once.
        node = pod["spec"]["nodeName"] if pod is not None else plan.node_for(claim, storage_class, nodes, ours)
        if isinstance(node, Refusal) or node not in nodes:
            refusal = node if isinstance(node, Refusal) else Refusal(f'node "{node}" not found', elsewhere=True)
            await self._refused(claim, storage_class, refusal)
            if pod is not None:
                await self._remove(pod)
            return
        if pod is None:
            text = f'External provisioner is provisioning volume for claim "{key(claim)}"'
            self._context.recorder.event(claim, "Normal", "Provisioning", text)
        if await self._is_done("create", volume, node, self._home.on(node)):
            await self._create(claim, storage_class, nodes[node])
        else:
            self._queue.add_after((PERSISTENT_VOLUME_CLAIM, key(claim)), AGAIN)

    async def _create(self, claim: Obj, storage_class: Obj, node: Obj) -> None:
        volume = plan.volume_for(claim, storage_class, node, self._home)
        with contextlib.suppress(errors.AlreadyExists):
            await self._context.client.create(PERSISTENT_VOLUME, volume)
        text = f"Successfully provisioned volume {name(volume)}"
        self._context.recorder.event(claim, "Normal", "ProvisioningSucceeded", text)

    async def _refused(self, claim: Obj, storage_class: Obj, refusal: Refusal) -> None:
        text = f'failed to provision volume with StorageClass "{name(storage_class)}": {refusal.text}'
        self._context.recorder.event(claim, "Warning", "ProvisioningFailed", text)
        if refusal.elsewhere and claims.SELECTED_NODE in objects.annotations(claim):
            with contextlib.suppress(errors.NotFound):
                await self._context.client.update(PERSISTENT_VOLUME_CLAIM, plan.given_back(claim))
        self._queue.add_after((PERSISTENT_VOLUME_CLAIM, key(claim)), AGAIN)

    # A volume goes

    async def _look_at_volume(self, which: str) -> None:
        volume = self._volumes.get(which)
        if volume is None:
            await self._clear(which)
            return
        if not plan.is_ours(volume):
            return
        if (made := self._pod("create", which)) is not None:
            await self._remove(made)
        if plan.is_let_go(volume):
            await self._let_go(volume)
        elif plan.is_to_go(volume):
            await self._delete(volume)

    async def _clear(self, which: str) -> None:
        """There is no such volume: its pods go, and a directory that was made for a claim that went meanwhile."""
        made = self._pod("create", which)
        if made is not None:
            node = made["spec"]["nodeName"]
            if self._claims.by_index(BY_VOLUME, which):
                return
            there = self._nodes.get(node) is not None
            if there and not await self._is_emptied(which, node, self._home.on(node), None):
                return
            await self._remove(made)
        if (removed := self._pod("delete", which)) is not None:
            await self._remove(removed)

    async def _delete(self, volume: Obj) -> None:
        node = objects.annotations(volume).get(plan.NODE) or ""
        path = volume["spec"].get("local", {}).get("path") or ""
        if self._nodes.get(node) is None:
            # Its data went with the node, or cannot be reached any more.
            log.warning("node %s of the volume %s is gone: %s is not removed", node, name(volume), path)
        elif not await self._is_emptied(name(volume), node, path.rpartition("/")[0], volume):
            return
        await self._let_go(volume)
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._context.client.delete(PERSISTENT_VOLUME, name(volume), uid=uid(volume))

    async def _is_emptied(self, which: str, node: str, directory: str, volume: Obj | None) -> bool:
        """Whether the directory is gone; else it is looked at again, and a pod that failed gives way to another.

        volume: what that is told of.
        """
        if await self._is_done("delete", which, node, directory):
            return True
        pod = self._pod("delete", which)
        if pod is not None and pod_status.phase(pod) == "Failed":
            if volume is not None:
                self._context.recorder.event(volume, "Warning", "VolumeFailedDelete", _why(pod))
            log.warning("the directory of %s on %s is not removed yet: %s", which, node, _why(pod))
            await self._remove(pod)
        self._queue.add_after((PERSISTENT_VOLUME, which), AGAIN)
        return False

    async def _let_go(self, volume: Obj) -> None:
        if plan.FINALIZER in (volume["metadata"].get("finalizers") or ()):
            with contextlib.suppress(errors.NotFound):
                await self._context.client.update(PERSISTENT_VOLUME, plan.without_finalizer(volume))

    # Pods that act on a node

    def _pod(self, action: str, volume: str) -> Obj | None:
        return self._pods.get(f"{plan.NAMESPACE}/{plan.pod_name(action, volume)}")

    async def _is_done(self, action: str, volume: str, node: str, directory: str) -> bool:
        """Whether the pod that does it has; it is made where there is none."""
        pod = self._pod(action, volume)
        if pod is None:
            wanted = plan.pod_for(action, volume, node, directory, self._home.image)
            with contextlib.suppress(errors.AlreadyExists):
                await self._context.client.create(POD, wanted)
            return False
        return pod_status.phase(pod) == "Succeeded" and pod["spec"].get("nodeName") == node

    async def _remove(self, pod: Obj) -> None:
        if is_deleting(pod):
            return
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._context.client.delete(POD, name(pod), plan.NAMESPACE, uid=uid(pod))


def _why(pod: Obj) -> str:
    status = pod.get("status") or {}
    return f"pod {key(pod)} failed: {status.get('message') or status.get('reason') or 'see its log'}"
