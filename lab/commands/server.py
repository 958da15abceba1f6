"""`server`: what the systemd units of a control plane run."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import click

from apimachinery.kit.settings import load
from lab.commands.base import Commands, root, run
from lab.commands.machine import CHECK, become, tell, told
from lab.components import Component
from lab.standalone import server as control_plane
from lab.standalone import tokens
from lab.standalone.machine import HOME
from lab.standalone.settings import SERVER_FILE, Server, configure

SERVER = click.option(
    "--config", "file", type=click.Path(path_type=Path), default=SERVER_FILE, show_default=True, help="The machine."
)


@click.group(cls=Commands)
def server() -> None:
    """A control plane on this machine, as its systemd units run it; `vagrant/install.sh server` installs them."""


@server.command("configure")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@CHECK
@SERVER
def server_configure(pairs: tuple[str, ...], check: bool, file: Path) -> None:
    """Set keys of the machine's file, and check the whole. An empty value takes a key out.

    \b
    Example:
      sudo ./wherry server configure address=192.168.56.10 proxy_mode=iptables
    """
    root()

    async def work() -> None:
        chosen = configure(Server, file, pairs)
        if not chosen.address:
            # Written down: at the next boot there may be no route yet.
            chosen = configure(Server, file, [f"address={control_plane.machine(chosen).own_address}"])
        if check:
            await _check(chosen)

    run(work())


@server.command("check")
@SERVER
def server_check(file: Path) -> None:
    """Say what of this machine will not do for a control plane, and how to mend it.

    \b
    Example:
      sudo ./wherry server check
    """
    root()

    async def work() -> None:
        await _check(load(Server, file))

    run(work())


async def _check(settings: Server) -> None:
    # Whoever asks nothing of the kernel does not wait for what asks it to be loaded.
    from lab.standalone import checks

    tell(await checks.of_server(settings))


@server.command("prepare")
@SERVER
def server_prepare(file: Path) -> None:
    """Make what certificates and kubeconfigs are missing or end soon. The units run it first."""
    root()

    async def work() -> None:
        control_plane.certify(load(Server, file))

    run(work())
    click.echo(HOME.kubeconfig)


@server.command("run")
@click.argument("daemon", type=click.Choice(control_plane.DAEMONS))
@SERVER
def server_run(daemon: str, file: Path) -> None:
    """Run one daemon in the foreground.

    \b
    Example:
      sudo ./wherry server run apiserver
    """
    root()

    async def work() -> Component:
        return control_plane.component(load(Server, file), daemon)

    become(run(work()))


@server.command("publish")
@SERVER
def server_publish(file: Path) -> None:
    """Wait for the API server; make kube-dns, the default StorageClass and what those need who join."""
    root()

    async def work() -> None:
        # Whoever asks nothing of the API server does not wait for its client to be loaded.
        from lab.standalone import publish

        settings = load(Server, file)
        await publish.all_of(control_plane.machine(settings), tokens.parse(settings.token) if settings.token else None)

    run(work())


@server.command("due")
def server_due() -> None:
    """Exit with 0 when certificates end soon that a new start would renew, else with 1."""
    sys.exit(told(control_plane.due(datetime.datetime.now(datetime.timezone.utc))))


@server.group("token", cls=Commands)
def token_group() -> None:
    """Bootstrap tokens: with one, a machine joins."""


@token_group.command("create")
@click.argument("token", required=False)
@click.option("--hours", type=float, default=24.0, show_default=True, help="How long it is good; 0: for good.")
@SERVER
def token_create(token: str | None, hours: float, file: Path) -> None:
    """Make a token (or take this one), and print the command that joins with it.

    \b
    Example:
      sudo ./wherry server token create --hours 2
    """
    root()

    async def work() -> None:
        from lab.standalone import publish

        chosen = tokens.parse(token) if token else tokens.new()
        async with publish.administrator() as client:
            await publish.admit(client, chosen, hours)
        at = control_plane.machine(load(Server, file)).server
        click.echo(f"vagrant/install.sh agent --server {at} --token {chosen} --ca-hash {control_plane.ca_hash()}")

    run(work())


@token_group.command("list")
def token_list() -> None:
    """Whose machines may still join: the tokens' IDs and when they end."""
    root()

    async def work() -> None:
        from lab.standalone import publish

        async with publish.administrator() as client:
            for ident, ends in await publish.admitted(client):
                click.echo(f"{ident}  {ends}")

    run(work())


@token_group.command("delete")
@click.argument("ident", metavar="ID")
def token_delete(ident: str) -> None:
    """Let nobody join with this token any more; those who did stay."""
    root()

    async def work() -> None:
        from lab.standalone import publish

        async with publish.administrator() as client:
            await publish.revoke(client, ident)

    run(work())
