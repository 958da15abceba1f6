"""`agent` and `proxy`: what the systemd units of a node run."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click

from apimachinery.kit import logs
from apimachinery.kit.settings import load
from lab.commands.base import Commands, root, run
from lab.commands.machine import CHECK, become, tell, told
from lab.components import Component
from lab.progress import Progress
from lab.standalone import credentials, worker
from lab.standalone.settings import NODE_FILE, Node, configure

NODE = click.option(
    "--config", "file", type=click.Path(path_type=Path), default=NODE_FILE, show_default=True, help="The machine."
)


@click.group(cls=Commands)
def agent() -> None:
    """A node on this machine: `vagrant/install.sh agent` installs its units."""


@agent.command("configure")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@CHECK
@NODE
def agent_configure(pairs: tuple[str, ...], check: bool, file: Path) -> None:
    """Set keys of the machine's file, which agent and proxy share, and check the whole.

    \b
    Example:
      sudo ./wherry agent configure node_ip=192.168.56.11 'labels={disk: fast}'
    """
    root()

    async def work() -> None:
        chosen = configure(Node, file, pairs)
        if check:
            await _check(chosen)

    run(work())


@agent.command("check")
@NODE
def agent_check(file: Path) -> None:
    """Say what of this machine will not do for a node, and how to mend it.

    \b
    Example:
      sudo ./wherry agent check
    """
    root()

    async def work() -> None:
        await _check(load(Node, file))

    run(work())


async def _check(settings: Node) -> None:
    # Whoever asks nothing of the kernel does not wait for what asks it to be loaded.
    from lab.standalone import checks

    tell(await checks.of_node(settings))


@agent.command("run")
@NODE
def agent_run(file: Path) -> None:
    """Join when this machine has not yet, then run the agent and its pod network in the foreground."""
    root()

    async def work() -> Component:
        # What it waits for is told in the unit's journal.
        logs.setup("join")
        settings = load(Node, file)
        with Progress().step("credentials, and images that no registry has"):
            # Where the control plane comes up at the same time, there is nothing but time until it answers.
            asked = credentials.ensure(settings, worker.machine(settings), serves=True)
            held, _ = await asyncio.gather(asked, worker.load_images())
        return worker.agent(settings, held)

    become(run(work()))


@agent.command("wait")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="How long at most.")
@NODE
def agent_wait(seconds: float, file: Path) -> None:
    """Return when this node is Ready and the Service kubernetes answers on it; else say what is missing."""
    root()
    progress = Progress()

    # The API server's client: nothing that a unit's command should wait for.
    from lab.standalone import waiting

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


@agent.command("end-pods")
@click.option("--seconds", type=int, default=30, show_default=True, help="A pod's grace at most.")
def agent_end_pods(seconds: int) -> None:
    """End this machine's pods in order: what its shutdown does, after the agent. They run again when the agent does.

    \b
    Example:
      sudo systemctl stop wherry-agent && sudo ./wherry agent end-pods
    """
    root()

    # The runtime's client: nothing that another command should wait for.
    from lab.standalone import halting

    async def work() -> None:
        if left := await halting.end_pods(seconds):
            raise click.ClickException("\n".join(left))

    run(work())


@agent.command("due")
def agent_due() -> None:
    """Exit with 0 when certificates end soon that a new start would renew, else with 1."""
    sys.exit(told(credentials.due()))


@click.group(cls=Commands)
def proxy() -> None:
    """A cluster's Services on this machine, node or not: `vagrant/install.sh proxy` installs its unit."""


@proxy.command("run")
@NODE
def proxy_run(file: Path) -> None:
    """Join when this machine has not yet, then run the proxy in the foreground."""
    root()

    async def work() -> Component:
        logs.setup("join")
        settings = load(Node, file)
        held = await credentials.ensure(settings, worker.machine(settings), serves=False)
        return worker.proxy(settings, held)

    become(run(work()))
