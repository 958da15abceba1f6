"""`node add|remove|stop|start`."""

from __future__ import annotations

import json

import click

from lab import changes, spec, state, status
from lab.commands.base import NAME, OUTPUT, Commands, existing, root, run, running, with_node
from lab.paths import Paths
from lab.progress import Progress


@click.group("node", cls=Commands)
def node_group() -> None:
    """List, add, remove, stop and start nodes of a running cluster."""


@node_group.command("list")
@OUTPUT
@NAME
def node_list(output: str, lab: str) -> None:
    """Nodes: what the lab has, and what the API says of each."""
    root()
    paths, chosen = existing(lab)
    found = run(status.gather(chosen, paths))
    if output == "json":
        click.echo(json.dumps(found.to_dict()["nodes"], indent=2))
        return
    rows = [(n.name, n.state, n.address, n.pod_cidr, str(n.pods)) for n in found.nodes]
    click.echo("\n".join(status.table(("NODE", "STATE", "ADDRESS", "POD CIDR", "PODS"), rows)))
    if found.problem:
        raise click.ClickException(found.problem)


@click.command("proxy-mode")
@click.argument("mode", type=click.Choice(spec.PROXY_MODES))
@click.option("--node", "node_name", default="", help="This node alone.  [default: all, and those to come]")
@NAME
def proxy_mode(mode: str, node_name: str, lab: str) -> None:
    """Change how nodes write the rules of Services, under traffic: new rules first, then the old ones go.

    \b
    Examples:
      sudo ./wherry proxy-mode iptables
      sudo ./wherry proxy-mode nftables --node node2
    """
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen = running(lab)
            await changes.change_proxy_mode(chosen, paths, mode, node_name, Progress())

    run(work())


@click.command("pod-network")
@click.argument("mode", type=click.Choice(spec.POD_NETWORKS))
@NAME
def pod_network(mode: str, lab: str) -> None:
    """Change how pods of different nodes reach each other, node by node and under traffic.

    With `none` another program is the pod network: pods that run keep their addresses, and lose what led to others.

    \b
    Example:
      sudo ./wherry pod-network vxlan
    """
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen = running(lab)
            await changes.change_pod_network(chosen, paths, mode, Progress())

    run(work())


@node_group.command("add")
@click.argument("node_name", metavar="[NAME]", required=False)
@NAME
def node_add(node_name: str | None, lab: str) -> None:
    """Add a node and wait until it is Ready.

    \b
    Example:
      sudo ./wherry node add
    """
    root()

    async def work() -> None:
        paths, _ = existing(lab)
        with state.locked(paths):
            _, chosen = running(lab)
            await changes.add_node(chosen, paths, node_name, Progress())

    run(work())


@node_group.command("remove")
@click.argument("node_name", metavar="NAME")
@NAME
def node_remove(node_name: str, lab: str) -> None:
    """Take a node out of the cluster; its pods are replaced elsewhere."""
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = with_node(lab, node_name)
            await changes.remove_node(chosen, paths, which, Progress())

    run(work())


@node_group.command("stop")
@click.argument("node_name", metavar="NAME")
@NAME
def node_stop(node_name: str, lab: str) -> None:
    """Switch a node off, as a power cut would."""
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = with_node(lab, node_name)
            await changes.stop_node(chosen, paths, which, Progress())

    run(work())


@node_group.command("start")
@click.argument("node_name", metavar="NAME")
@NAME
def node_start(node_name: str, lab: str) -> None:
    """Switch a node on again and wait until it is Ready."""
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen, which = with_node(lab, node_name)
            chosen = chosen.switched(which.name, False)
            state.save(paths, chosen)
            await changes.start_node(chosen, paths, chosen.node(which.name), Progress())

    run(work())
