"""The `wherry` command: one group, its commands in `lab.commands`."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import click

from lab import versions
from lab.commands.base import Commands, Interrupted, meant

# Where each command lives: its module, below `lab`, and its name there.
_HOMES = {
    "up": "commands.life:up",
    "down": "commands.life:down",
    "stop": "commands.life:stop",
    "start": "commands.life:start",
    "list": "commands.look:list_labs",
    "status": "commands.look:show_status",
    "version": "commands.look:version",
    "kubeconfig": "commands.look:kubeconfig",
    "logs": "commands.look:logs",
    "shell": "commands.look:shell",
    "trace": "commands.trace:trace_connection",
    "node": "commands.nodes:node_group",
    "proxy-mode": "commands.nodes:proxy_mode",
    "pod-network": "commands.nodes:pod_network",
    "image": "commands.images:image",
    "server": "commands.server:server",
    "agent": "commands.worker:agent",
    "proxy": "commands.worker:proxy",
    "backup": "commands.backups:take",
    "verify": "commands.backups:verify",
    "restore": "commands.backups:restore",
    "test": "commands.checks:test",
    "e2e": "commands.e2e:e2e",
    "simulate": "commands.simulate:simulate",
    "bench": "commands.bench:bench",
    "help": "cli:show_help",
}


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; run the same command again to go on") from None


class _Main(Commands):
    """Loads a command when it is asked for: all together are a second's work, and units start by these, too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, else the one that the word stands for here."""
        home = next((_HOMES[name] for name in meant(cmd_name) if name in _HOMES), None)
        if home is None:
            return None
        module, _, name = home.partition(":")
        found: click.Command = getattr(importlib.import_module(f"lab.{module}"), name)
        return found

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the words. Ctrl-C meanwhile ends as it does in a command's own work, not as `Aborted!`."""
        with _interruptible():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, which is loaded first. Ctrl-C meanwhile ends in the same way."""
        with _interruptible():
            return super().invoke(ctx)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
