"""``server``, ``agent`` and ``proxy``: what systemd's units of a machine of one's own run."""

from __future__ import annotations

import datetime
import os
import sys
import time
from pathlib import Path

import click

from apimachinery import pki
from apimachinery.client import Client
from apimachinery.kinds import SECRET
from apimachinery.kit.settings import load
from lab import node
from lab.certificates import LAB
from lab.commands.base import Commands, root, run
from lab.components import Component
from lab.progress import Progress
from lab.standalone import credentials, publish, tokens, waiting, worker
from lab.standalone import server as control_plane
from lab.standalone.machine import HOME
from lab.standalone.settings import NODE_FILE, SERVER_FILE, Node, Server, configure

SERVER = click.option(
    "--config", "file", type=click.Path(path_type=Path), default=SERVER_FILE, show_default=True, help="The machine."
)
NODE = click.option(
    "--config", "file", type=click.Path(path_type=Path), default=NODE_FILE, show_default=True, help="The machine."
)
PUBLISH_SECONDS = 600.0


def _become(component: Component) -> None:
    """Go on as that daemon: systemd sees one process, and its end."""
    node.write_settings(component)
    argv = component.process.argv
    os.chdir("/")
    os.execv(argv[0], argv)


@click.group(cls=Commands)
def server() -> None:
    """A control plane on this machine, as its systemd units run it; `vagrant/install.sh server` installs them."""


@server.command("configure")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@SERVER
def server_configure(pairs: tuple[str, ...], file: Path) -> None:
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
            configure(Server, file, [f"address={control_plane.machine(chosen).own_address}"])

    run(work())


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

    _become(run(work()))


@server.command("publish")
@SERVER
def server_publish(file: Path) -> None:
    """Wait for the API server; make the Service kube-dns and what those read who join."""
    root()

    async def work() -> None:
        settings = load(Server, file)
        client = Client.from_kubeconfig(HOME.settings / LAB.file, user_agent="wherry-publish")
        try:
            await publish.when_ready(client, PUBLISH_SECONDS)
            await publish.publish(control_plane.machine(settings), (HOME.pki / "ca.crt").read_bytes(), client)
        finally:
            await client.close()

    run(work())


@server.command("due")
def server_due() -> None:
    """Exit with 0 when certificates end soon that a new start would renew, else with 1."""
    sys.exit(_due(control_plane.due(datetime.datetime.now(datetime.timezone.utc))))


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
        chosen = tokens.parse(token) if token else tokens.new()
        client = Client.from_kubeconfig(HOME.kubeconfig, user_agent="wherry-token")
        try:
            await publish.admit(client, chosen, hours)
        finally:
            await client.close()
        at = control_plane.machine(load(Server, file)).server
        ca_hash = pki.public_key_hash((HOME.pki / "ca.crt").read_bytes())
        click.echo(f"vagrant/install.sh agent --server {at} --token {chosen} --ca-hash {ca_hash}")

    run(work())


@token_group.command("list")
def token_list() -> None:
    """Whose machines may still join: the tokens' IDs and when they end."""
    root()

    async def work() -> None:
        client = Client.from_kubeconfig(HOME.kubeconfig, user_agent="wherry-token")
        try:
            found = await client.list(SECRET, tokens.NAMESPACE, field_selector=f"type={tokens.TYPE}")
        finally:
            await client.close()
        for secret in found["items"]:
            click.echo("  ".join(publish.described(secret)))

    run(work())


@token_group.command("delete")
@click.argument("ident", metavar="ID")
def token_delete(ident: str) -> None:
    """Let nobody join with this token any more; those who did stay."""
    root()

    async def work() -> None:
        client = Client.from_kubeconfig(HOME.kubeconfig, user_agent="wherry-token")
        try:
            await publish.revoke(client, ident)
        finally:
            await client.close()

    run(work())


@click.group(cls=Commands)
def agent() -> None:
    """A node on this machine: `vagrant/install.sh agent` installs its units."""


@agent.command("configure")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@NODE
def agent_configure(pairs: tuple[str, ...], file: Path) -> None:
    """Set keys of the machine's file, which agent and proxy share, and check the whole.

    \b
    Example:
      sudo ./wherry agent configure node_ip=192.168.56.11 'labels={disk: fast}'
    """
    root()

    async def work() -> None:
        configure(Node, file, pairs)

    run(work())


@agent.command("run")
@NODE
def agent_run(file: Path) -> None:
    """Join when this machine has not yet, then run the agent and its pod network in the foreground."""
    root()

    async def work() -> Component:
        settings = load(Node, file)
        progress = Progress()
        with progress.step("credentials"):
            held = await credentials.ensure(settings, worker.machine(settings), serves=True)
        with progress.step("images that no registry has"):
            await worker.load_images()
        return worker.agent(settings, held)

    _become(run(work()))


@agent.command("wait")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="How long at most.")
@NODE
def agent_wait(seconds: float, file: Path) -> None:
    """Return when this node is Ready and the Service kubernetes answers on it; else say what is missing."""
    root()
    progress = Progress()

    async def work() -> None:
        deadline = time.monotonic() + seconds
        settings = load(Node, file)
        with progress.step("this node is Ready"):
            await waiting.node_ready(settings, deadline)
        with progress.step("the Service kubernetes answers here"):
            await waiting.service_answers(settings, deadline)

    run(work())


@agent.command("remove")
def agent_remove() -> None:
    """End this machine's pods and take its rules away. Stop its units first; `vagrant/install.sh remove` does all."""
    root()

    # The proxy's modes and the runtime's client: nothing that another command should wait for.
    from lab.standalone import removal

    async def work() -> None:
        if left := await removal.clear():
            raise click.ClickException("\n".join(left))

    run(work())


@agent.command("due")
def agent_due() -> None:
    """Exit with 0 when certificates end soon that a new start would renew, else with 1."""
    sys.exit(_due(credentials.due()))


@click.group(cls=Commands)
def proxy() -> None:
    """A cluster's Services on this machine, node or not: `vagrant/install.sh proxy` installs its unit."""


@proxy.command("run")
@NODE
def proxy_run(file: Path) -> None:
    """Join when this machine has not yet, then run the proxy in the foreground."""
    root()

    async def work() -> Component:
        settings = load(Node, file)
        held = await credentials.ensure(settings, worker.machine(settings), serves=False)
        return worker.proxy(settings, held)

    _become(run(work()))


def _due(late: list[Path]) -> int:
    for path in late:
        click.echo(f"{path} ends soon")
    return 0 if late else 1
