"""One node: make it, start it, stop it as a power cut would, take it away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from apimachinery.kit import mountns, mounts, netns, nsfile, utsns
from apimachinery.kit.files import write_atomic
from lab import cgroups, clean, components, containerd, machine, names, network, processes
from lab.certificates import Authority, node_identity
from lab.images import load as images
from lab.paths import Paths
from lab.process import Process
from lab.spec import Node, Spec
from lab.supervisor_client import Supervision

RUNTIME_DEADLINE = 30.0


class NodeError(Exception):
    """A node did not come up; the message says where to look."""


def write_settings(component: components.Component) -> None:
    """The component's settings file, when it takes one."""
    if component.settings_file is not None:
        text = yaml.safe_dump(component.settings, sort_keys=False)
        write_atomic(component.settings_file, text.encode(), 0o600)


async def start(spec: Spec, paths: Paths, node: Node, authority: Authority, supervision: Supervision) -> None:
    """Namespaces, containerd, images, agent, proxy; whatever is already there is kept."""
    runtime, *daemons = components.node_components(spec, paths, node)
    living = await supervision.pid(runtime.process.name)
    await asyncio.to_thread(network.make_node, spec, node, living)
    await asyncio.to_thread(network.set_link, spec, node, True)
    _prepare(paths, node, authority)
    await asyncio.to_thread(_keep_hostname, paths, node, living)
    await asyncio.to_thread(_keep_mounts, paths, node, living)
    await supervision.start(runtime.process)
    # The daemons begin while containerd does: they have their own start to get through.
    for component in daemons:
        write_settings(component)
        await supervision.start(component.process)
    await _runtime_answers(paths, node, runtime.process)
    await load_images(paths, node, ("pause", "busybox"))


def _prepare(paths: Paths, node: Node, authority: Authority) -> None:
    state, run = paths.node_state(node.name), paths.node_run(node.name)
    for directory in (state, run):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    _mount_run(run)
    own = (containerd.cni_conf, containerd.cni_bin, containerd.cdi_specs)
    for directory in (each(paths, node.name) for each in own):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    text = containerd.config(paths, node.name, restrict_oom=containerd.oom_score_is_limited())
    write_atomic(state / "containerd.toml", text.encode(), 0o600)
    _link_logs(paths, node)
    authority.agent(node)
    authority.kubeconfig(node_identity(node))


def _link_logs(paths: Paths, node: Node) -> None:
    """A directory of what is this node's among the logs of the lab, for its kubelet API."""
    own = paths.node_logs(node.name)
    own.mkdir(mode=0o755, exist_ok=True)
    shown = {f"{name}.log": paths.logs / f"{node.name}-{name}.log" for name in ("agent", "containerd", "proxy")}
    for name, target in {**shown, "pods": paths.node_state(node.name) / "pod-logs"}.items():
        if not (own / name).is_symlink():
            (own / name).symlink_to(target)


