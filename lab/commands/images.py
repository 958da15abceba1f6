"""`image build|load|ls`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lab import status
from lab.commands.base import NAME, Commands, root, run, running
from lab.images import load as images
from lab.progress import Progress
from lab.spec import SpecError


@click.group(cls=Commands)
def image() -> None:
    """Build, load and list images without a registry."""


@image.command("build")
@click.argument("short", type=click.Choice(("pause", "busybox", "python")))
def image_build(short: str) -> None:
    """Build one of the lab's own images from this machine's Debian packages; prints the archive's path."""
    root()
    click.echo(run(images.archive([images.full_name(short)])))


@image.command("load")
@click.argument("source")
@click.option("--node", "only", default=None, help="Load it on this node alone.")
@NAME
def image_load(source: str, only: str | None, lab: str) -> None:
    """Load an image archive (OCI or docker save), or the lab's own `python`, on every node.

    \b
    Examples:
      sudo ./wherry image load python
      docker save web:1 -o web.tar && sudo ./wherry image load web.tar
    """
    root()
    paths, chosen = running(lab)
    progress = Progress()

    async def work() -> None:
        path = Path(source)
        if not path.exists():
            if source not in ("pause", "busybox", "python"):
                raise SpecError(f"there is no file {source}; give an image archive, or pause, busybox or python")
            path = await images.archive([images.full_name(source)])
        await asyncio.to_thread(images.check, path)
        wanted = [chosen.node(only)] if only else [n for n in chosen.nodes if not n.stopped]
        if only and wanted[0].stopped:
            raise SpecError(f"{only} is off; `wherry node start {only}` switches it on")
        for each in wanted:
            with progress.step(f"{each.name}: {path.name}"):
                loaded = await images.load(paths.containerd_socket(each.name), path)
            for name in loaded:
                progress.say(f"     {name}")

    run(work())


@image.command("ls")
@NAME
def image_ls(lab: str) -> None:
    """Images on each node."""
    root()
    paths, chosen = running(lab)

    async def work() -> list[tuple[str, str, str]]:
        rows = []
        for each in chosen.nodes:
            if not each.stopped:
                found = await images.listed(paths.containerd_socket(each.name))
                rows += [(each.name, name, size) for name, size in found]
        return rows

    click.echo("\n".join(status.table(("NODE", "IMAGE", "SIZE"), run(work()))))
