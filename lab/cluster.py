"""Bringing a lab up and taking it down, step by step. Every step may be repeated: an interrupted `up` goes on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from apimachinery import errors, kubeconfig
from apimachinery.client import Client
from apimachinery.kinds import NODE
from apimachinery.objects import Obj, condition_holds
from apimachinery.objects import name as name_of
from controlplane.cloud.nodes.plan import is_initialized
from lab import (
    cgroups,
    clean,
    components,
    dns,
    heartbeats,
    machine,
    names,
    network,
    node,
    personal,
    processes,
    remains,
    room,
    scheduling,
    state,
    storage,
    uplink,
)
from lab.certificates import CLOUD, IDENTITIES, LAB, Authority
from lab.paths import Paths
from lab.progress import Progress
from lab.spec import Node, Spec
from lab.supervisor_client import Supervision, SupervisorError

T = TypeVar("T")

READY_DEADLINE = 90.0
# Of nodes whose processes run and never ended, which are only slow.
READY_PATIENCE = 300.0
# What /readyz says of a store that cannot write.
_STORE_FAILS = "[-]etcd-readiness"
API_DEADLINE = 30.0
# One that runs and never ended is only slow: it computes for a second or two, which takes long where much else runs.
API_PATIENCE = 180.0
# A store that cannot write may find room again at its next attempt.
STORE_DEADLINE = 3.0


class ClusterError(Exception):
    """The lab did not come up; the message says which part, and which command shows why."""


def _failed(paths: Paths, text: str) -> ClusterError:
    """What did not come up, and the reason when it is the commonest: no log can be written on a full disk."""
    return ClusterError(text if room.free(paths.state) >= room.LITTLE else f"{text}\n{room.remedy(paths)}")


async def up(spec: Spec, paths: Paths, progress: Progress) -> None:
    """From a spec to Ready nodes and an answering VIP. NoRoomError soon, where the disk is full."""
    await room.needed(paths, _up(spec, paths, progress))


async def _up(spec: Spec, paths: Paths, progress: Progress) -> None:
    # What does not fit is told before anything is made.
    scheduler = scheduling.scheduler_settings(spec.scheduler_config)
    with progress.step("network: ranges fenced, bridge, way out"):
        await _prepare(spec, paths)
    supervision = Supervision(paths)
    with progress.step("control plane: certificates, API server, scheduler, controllers"):
        # First, since what it forks from reads the program meanwhile.
        await supervision.ensure()
        authority = await asyncio.to_thread(_certify, spec, paths)
        for component in components.control_plane(spec, paths, scheduler):
            node.write_settings(component)
            await supervision.start(component.process)
    running = [each for each in spec.nodes if not each.stopped]
    with progress.step(f"nodes: {', '.join(each.name for each in running)}"):
        await asyncio.gather(*(node.start(spec, paths, each, authority, supervision) for each in running))
    with progress.step("API server answers"):
        client = await ready_client(spec, paths)
    try:
        if spec.dns == "builtin":
            await dns.publish(spec, client)
        await storage.publish(client)
        if spec.pod_network == "none":
            progress.say("  !  nodes get Ready when you have deployed a pod network (Calico, Cilium, flannel)")
        else:
            with progress.step(f"{len(running)} nodes Ready"):
                await nodes_ready(client, paths, running)
        with progress.step(f"first Service answers at {spec.service_ip}"):
            await _service_answers(spec, paths)
    finally:
        await client.close()


async def _prepare(spec: Spec, paths: Paths) -> None:
    for directory, mode in (
        (paths.state, 0o755),
        (paths.run, 0o711),
        (paths.logs, 0o755),
        (paths.pki, 0o700),
        (paths.settings, 0o700),
        *((paths.apiserver_of(number), 0o700) for number in range(1, spec.control_planes + 1)),
    ):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    state.save(paths, spec)
    machine.prepare()
    await asyncio.to_thread(network.fence, spec)
    await asyncio.to_thread(network.make_bridge, spec)
    await uplink.open_way(spec)


def _certify(spec: Spec, paths: Paths) -> Authority:
    authority = Authority(paths, spec)
    authority.server()
    authority.kubelet_client()
    authority.front_proxy()
    if spec.store == "etcd":
        authority.etcd()
    for daemon in ("scheduler", "controllers"):
        authority.daemon(daemon)
    authority.service_account_key()
    for identity in IDENTITIES:
        authority.kubeconfig(identity)
    if spec.cloud:
        authority.daemon("cloud")
        authority.kubeconfig(CLOUD)
    authority.admin()
    return authority


async def until(deadline: float, attempt: Callable[[], object], pause: float = 0.05) -> bool:
    """Try until it gives true, or the deadline (monotonic) passes."""
    while True:
        result = attempt()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(pause)


async def ready_client(spec: Spec, paths: Paths) -> Client:
    """The lab's own client, once the API server is ready."""
    client = Client.from_kubeconfig(Authority(paths, spec).kubeconfig(LAB), user_agent="wherry-lab")
    begun = writing = time.monotonic()
    try:
        while said := await _readiness(client):
            now = time.monotonic()
            if _STORE_FAILS not in said:
                writing = now
            if now - writing > STORE_DEADLINE:
                text = f"the API server at {spec.server} answers, but cannot write to {paths.apiserver}"
                raise ClusterError(f"{text}\n{room.remedy(paths)}")
            if now - begun > API_DEADLINE:
                ended = await _ended(paths, lambda name: name.startswith("apiserver"))
                if ended is not None or now - begun > API_PATIENCE:
                    text = f"the API server does not answer at {spec.server}{ended or ''}"
                    raise _failed(paths, f"{text}; look at `wherry logs apiserver`")
            await asyncio.sleep(0.05)
    except BaseException:
        await client.close()
        raise
    return client