def _mount_run(run: Path) -> None:
    """The node's /run is in memory, as on any host: a node that is switched off loses it, and containers start
    without waiting for a disk (a tenth of a burst's time where /run is on one).
    """
    if not any(run.iterdir()) and run not in mounts.mount_points(run):
        mounts.mount("tmpfs", run, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=711")


def _keep_mounts(paths: Paths, node: Node, living: int) -> None:
    """The node's mount namespace: what pods mount is shared on the node and seen by nobody else, the machine and other
    nodes included. Two directories that containerd's parts have fixed names for are the node's own in it.
    """
    run = paths.node_run(node.name)

    def arrange() -> None:
        for place in (machine.SHIMS, machine.CNI_RESULTS):
            own = run / "own" / place.relative_to("/")
            own.mkdir(mode=0o711, parents=True, exist_ok=True)
            mounts.mount(str(own), place, flags=mounts.MS_BIND)

    _keep(paths.node_mounts(node.name), living, "mnt", lambda file: mountns.create(file, arrange))


def _keep_hostname(paths: Paths, node: Node, living: int) -> None:
    """The node's name is its hostname, too: pods in the host's network are told it, as on a machine of their own."""
    _keep(paths.node_hostname(node.name), living, "uts", lambda file: utsns.create(file, node.name))


def _keep(file: Path, living: int, kind: str, create: Callable[[Path], None]) -> None:
    """Have the file keep the node's namespace of the kind (`mnt`, `uts`), where it does not.

    Where the file was lost, the namespace that the node's containerd (pid `living`) is in gets it back.
    """
    if nsfile.identity(file) is not None:
        return
    nsfile.forget(file)
    theirs = Path(f"/proc/{living}/ns/{kind}")
    if living and nsfile.identity(theirs) not in (None, nsfile.identity(Path(f"/proc/self/ns/{kind}"))):
        nsfile.keep(file, theirs)
    else:
        create(file)


async def _runtime_answers(paths: Paths, node: Node, process: Process) -> None:
    """Return when containerd takes connections. NodeError after the deadline."""
    deadline = time.monotonic() + RUNTIME_DEADLINE
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(paths.containerd_socket(node.name))
        except OSError:
            if time.monotonic() > deadline:
                raise NodeError(f"containerd of {node.name} does not start; its log is {process.log}") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def load_images(paths: Paths, node: Node, wanted: Sequence[str]) -> None:
    """The lab's own images (by short name), unless they were loaded before."""
    tar = await images.archive([images.full_name(name) for name in wanted])
    marker = paths.node_state(node.name) / "images" / tar.name
    if marker.exists():
        return
    await images.load(paths.containerd_socket(node.name), tar)
    marker.parent.mkdir(mode=0o711, exist_ok=True)
    marker.touch()


async def stop(spec: Spec, paths: Paths, node: Node, supervision: Supervision) -> None:
    """Switch the node off: the cable first, then every process and container on it, with SIGKILL."""
    await asyncio.to_thread(network.set_link, spec, node, False)
    for component in reversed(components.node_components(spec, paths, node)):
        await supervision.stop(component.process.name)
    await end_containers(paths, node.name)


async def end_containers(paths: Paths, node: str) -> None:
    """Kill the node's containers, shims and whatever its daemons had begun, and forget its mounts. Needs no daemon."""
    lab = paths.lab
    cgroup, started = names.cgroup(lab, node), names.daemons(lab)
    network_is = netns.identity(netns.path_of(names.namespace(lab, node)))
    mounts_are = nsfile.identity(paths.node_mounts(node))
    left = await processes.kill(
        [
            lambda: cgroups.members(cgroup),
            lambda: processes.daemons_below(paths.node_run(node), paths.node_state(node)),
            lambda: processes.inside(cgroups.members(started), "net", network_is),
            lambda: processes.inside(cgroups.members(started), "mnt", mounts_are),
        ]
    )
    if left:
        raise NodeError(f"{node}: processes that SIGKILL does not end: {', '.join(map(str, sorted(left)))}")
    await asyncio.to_thread(_release, cgroup, paths, node)


def _release(cgroup: str, paths: Paths, node: str) -> None:
    state, run = paths.node_state(node), paths.node_run(node)
    clean.forget_containers(state / "containerd", run / "containerd")
    for file in (paths.node_mounts(node), paths.node_hostname(node)):
        nsfile.forget(file)
    for directory in (run, state):
        clean.unmount_below(directory)
    cgroups.remove(cgroup)


async def switch_off(paths: Paths, node: str) -> None:
    """Everything the node had in the kernel; its processes have been ended. Known by its name alone: it may never have
    been, or be half gone.
    """
    await asyncio.to_thread(_release, names.cgroup(paths.lab, node), paths, node)
    await asyncio.to_thread(network.remove_node, paths.lab, node)


async def remove(paths: Paths, node: str) -> None:
    """That and its files."""
    await switch_off(paths, node)
    for directory in (paths.node_run(node), paths.node_state(node)):
        await asyncio.to_thread(clean.remove_tree, directory)
