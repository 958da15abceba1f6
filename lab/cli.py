"""The ``wherry`` commands. Options are turned into values here and nothing is decided."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from apimachinery.kit import command, netns
from apimachinery.kubeconfig import KubeconfigError
from lab import cluster, containerd, names, network, node, preflight, spec, state, status, testing
from lab.bench import bench
from lab.images import load as images
from lab.images.rootfs import ImageError
from lab.paths import Paths
from lab.progress import Progress
from lab.spec import Node, Spec, SpecError
from lab.supervision import SupervisorError

_EXPECTED = (
    SpecError,
    preflight.PreflightError,
    cluster.ClusterError,
    node.NodeError,
    SupervisorError,
    command.CommandError,
    KubeconfigError,
    ImageError,
    OSError,
)

NAME = click.option("--name", "lab", default=names.DEFAULT_LAB, show_default=True, help="Which lab.")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work; what can be expected to go wrong is told in a line, not in a traceback."""
    try:
        return asyncio.run(work)
    except _EXPECTED as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; run the same command again to go on") from None


def _existing(lab: str) -> tuple[Paths, Spec]:
    paths = Paths(lab)
    try:
        found = state.load(paths)
    except SpecError as error:
        raise click.ClickException(str(error)) from error
    if found is None:
        others = ", ".join(state.labs())
        hint = f"; there is: {others} (--name)" if others else "; start one with `sudo ./wherry up`"
        raise click.ClickException(f"there is no lab {lab!r}{hint}")
    return paths, found


def _root() -> None:
    try:
        preflight.require_root()
    except preflight.PreflightError as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """A real multi-node Kubernetes cluster on this machine: each node a network namespace, in seconds.

    \b
    Example:
      sudo ./wherry up
      export KUBECONFIG=$(./wherry kubeconfig)
      kubectl get nodes
    """


@main.command()
@click.option("--nodes", type=int, default=None, help="How many nodes, 1 to 10.  [default: 3]")
@click.option("--proxy-mode", type=click.Choice(spec.PROXY_MODES), default=None, help="[default: nftables]")
@click.option("--pod-cidr", default=None, help="Range of pod addresses.  [default: a free one, 10.244.0.0/16]")
@click.option("--service-cidr", default=None, help="Range of cluster IPs.  [default: a free one, 10.96.0.0/16]")
@click.option("--node-cidr", default=None, help="Range of node addresses.  [default: a free one, 10.89.0.0/24]")
@click.option("--api-port", type=click.IntRange(1, 65535), default=None, help="[default: 6443]")
@click.option("--merge-kubeconfig", is_flag=True, help="Add a context to ~/.kube/config; nothing else in it changes.")
@NAME
def up(
    nodes: int | None,
    proxy_mode: str | None,
    pod_cidr: str | None,
    service_cidr: str | None,
    node_cidr: str | None,
    api_port: int | None,
    merge_kubeconfig: bool,
    lab: str,
) -> None:
    """Start a cluster, or finish starting one. Running it again changes nothing.

    \b
    Examples:
      sudo ./wherry up
      sudo ./wherry up --nodes 5 --proxy-mode iptables
      sudo ./wherry up --name second --pod-cidr 10.50.0.0/16
    """
    _root()
    asked = {
        "--proxy-mode": proxy_mode,
        "--pod-cidr": pod_cidr,
        "--service-cidr": service_cidr,
        "--node-cidr": node_cidr,
        "--api-port": api_port,
        "--nodes": nodes,
    }
    progress = Progress()

    async def work() -> Spec:
        paths = Paths(spec.check_name(lab))
        with state.locked(paths):
            chosen = state.load(paths)
            if chosen is None:
                chosen = _new(lab, asked)
                for finding in preflight.check(chosen):
                    progress.say(f"  !  {finding.text}")
            else:
                _agree(chosen, asked)
            await cluster.up(chosen, paths, progress)
            if merge_kubeconfig:
                cluster.merge_kubeconfig(paths)
            return chosen

    chosen = _run(work())
    flag = "" if lab == names.DEFAULT_LAB else f" --name {lab}"
    progress.say(
        f"\nUp in {progress.seconds:.1f} s: {len(chosen.nodes)} nodes, API at {chosen.server}\n\n"
        f"  export KUBECONFIG=$(./wherry kubeconfig{flag})\n"
        "  kubectl get nodes\n"
        "  kubectl apply -f docs/examples/web.yaml\n"
        f"  sudo ./wherry status{flag}      sudo ./wherry down{flag}"
    )


