"""Changes of a lab that runs, under traffic: a node more or less, on or off; other rules; another way between nodes.

Every change may be repeated: one that was cut off goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import NODE
from apimachinery.objects import name as name_of
from cni.node.model import ANNOTATION, KEY_ANNOTATION
from lab import cluster, components, health, node, preflight, room, state
from lab.certificates import Authority
from lab.paths import Paths
from lab.progress import Progress
from lab.spec import Node, Spec
from lab.supervisor_client import Supervision


async def add_node(spec: Spec, paths: Paths, name: str | None, progress: Progress) -> tuple[Spec, Node]:
    """One node more, Ready."""
    grown, added = spec.with_node(name)
    state.save(paths, grown)
    await start_node(grown, paths, added, progress)
    return grown, added


async def start_node(spec: Spec, paths: Paths, chosen: Node, progress: Progress) -> None:
    """Switch a node on and wait until it is Ready. NoRoomError soon, where the disk is full."""
    await room.needed(paths, _start_node(spec, paths, chosen, progress))


async def _start_node(spec: Spec, paths: Paths, chosen: Node, progress: Progress) -> None:
    supervision = Supervision(paths)
    authority = Authority(paths, spec)
    with progress.step(f"{chosen.name}: network, containerd, agent, proxy"):
        await supervision.ensure()
        await node.start(spec, paths, chosen, authority, supervision)
    client = await cluster.ready_client(spec, paths)
    try:
        if spec.pod_network != "none":
            with progress.step(f"{chosen.name} Ready"):
                await cluster.nodes_ready(client, paths, [chosen])
    finally:
        await client.close()


async def stop_node(spec: Spec, paths: Paths, chosen: Node, progress: Progress) -> None:
    """Switch a node off as a power cut would; its Node object stays."""
    with progress.step(f"{chosen.name}: switched off"):
        state.save(paths, spec.switched(chosen.name, True))
        await node.stop(spec, paths, chosen, Supervision(paths))


async def remove_node(spec: Spec, paths: Paths, chosen: Node, progress: Progress) -> None:
    """Take a node out of the cluster and off the machine."""
    with progress.step(f"{chosen.name}: stopped and removed"):
        await node.stop(spec, paths, chosen, Supervision(paths))
        client = await cluster.ready_client(spec, paths)
        try:
            with contextlib.suppress(errors.NotFound):
                await client.delete(NODE, chosen.name)
        finally:
            await client.close()
        await node.remove(paths, chosen.name)
        Authority(paths, spec).forget(chosen)
        state.save(paths, spec.without(chosen.name))


async def change_proxy_mode(spec: Spec, paths: Paths, mode: str, name: str, progress: Progress) -> Spec:
    """Another way of writing rules, on one node or ("") on all, under traffic: the new proxy writes its rules before it
    removes the old one's, which stay in force until then."""
    if fatal := [finding.text for finding in await preflight.mode_findings(mode)]:
        raise cluster.ClusterError("; ".join(fatal))
    changed = spec.with_proxy_mode(mode, name)
    state.save(paths, changed)
    supervision = Supervision(paths)
    await supervision.ensure()
    for each in changed.nodes:
        # Also where the lab says so already: a command that was cut off, or failed, left another proxy there.
        if each.stopped or name not in ("", each.name):
            continue
        component = components.proxy(changed, paths, each)
        with progress.step(f"{each.name}: proxy in mode {mode}"):
            await _restarted(component, supervision)
            serves = functools.partial(health.is_well, changed.address(each), components.PROXY_HEALTH_PORT)
            if not await cluster.until(time.monotonic() + cluster.READY_DEADLINE, serves):
                hint = f"look at `wherry logs {component.process.name}`; `wherry proxy-mode` goes back, too"
                raise cluster.ClusterError(f"{each.name} does not serve in mode {mode}; {hint}")
    return changed


async def change_pod_network(spec: Spec, paths: Paths, mode: str, progress: Progress) -> Spec:
    """Another way between nodes, under traffic: each node takes packets in the new way before any other sends so."""
    if fatal := [finding.text for finding in preflight.network_findings(mode)]:
        raise cluster.ClusterError("; ".join(fatal))
    changed = dataclasses.replace(spec, pod_network=mode)
    state.save(paths, changed)
    supervision = Supervision(paths)
    await supervision.ensure()
    client = await cluster.ready_client(changed, paths)
    try:
        for each in changed.nodes:
            # Also where the lab says so already: a command that was cut off, or failed, left another agent there.
            if each.stopped:
                continue
            with progress.step(f"{each.name}: pod network {mode}"):
                await _restarted(components.agent(changed, paths, each), supervision)
                said = functools.partial(_says, client, each.name, mode)
                if not await cluster.until(time.monotonic() + cluster.READY_DEADLINE, said):
                    hint = f"look at `wherry logs {each.name}/agent`; `wherry pod-network` goes back, too"
                    raise cluster.ClusterError(f"{each.name} does not change to {mode}; {hint}")
        with progress.step("host: routes to pods"):
            await _restarted(components.hostnet(changed, paths), supervision)
    finally:
        await client.close()
    return changed


async def _restarted(component: components.Component, supervision: Supervision) -> None:
    node.write_settings(component)
    await supervision.stop(component.process.name)
    await supervision.start(component.process)


async def _says(client: Client, name: str, mode: str) -> bool:
    """Whether the Node says of its pod network what it shall."""
    listed = await client.list(NODE)
    found = (obj["metadata"].get("annotations") or {} for obj in listed["items"] if name_of(obj) == name)
    told = next(found, {})
    return all((annotation in told) == (mode == way) for way, annotation in _TOLD.items())


# What a Node says in each mode.
_TOLD = {"vxlan": ANNOTATION, "wireguard": KEY_ANNOTATION}
