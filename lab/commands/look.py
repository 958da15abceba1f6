"""Commands that look: `status`, `list`, `version`, `kubeconfig`, `logs`, `shell`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from lab import containerd, inherited, state, status, versions
from lab.commands.base import NAME, OUTPUT, Interrupted, existing, root, run, with_node
from lab.images import load as images
from lab.paths import Paths
from lab.process import entering, on_node

WATCH_SECONDS = 2.0


@click.command("status")
@click.option("-w", "--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@OUTPUT
@NAME
def show_status(watch: bool, output: str, lab: str) -> None:
    """Nodes, components, pods and VIPs on one screen."""
    paths, chosen = existing(lab)
    root()
    if not watch:
        found = run(status.gather(chosen, paths))
        click.echo(json.dumps(found.to_dict(), indent=2) if output == "json" else status.render(found))
        return
    try:
        while True:
            found = run(status.gather(state.load(paths) or chosen, paths))
            if output == "table" and sys.stdout.isatty():
                click.clear()
            click.echo(json.dumps(found.to_dict()) if output == "json" else status.render(found))
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)


@click.command("list")
@OUTPUT
def list_labs(output: str) -> None:
    """Labs on this machine, also those that are switched off or whose description is damaged."""
    found = [status.summary(Paths(lab)) for lab in state.labs()]
    if output == "json":
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    rows = [(each.lab, each.state, str(each.nodes or "-"), each.proxy_mode, each.server) for each in found]
    click.echo("\n".join(status.table(("LAB", "STATE", "NODES", "PROXY", "API"), rows)))


@click.command()
@OUTPUT
def version(output: str) -> None:
    """wherry's version, the Kubernetes API's, and those of the programs that it uses here."""
    found = run(versions.gather())
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    click.echo("\n".join(f"{name:<12}{value}" for name, value in found.items()))


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
    """A shell inside a node's network, mounts and hostname, or one command there.

    \b
    Examples:
      sudo ./wherry shell node1
      sudo ./wherry shell node2 -- ip route
      sudo ./wherry shell node2 -- nft list ruleset
    """
    root()
    paths, _, where = with_node(lab, node_name)
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
    wanted = list(argv) or [os.environ.get("SHELL", "/bin/sh")]
    # Entering a mount namespace leads to its root: back to where the person stands, if that is there inside.
    back = ["sh", "-c", 'cd -- "$0" 2>/dev/null; exec "$@"', str(Path.cwd()), *wanted]
    os.umask(inherited.person_umask)
    os.execvpe("nsenter", [*entering(on_node(paths, where.name)), *back], environment)
