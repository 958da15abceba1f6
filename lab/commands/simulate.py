"""`simulate`: many nodes and pods for a running lab's control plane, without machines."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from apimachinery.client import Client
from apimachinery.kit import tasks
from apimachinery.kit.settings import SettingsError
from lab.commands.base import NAME, root, run, running
from lab.paths import Paths
from lab.progress import Progress
from lab.simulate import stages
from lab.simulate.runner import Runner

# What is under way when it is told to end gets so long.
_END_SECONDS = 5.0


@click.command("simulate")
@click.option("--nodes", type=click.IntRange(0, 10000), required=True, help="How many nodes; 0 takes leftovers away.")
@click.option("--pods", type=click.IntRange(0, 100000), default=0, show_default=True, help="Deploy so many pods there.")
@click.option(
    "--stages",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML: what happens to pods and nodes, and when.",
)
@NAME
def simulate(nodes: int, pods: int, file: Path | None, lab: str) -> None:
    """Nodes without machines beside the lab's own, until Ctrl-C; their pods only say that they run.

    They carry the label and the taint wherry.io/simulated, so that only pods that tolerate it go there.

    \b
    Examples:
      sudo ./wherry simulate --nodes 500 --pods 10000
      sudo ./wherry simulate --nodes 50 --stages docs/examples/stages.yaml
    """
    root()
    try:
        chosen = stages.load(file)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    paths, _ = running(lab)
    run(_simulate(paths, chosen, nodes, pods))


async def _simulate(paths: Paths, chosen: stages.Stages, nodes: int, pods: int) -> None:
    progress = Progress()
    client = Client.from_kubeconfig(paths.kubeconfig, user_agent="wherry-simulate")
    runner = Runner(client, chosen, progress.say)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    try:
        try:
            await _started(runner, nodes, pods, told)
            if nodes and not told.is_set():
                progress.say("Ctrl-C ends it and takes them away")
                await told.wait()
        finally:
            progress.say("taking them away")
            await runner.stop()
    finally:
        await client.close()


async def _started(runner: Runner, nodes: int, pods: int, told: asyncio.Event) -> None:
    """Until it has begun, or is told to end meanwhile."""
    starting, waiting = asyncio.ensure_future(runner.start(nodes, pods)), asyncio.ensure_future(told.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if starting.done():
        starting.result()
    await tasks.end([starting], _END_SECONDS)