def _new(lab: str, asked: dict[str, Any]) -> Spec:
    made = spec.make(
        lab,
        asked["--nodes"] or 3,
        asked["--proxy-mode"] or spec.PROXY_MODES[0],
        pod_cidr=asked["--pod-cidr"],
        service_cidr=asked["--service-cidr"],
        node_cidr=asked["--node-cidr"],
        in_use=network.networks_in_use(),
    )
    fields = {**spec.to_dict(made), "api_port": asked["--api-port"] or made.api_port}
    return spec.from_dict(fields)


def _agree(existing: Spec, asked: dict[str, Any]) -> None:
    """A lab that is there keeps its shape: say so when other options are given."""
    has = {
        "--proxy-mode": existing.proxy_mode,
        "--pod-cidr": existing.pod_cidr,
        "--service-cidr": existing.service_cidr,
        "--node-cidr": existing.node_cidr,
        "--api-port": existing.api_port,
        "--nodes": len(existing.nodes),
    }
    for option, value in asked.items():
        if value is not None and value != has[option]:
            more = "`wherry node add` adds one" if option == "--nodes" else "run `wherry down` first"
            raise SpecError(f"lab {existing.name} is there with {option} {has[option]}, not {value}; {more}")


@main.command()
@NAME
def down(lab: str) -> None:
    """Stop a cluster and leave nothing of it. Images stay in the cache for the next one."""
    _root()
    progress = Progress()

    async def work() -> None:
        paths = Paths(spec.check_name(lab))
        if not paths.state.exists() and not paths.run.exists():
            progress.say(f"there is no lab {lab!r}: nothing to do")
            return
        with state.locked(paths):
            try:
                chosen = state.load(paths)
            except SpecError as error:
                progress.say(f"  !  {error}")
                chosen = None
            await cluster.down(paths, chosen, progress)
            paths.lock.unlink(missing_ok=True)
        with suppress(OSError):
            paths.lock.parent.rmdir()

    _run(work())


@main.command("status")
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@NAME
def show_status(output: str, lab: str) -> None:
    """Nodes, components, pods and VIPs on one screen."""
    paths, chosen = _existing(lab)
    _root()
    found = _run(status.gather(chosen, paths))
    click.echo(json.dumps(found.to_dict(), indent=2) if output == "json" else status.render(found))


@main.command()
@NAME
def kubeconfig(lab: str) -> None:
    """Print the path of the administrator's kubeconfig.

    \b
    Example:
      export KUBECONFIG=$(./wherry kubeconfig)
    """
    paths, _ = _existing(lab)
    click.echo(paths.kubeconfig)