async def _ended(paths: Paths, wanted: Callable[[str], bool]) -> str | None:
    """None while one of the processes with such names is in its first life, else how the last one ended, as far as is
    known.
    """
    reports = [each for each in await Supervision(paths).reports() if wanted(each.process.name)]
    if any(each.pid and not each.restarts for each in reports):
        return None
    return next((f" (it ended: {each.last_exit})" for each in reports if each.last_exit), "")


async def _readiness(client: Client) -> str:
    """Nothing when the API server is ready, else what it answers."""
    try:
        await client.request("GET", "/readyz", timeout=5)
    except errors.ApiError as error:
        return error.message
    except errors.Unreachable as error:
        return str(error) or "unreachable"
    return ""


async def nodes_ready(client: Client, paths: Paths, wanted: list[Node]) -> None:
    """Watch until every wanted node is Ready, and its cloud has said what it knows: before, it takes no pods. Of a lab
    that goes on the API has what the last agents said, which says nothing of those that run now.
    """
    missing = {each.name for each in wanted}
    silent: set[str] = set()

    def look(obj: Obj) -> None:
        if (node := name_of(obj)) not in missing:
            return
        ready, told = _is_ready(obj, paths), is_initialized(obj)
        if ready and told:
            missing.discard(node)
        (silent.add if ready and not told else silent.discard)(node)

    async def watch() -> None:
        listed = await client.list(NODE)
        for obj in listed["items"]:
            look(obj)
        if not missing:
            return
        async for _, obj in client.watch(NODE, resource_version=listed["metadata"]["resourceVersion"]):
            look(obj)
            if not missing:
                return

    def needed(process: str) -> bool:
        return process in {f"{node}/agent" for node in missing}

    waited = 0.0
    for deadline in (READY_DEADLINE, READY_PATIENCE):
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(watch(), deadline - waited)
        waited = deadline
        if await _ended(paths, needed) is not None:
            break
    late = sorted(missing)
    if untold := sorted(missing & silent):
        text = f"Ready, but not told of their machines after {waited:.0f} s: {', '.join(untold)}"
        raise _failed(paths, f"{text}; look at `wherry logs cloud`")
    raise _failed(
        paths,
        f"not Ready after {waited:.0f} s: {', '.join(late)}; "
        f"look at `wherry logs {late[0]}/agent` and `kubectl describe node {late[0]}`",
    )


