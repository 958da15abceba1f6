"""A whole control plane in this process: real API server, scheduler and controllers, and nodes that only pretend.

Scheduler and controllers are who they are in a cluster, and may do what their roles say: that the server refused them
nothing is asserted at the end of each test.

The nodes have opinions all the same: they start only pods that are bound to them and whose images they have (there is
none with the tag 404), end pods only after they are marked, and fall silent on request.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apimachinery import errors, kubeconfig
from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer
from apimachinery.kinds import LEASE, NODE, POD, STORAGE_CLASS
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.objects import Obj, is_deleting, labels, name, namespace, uid
from apimachinery.timestamps import format_micro, format_time, now
from controlplane.apiserver import app as apiserver
from controlplane.apiserver.authz import refusals
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.settings import Settings as ApiSettings
from controlplane.cloud import app as cloud
from controlplane.cloud.interface import Provider
from controlplane.cloud.settings import Settings as CloudSettings
from controlplane.controllers import app as controllers
from controlplane.controllers.localpath.plan import VOLUME
from controlplane.controllers.settings import Settings as ControllerSettings
from controlplane.election import ElectionSettings
from controlplane.scheduler import app as scheduler
from controlplane.scheduler.settings import Settings as SchedulerSettings
from lab.certificates import POLICY
from lab.storage import storage_class
from tests.controlplane.apiserver.server import credentials
from tests.waiting import SECONDS, WHOLE, until

COMPONENTS = ("system:kube-scheduler", "system:kube-controller-manager", "system:cloud-controller-manager")
USERS = {"admin": "system:masters", "somebody": "", **dict.fromkeys(COMPONENTS, "")}
# Who cannot renew in time ends, for its supervisor to start it anew: here there is none. So a machine that stands still
# takes the lead from nobody, for as long as a scenario may last. Their common name lets the next have it at once.
ELECTION = ElectionSettings(identity="stage", renew_deadline=WHOLE, lease_duration=2 * WHOLE)


class Stage:
    """The running parts. `client` acts as an administrator."""

    def __init__(self, root: Path, client: Client) -> None:
        self.client = client
        self._root = root
        self._loops: list[Lifecycle] = []
        self.silent: set[str] = set()
        self.pods = Informer(client, POD)
        self._addresses = itertools.count(1)
        self._busy: set[tuple[str, bool]] = set()
        self._tasks: list[asyncio.Future[Any]] = []
        # Most pods of one ReplicaSet that were there and not on their way out, ever.
        self.most: dict[str, int] = {}

    async def start_loops(self, **settings: Any) -> None:
        """Start scheduler and controllers, as one of several candidates that all have the same name.

        The controllers' `settings` are quick, but patient with nodes: their heartbeats come from this same loop.
        """
        lifecycle = Lifecycle()
        self._loops.append(lifecycle)
        common: dict[str, Any] = {"health_port": 0, "election": ELECTION}
        config = kubeconfig_of(self._root, "system:kube-scheduler")
        await scheduler.build(SchedulerSettings(kubeconfig=config, **common), lifecycle)
        quick = {"node_monitor_period": 0.2, "node_monitor_grace": 60.0, "orphan_quarantine": 0.3, **settings}
        common |= {"kubeconfig": kubeconfig_of(self._root, "system:kube-controller-manager"), **quick}
        await controllers.build(ControllerSettings(cluster_cidr="10.244.0.0/16", **common), lifecycle)

    async def start_cloud(self, provider: Provider, **settings: Any) -> None:
        """A cloud controller manager, quick to look."""
        lifecycle = Lifecycle()
        self._loops.append(lifecycle)
        quick = {"node_monitor_period": 0.1, "route_reconciliation_period": 0.2, "service_backoff_first": 0.05}
        config = kubeconfig_of(self._root, "system:cloud-controller-manager")
        chosen = CloudSettings(config, health_port=0, election=ELECTION, **{**quick, **settings})
        await cloud.build(chosen, provider, lifecycle)

    async def kill_loops(self) -> None:
        """Stop them as a kill would: nothing is finished, released or told."""
        for lifecycle in self._loops:
            await lifecycle._end_workers()
            for _, cleanup, _ in lifecycle._cleanups:
                if "lease" not in str(cleanup):
                    await cleanup()
        self._loops.clear()

    async def add_nodes(self, count: int, cpu: str = "4") -> None:
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        for number in range(1, count + 1):
            node_name = f"node{number}"
            labels = {"kubernetes.io/hostname": node_name}
            meta = {"name": node_name, "labels": labels}
            await self.client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": meta})
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
            stamps = dict.fromkeys(("lastHeartbeatTime", "lastTransitionTime"), format_time(now()))
            status = {"capacity": allocatable, "allocatable": allocatable, "conditions": [{**ready, **stamps}]}
            await self.client.patch(
                NODE, node_name, {"status": status}, subresource="status", patch_type=PatchType.STRATEGIC
            )
            self._tasks.append(asyncio.ensure_future(self._beat(node_name)))

    async def until(self, what: Callable[[], Any], within: float = SECONDS) -> Any:
        """Wait for something about `pods` (or anything else that changes by itself) to be true. RuntimeError where what
        should change it has died.
        """

        def asked() -> Any:
            self._check()
            return what()

        try:
            return await until(asked, within, pause=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}; pods: {[_line(p) for p in self.pods.items()]}") from error

    def _check(self) -> None:
        """Raises RuntimeError where a loop or a part of a node has died: nobody starts it anew."""
        failures = [lifecycle._failure for lifecycle in self._loops]
        failures += [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        for failure in failures:
            if failure is not None:
                raise RuntimeError(f"a part of the stage has died: {failure!r}") from failure

    def ready_pods(self) -> list[Obj]:
        """Those that run, but for those that make volumes."""
        found = [p for p in self.pods.items() if not is_deleting(p) and VOLUME not in labels(p)]
        return [p for p in found if (p.get("status") or {}).get("podIP")]

    def watch_pods(self) -> None:
        self.pods.add_handler(self._on_pod)
        self._tasks.append(asyncio.ensure_future(self.pods.run()))

    async def make_volumes(self) -> None:
        """A default class, and nodes that end the provisioner's pods well. Needs loops with a local_path_directory."""
        self.pods.add_handler(self._on_helper)
        await self.client.create(STORAGE_CLASS, storage_class())

    def _on_helper(self, old: Obj | None, new: Obj | None) -> None:
        running = new is not None and (new.get("status") or {}).get("phase") == "Running"
        if new is not None and VOLUME in labels(new) and running and not is_deleting(new):
            self._tasks.append(asyncio.ensure_future(self._end(new)))

    async def close(self) -> None:
        await self.kill_loops()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self, node_name: str) -> None:
        meta = {"name": node_name, "namespace": "kube-node-lease"}
        lease = {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": meta}
        with contextlib.suppress(errors.AlreadyExists):
            await _answered(lambda: self.client.create(LEASE, lease))
        while True:
            if node_name not in self.silent:
                patch = {"spec": {"holderIdentity": node_name, "renewTime": format_micro(now())}}
                with contextlib.suppress(errors.Unreachable):
                    await self.client.patch(LEASE, node_name, patch, "kube-node-lease")
            await asyncio.sleep(0.2)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        owner = ((new or {}).get("metadata", {}).get("ownerReferences") or [{}])[0].get("uid")
        if owner:
            here = [
                p
                for p in self.pods.items()
                if not is_deleting(p) and owner in str(p["metadata"].get("ownerReferences"))
            ]
            self.most[owner] = max(self.most.get(owner, 0), len(here))
        if new is None:
            return
        node_name = (new.get("spec") or {}).get("nodeName")
        going = is_deleting(new)
        if not node_name or node_name in self.silent or (not going and _lacks_image(new)):
            return
        if (going or not (new.get("status") or {}).get("podIP")) and (uid(new), going) not in self._busy:
            self._busy.add((uid(new), going))
            self._tasks.append(asyncio.ensure_future(self._run(new, going)))

    async def _run(self, pod: Obj, going: bool) -> None:
        try:
            if going:
                await _answered(
                    lambda: self.client.delete(POD, name(pod), namespace(pod), grace_period=0, uid=uid(pod))
                )
                return
            number = next(self._addresses)
            address = f"10.244.{number // 250}.{number % 250 + 1}"
            stamp = format_time(now())
            kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            conditions = [{"type": k, "status": "True", "lastTransitionTime": stamp} for k in kinds]
            status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
            await _answered(lambda: self._set_status(pod, status))
        except (errors.NotFound, errors.Conflict):
            return

    async def _end(self, pod: Obj) -> None:
        with contextlib.suppress(errors.NotFound):
            await _answered(lambda: self._set_status(pod, {"phase": "Succeeded"}))

    async def _set_status(self, pod: Obj, status: Obj) -> None:
        where: dict[str, Any] = {"subresource": "status", "patch_type": PatchType.STRATEGIC}
        await self.client.patch(POD, name(pod), {"status": status}, namespace(pod), **where)


async def _answered(ask: Callable[[], Awaitable[Any]]) -> None:
    """Ask until there is an answer, as nodes do: a slow server may take longer than its client waits."""
    while True:
        with contextlib.suppress(errors.Unreachable):
            await ask()
            return
        await asyncio.sleep(0.2)


def _lacks_image(pod: Obj) -> bool:
    """Whether a container's image is one that no node has: it never starts."""
    return any(container["image"].endswith(":404") for container in pod["spec"]["containers"])


def _line(pod: Obj) -> tuple[Any, ...]:
    status = pod.get("status") or {}
    return name(pod), (pod.get("spec") or {}).get("nodeName"), status.get("phase"), is_deleting(pod)


def kubeconfig_of(root: Path, user: str) -> Path:
    """The kubeconfig of one of the USERS of the stage that has its files there."""
    return root / f"{user.replace(':', '-')}.kubeconfig"


@asynccontextmanager
async def stage(root: Path, catalog: Catalog | None = None, **server: Any) -> AsyncIterator[Stage]:
    """An API server on a free port of the loopback, without TLS, and a Stage around it; `server`: more settings."""
    tokens, key = root / "tokens.csv", root / "service-account.key"
    tokens.write_text("".join(f"token-of-{user},{user},1,{groups}\n" for user, groups in USERS.items()))
    key.write_bytes(credentials()["sa.key"])
    settings = ApiSettings(
        data_dir=root,
        bind_host="127.0.0.1",
        port=0,
        token_file=tokens,
        service_account_key_file=key,
        service_cidr="10.97.0.0/16",
        policy_file=POLICY,
        shutdown_seconds=1,
        **server,
    )
    lifecycle = Lifecycle()
    listener = await apiserver.build(settings, lifecycle, catalog)
    for user in USERS:
        cluster = kubeconfig.Cluster(f"http://127.0.0.1:{listener.port}", token=f"token-of-{user}")
        kubeconfig.write(kubeconfig_of(root, user), cluster, "stage")
    client = Client.from_kubeconfig(kubeconfig_of(root, "admin"))
    set_up = Stage(root, client)
    refused = _Refused()
    try:
        with refused:
            yield set_up
    finally:
        await set_up.close()
        await client.close()
        lifecycle.request_stop()
        await lifecycle.wait()
    assert not refused.messages


class _Refused(logging.Handler):
    """What the server refused to its components meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> None:
        refusals.log.addHandler(self)

    def __exit__(self, *_: object) -> None:
        refusals.log.removeHandler(self)
