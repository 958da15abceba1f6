"""`python -m benchmarks.kills`: the long form, on a lab of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import click

from apimachinery.client import Client
from benchmarks.kills.inventory import Place
from benchmarks.kills.loops import Outcome, beside, in_the_middle
from benchmarks.up import wherry
from lab.paths import Paths

NAME = "whtkills"


def report(outcome: Outcome) -> None:
    """The figures, a line each."""
    click.echo(f"kills              {sum(outcome.kills.values()):6}   {dict(outcome.kills)}")
    click.echo(f"left behind        {len(outcome.left):6}   {dict(Counter(kind for kind, _ in outcome.left))}")
    click.echo(f"false restarts     {len(outcome.restarts):6}")
    click.echo(f"conditions flapped {len(outcome.flaps):6}")
    click.echo(f"slowest Ready      {outcome.slowest_ready:6.1f} s   slowest gone {outcome.slowest_gone:.1f} s")
    click.echo(f"all clear after    {outcome.clean_after:6.1f} s")
    for thing in [*sorted(outcome.left), *outcome.restarts, *outcome.flaps[:20]]:
        click.echo(f"  {thing}")


async def measure(middle: int, steady: int, seed: int, logs: Path | None) -> None:
    """Both loops on one node; its logs are kept in `logs`."""
    await wherry("up", "--name", NAME, "--nodes", "1")
    paths = Paths(NAME)
    client = Client.from_kubeconfig(paths.kubeconfig)
    try:
        place = Place(paths, "node1")
        if middle:
            click.echo("killed in the middle of start and stop")
            report(await in_the_middle(client, place, middle, seed, click.echo))
        if steady:
            click.echo("containerd killed beside pods that run")
            report(await beside(client, place, steady, seed))
    finally:
        await client.close()
        try:
            if logs is not None:
                shutil.copytree(paths.logs, logs, dirs_exist_ok=True)
        finally:
            await wherry("down", "--name", NAME)


@click.command()
@click.option("--middle", type=click.IntRange(0, 1000), default=200, show_default=True, help="Kills in start and stop.")
@click.option("--steady", type=click.IntRange(0, 1000), default=100, show_default=True, help="Kills of containerd.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the moments and the victims.")
@click.option("--logs", type=click.Path(path_type=Path), help="Keep the lab's logs in this directory.")
def main(middle: int, steady: int, seed: int, logs: Path | None) -> None:
    """Kill a node's agent and containerd again and again, and count what is left of it.

    \b
    Example: python -m benchmarks.kills --middle 40 --steady 20 --logs /tmp/kills
    """
    asyncio.run(measure(middle, steady, seed, logs))


if __name__ == "__main__":
    main()
