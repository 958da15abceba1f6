"""Commands that look: ``status``, ``kubeconfig``, ``logs``, ``shell``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from apimachinery.kit import netns
from lab import containerd, names, status
from lab.commands.base import NAME, existing, root, run, with_node
from lab.images import load as images
from lab.process import entering


@click.command("status")
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@NAME
def show_status(output: str, lab: str) -> None:
    """Nodes, components, pods and VIPs on one screen."""
    paths, chosen = existing(lab)
    root()
    found = run(status.gather(chosen, paths))
    click.echo(json.dumps(found.to_dict(), indent=2) if output == "json" else status.render(found))


@click.command()
@NAME
def kubeconfig(lab: str) -> None:
    """Print the path of the administrator's kubeconfig.

    \b
    Example:
      export KUBECONFIG=$(./wherry kubeconfig)
    """
    paths, _ = existing(lab)
    click.echo(paths.kubeconfig)


@click.command()
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
    paths, _ = existing(lab)
    file = paths.logs / f"{component.replace('/', '-')}.log"
    if not file.exists():
        known = ", ".join(sorted(path.stem.replace("-", "/", 1) for path in paths.logs.glob("*.log")))
        raise click.ClickException(f"no log of {component!r}; there are: {known}")
    os.execvp("tail", ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", str(file)])


@click.command()
@click.argument("node_name", metavar="NODE")
@click.argument("argv", nargs=-1, metavar="[-- CMD...]")
@NAME
def shell(node_name: str, argv: tuple[str, ...], lab: str) -> None:
    """A shell inside a node's network and mounts, or one command there.

    \b
    Examples:
      sudo ./wherry shell node1
      sudo ./wherry shell node2 -- ip route
      sudo ./wherry shell node2 -- nft list ruleset
    """
    root()
    paths, chosen, where = with_node(lab, node_name)
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
    # Entering a mount namespace leads to its root: back to where the person stands, if that is there inside.
    back = ["sh", "-c", 'cd -- "$0" 2>/dev/null; exec "$@"', str(Path.cwd()), *wanted]
    os.execvpe("nsenter", [*entering(str(inside), str(paths.node_mounts(where.name))), *back], environment)