def _is_ready(obj: Obj, paths: Paths) -> bool:
    """Whether the agent that runs now says so."""
    if not condition_holds(obj, "Ready"):
        return False
    began = heartbeats.agent_began(paths.settings_of(f"{name_of(obj)}-agent"))
    return began is not None and heartbeats.said_since(obj, began)


async def _service_answers(spec: Spec, paths: Paths) -> None:
    """The Service `kubernetes` answers on its cluster IP, from the host."""
    context = kubeconfig.load(paths.kubeconfig).ssl_context()

    async def answers() -> bool:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
            opening = asyncio.open_connection(spec.service_ip, 443, ssl=context)
            _, writer = await asyncio.wait_for(opening, 1)
            writer.close()
            return True
        return False

    if not await until(time.monotonic() + API_DEADLINE, answers, 0.02):
        raise _failed(paths, f"no answer from {spec.service_ip}:443; look at `wherry logs hostnet`")


async def down(paths: Paths, progress: Progress) -> None:
    """Leave nothing. Goes by names alone: works with every daemon dead and every file damaged or gone."""
    with progress.step("processes ended"):
        await _end_processes(paths)
    with progress.step("containers, namespaces, links, rules, cgroups removed"):
        await _leave_kernel(paths)
    with progress.step("files removed"):
        await asyncio.to_thread(_remove_files, paths)
        await asyncio.to_thread(machine.restore)
    if left := await remains.of(paths):
        raise ClusterError(f"this is left of lab {paths.lab}; run the same command again: {', '.join(left)}")


async def stop(spec: Spec | None, paths: Paths, progress: Progress) -> None:
    """Switch everything off and leave the files: `up` goes on with them. The API server ends in order, nodes as by a
    power cut.
    """
    supervision = Supervision(paths)
    with progress.step("processes ended"):
        with contextlib.suppress(SupervisorError):
            names = {report.process.name for report in await supervision.reports() if not report.process.node}
            members = {part.process.name for part in components.etcd(spec, paths)} if spec else set()
            # What the API servers write last still finds its store.
            for group in (names - members, names & members):
                await asyncio.gather(*map(supervision.stop, group))
        await _end_processes(paths)
    with progress.step("containers, namespaces, links, rules, cgroups removed"):
        await _leave_kernel(paths)
        await asyncio.to_thread(clean.remove_tree, paths.run)


async def with_etcd(spec: Spec, paths: Paths, progress: Progress, work: Coroutine[Any, Any, T]) -> T:
    """Do something while the etcd of a stopped lab, and nothing else of it, is up."""
    try:
        with progress.step("etcd alone"):
            await _prepare(spec, paths)
            await asyncio.to_thread(_certify, spec, paths)
            supervision = Supervision(paths)
            await supervision.ensure()
            for component in components.etcd(spec, paths):
                await supervision.start(component.process)
        return await work
    finally:
        work.close()
        await stop(spec, paths, progress)


async def _leave_kernel(paths: Paths) -> None:
    """Everything of the lab that is no file of its durable state. Its processes have been ended."""
    await asyncio.gather(*(node.switch_off(paths, name) for name in names.NODES))
    await uplink.close_way(paths.lab)
    await asyncio.to_thread(network.remove_links, paths.lab)
    await asyncio.to_thread(network.unfence, paths.lab, state.others(paths))
    await asyncio.to_thread(cgroups.remove, names.daemons(paths.lab))


async def _end_processes(paths: Paths) -> None:
    """SIGKILL, supervisor and all: nothing that they could still save outlives the lab."""
    left = await processes.kill([lambda: remains.running(paths)])
    if left:
        raise ClusterError(f"processes that SIGKILL does not end: {', '.join(map(str, sorted(left)))}")


def _remove_files(paths: Paths) -> None:
    # A person's file that cannot be read holds no context anybody could use, and must keep no lab from going.
    with contextlib.suppress(kubeconfig.KubeconfigError):
        kubeconfig.remove(personal.path(), names.context(paths.lab))
    for directory in (paths.run, paths.state):
        clean.remove_tree(directory)
    for parent in (paths.run.parent, paths.state.parent):
        with contextlib.suppress(OSError):
            parent.rmdir()