@main.command()
@click.argument("component")
@click.option("-f", "--follow", is_flag=True, help="Keep printing what comes.")
@click.option("-n", "--lines", type=int, default=200, show_default=True, help="How many of the last lines.")
@NAME
def logs(component: str, follow: bool, lines: int, lab: str) -> None:
    """Print a component's log; COMPONENT is a name that `wherry status` shows.

    \b
    Examples:
      sudo ./wherry logs apiserver
      sudo ./wherry logs node1/agent -f
    """
    paths, _ = _existing(lab)
    file = paths.logs / f"{component.replace('/', '-')}.log"
    if not file.exists():
        known = ", ".join(sorted(path.stem.replace("-", "/", 1) for path in paths.logs.glob("*.log")))
        raise click.ClickException(f"no log of {component!r}; there are: {known}")
    os.execvp("tail", ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", str(file)])


@main.command()
@click.argument("node_name", metavar="NODE")
@click.argument("argv", nargs=-1, metavar="[-- CMD...]")
@NAME
def shell(node_name: str, argv: tuple[str, ...], lab: str) -> None:
    """A shell inside a node's network, or one command there.

    \b
    Examples:
      sudo ./wherry shell node1
      sudo ./wherry shell node2 -- ip route
      sudo ./wherry shell node2 -- nft list ruleset
    """
    _root()
    paths, chosen = _existing(lab)
    try:
        where = chosen.node(node_name)
    except SpecError as error:
        raise click.ClickException(str(error)) from error
    environment = {
        **os.environ,
        "CONTAINERD_ADDRESS": str(paths.containerd_socket(where.name)),
        "CONTAINERD_NAMESPACE": images.NAMESPACE,
        "CONTAINER_RUNTIME_ENDPOINT": f"unix://{paths.containerd_socket(where.name)}",
        "CNI_PATH": str(containerd.cni_bin(paths, where.name)),
        "NETCONFPATH": str(containerd.cni_conf(paths, where.name)),
        "KUBECONFIG": str(paths.kubeconfig),
        "PS1": f"{where.name}# ",
    }
    inside = netns.path_of(names.namespace(chosen.name, where.name))
    wanted = list(argv) or [os.environ.get("SHELL", "/bin/sh")]
    os.execvpe("nsenter", ["nsenter", f"--net={inside}", "--", *wanted], environment)


@main.group("node")
def node_group() -> None:
    """Add, remove, stop and start nodes of a running cluster."""


def _with_node(lab: str, name: str) -> tuple[Paths, Spec, Node]:
    paths, chosen = _existing(lab)
    try:
        return paths, chosen, chosen.node(name)
    except SpecError as error:
        raise click.ClickException(str(error)) from error


@node_group.command("add")
@click.argument("node_name", metavar="[NAME]", required=False)
@NAME
def node_add(node_name: str | None, lab: str) -> None:
    """Add a node and wait until it is Ready.

    \b
    Example:
      sudo ./wherry node add
    """
    _root()

    async def work() -> None:
        paths, _ = _existing(lab)
        with state.locked(paths):
            _, chosen = _existing(lab)
            await cluster.add_node(chosen, paths, node_name, Progress())

    _run(work())


@node_group.command("remove")
@click.argument("node_name", metavar="NAME")
@NAME
def node_remove(node_name: str, lab: str) -> None:
    """Take a node out of the cluster; its pods are replaced elsewhere."""
    _root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = _with_node(lab, node_name)
            await cluster.remove_node(chosen, paths, which, Progress())

    _run(work())


@node_group.command("stop")
@click.argument("node_name", metavar="NAME")
@NAME
def node_stop(node_name: str, lab: str) -> None:
    """Switch a node off, as a power cut would."""
    _root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = _with_node(lab, node_name)
            await cluster.stop_node(chosen, paths, which, Progress())

    _run(work())


@node_group.command("start")
@click.argument("node_name", metavar="NAME")
@NAME
def node_start(node_name: str, lab: str) -> None:
    """Switch a node on again and wait until it is Ready."""
    _root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = _with_node(lab, node_name)
            chosen = chosen.switched(which.name, False)
            state.save(paths, chosen)
            await cluster.start_node(chosen, paths, chosen.node(which.name), Progress())

    _run(work())


@main.group()
def image() -> None:
    """Build, load and list images without a registry."""


@image.command("build")
@click.argument("short", type=click.Choice(("pause", "busybox", "python")))
def image_build(short: str) -> None:
    """Build one of the lab's own images from this machine's Debian packages; prints the archive's path."""
    _root()
    click.echo(_run(images.archive([images.full_name(short)])))


@image.command("load")
@click.argument("source")
@click.option("--node", "only", default=None, help="Load it on this node alone.")
@NAME
def image_load(source: str, only: str | None, lab: str) -> None:
    """Load an image archive (OCI or docker save), or the lab's own `python`, on every node.

    \b
    Examples:
      sudo ./wherry image load python
      docker save web:1 -o web.tar && sudo ./wherry image load web.tar
    """
    _root()
    paths, chosen = _existing(lab)
    progress = Progress()

    async def work() -> None:
        path = Path(source)
        if not path.exists():
            if source not in ("pause", "busybox", "python"):
                raise SpecError(f"there is no file {source}; give an image archive, or pause, busybox or python")
            path = await images.archive([images.full_name(source)])
        for each in [chosen.node(only)] if only else [n for n in chosen.nodes if not n.stopped]:
            with progress.step(f"{each.name}: {path.name}"):
                loaded = await images.load(paths.containerd_socket(each.name), path)
            for name in loaded:
                progress.say(f"     {name}")

    _run(work())


@image.command("ls")
@NAME
def image_ls(lab: str) -> None:
    """Images on each node."""
    _root()
    paths, chosen = _existing(lab)

    async def work() -> list[tuple[str, str, str]]:
        rows = []
        for each in chosen.nodes:
            if not each.stopped:
                found = await images.listed(paths.containerd_socket(each.name))
                rows += [(each.name, name, size) for name, size in found]
        return rows

    click.echo("\n".join(status.table(("NODE", "IMAGE", "SIZE"), _run(work()))))


main.add_command(bench)


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--tier", "tiers", type=click.Choice(testing.TIERS), multiple=True, help="Only this tier; repeatable.")
@click.option("--no-lint", is_flag=True, help="Leave ruff and mypy out.")
@click.argument("arguments", nargs=-1, metavar="[PYTEST ARGUMENTS...]")
def test(tiers: tuple[str, ...], no_lint: bool, arguments: tuple[str, ...]) -> None:
    """Run the linters and all tests but the emulated machines'. Leaves nothing behind.

    \b
    Examples:
      sudo ./wherry test
      sudo ./wherry test --tier cluster --no-lint -k rollout
    """
    _root()
    passed = _run(testing.run(tiers or testing.TIERS, arguments, lint=not no_lint))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    sys.exit(main())
