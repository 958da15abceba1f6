"""The ``wherry`` command: one group, its commands in ``lab.commands``."""

from __future__ import annotations

import click

from lab import versions
from lab.commands import backups, bench, checks, images, life, look, machines, nodes, trace
from lab.commands.base import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(versions.own(), prog_name="wherry")
def main() -> None:
    """A real multi-node Kubernetes cluster on this machine: each node a network namespace, in seconds.

    \b
    Example:
      sudo ./wherry up
      export KUBECONFIG=$(./wherry kubeconfig)
      kubectl get nodes
    """


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def show_help(ctx: click.Context, words: tuple[str, ...]) -> None:
    """What a command does: `wherry help node add`."""
    found: click.Command = main
    within = ctx.parent or ctx
    for word in words:
        inner = found.get_command(within, word) if isinstance(found, click.Group) else None
        if inner is None:
            raise click.UsageError(f"there is no command {' '.join(words)!r}; `wherry help` lists them")
        within, found = click.Context(inner, info_name=word, parent=within, max_content_width=100), inner
    click.echo(found.get_help(within))


for command in (
    life.up,
    life.down,
    life.stop,
    life.start,
    look.list_labs,
    look.show_status,
    look.version,
    look.kubeconfig,
    look.logs,
    look.shell,
    trace.trace_connection,
    nodes.node_group,
    nodes.proxy_mode,
    images.image,
    machines.server,
    machines.agent,
    machines.proxy,
    backups.take,
    backups.verify,
    backups.restore,
    checks.test,
    bench.bench,
    show_help,
):
    main.add_command(command)
