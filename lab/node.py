"""One node: make it, start it, stop it as a power cut would, take it away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from apimachinery.kit import mounts
from apimachinery.kit.files import write_atomic
from lab import clean, components, containerd, names, network
from lab.certificates import Authority, node_identity
from lab.images import load as images
from lab.paths import Paths
from lab.process import Process
from lab.spec import Node, Spec
from lab.supervision import Supervision

RUNTIME_DEADLINE = 30.0


class NodeError(Exception):
    """A node did not come up; the message says where to look."""


def write_settings(component: components.Component) -> None:
    """The component's settings file, when it takes one."""
    if component.settings_file is not None:
        text = yaml.safe_dump(component.settings, sort_keys=False)
        write_atomic(component.settings_file, text.encode(), 0o600)


async def start(spec: Spec, paths: Paths, node: Node, authority: Authority, supervision: Supervision) -> None:
    """Namespace, containerd, images, agent, proxy; whatever is already there is kept."""
    await asyncio.to_thread(network.make_node, spec, node)
    await asyncio.to_thread(network.set_link, spec, node, True)
    _prepare(paths, node, authority)
    runtime, *daemons = components.node_components(spec, paths, node)
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
    for directory in (containerd.cni_conf(paths, node.name), containerd.cni_bin(paths, node.name)):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    text = containerd.config(paths, node.name, restrict_oom=containerd.oom_score_is_limited())
    write_atomic(state / "containerd.toml", text.encode(), 0o600)
    authority.agent(node)
    authority.kubeconfig(node_identity(node))


def _mount_run(run: Path) -> None:
    """The node's /run is in memory, as on any host: a node that is switched off loses it, and containers start
    without waiting for a disk (a tenth of a burst's time where /run is on one).
    """
    if not any(run.iterdir()) and run not in mounts.mount_points(run):
        mounts.mount("tmpfs", run, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=711")


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
    await end_containers(spec, paths, node)


async def end_containers(spec: Spec, paths: Paths, node: Node) -> None:
    """Kill the node's containers and shims and take down what they had mounted. Needs no daemon."""
    cgroup, socket = names.cgroup(spec.name, node.name), str(paths.containerd_socket(node.name))
    await clean.kill(
        [lambda: clean.processes_of_cgroup(cgroup), lambda: clean.processes_naming(socket)],
    )
    await asyncio.to_thread(_release, cgroup, paths.node_state(node.name), paths.node_run(node.name))


def _release(cgroup: str, state: Path, run: Path) -> None:
    clean.forget_containers(state / "containerd", run / "containerd")
    for directory in (run, state):
        clean.unmount_below(directory)
    clean.remove_cgroup(cgroup)


async def remove(spec: Spec, paths: Paths, node: Node) -> None:
    """Everything the node had; its processes have been stopped (`stop`)."""
    await end_containers(spec, paths, node)
    await asyncio.to_thread(network.remove_node, spec, node)
    for directory in (paths.node_run(node.name), paths.node_state(node.name)):
        await asyncio.to_thread(clean.remove_tree, directory)
