"""`backup`, `verify` and `restore`: copies of all that the API server holds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NoReturn

import click

from apimachinery.client import Client
from controlplane.store import StoreError, backup
from lab import state
from lab.commands.base import NAME, existing, root, run, running
from lab.paths import Paths

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command("backup")
@NAME
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def take(lab: str, file: Path | None) -> None:
    """Write a copy of everything in a running lab into FILE; the lab goes on meanwhile.

    Secrets lie in it as they are: keep it from others. Scheduled copies are in the lab's apiserver/backups.

    \b
    Examples:
      sudo ./wherry backup
      sudo ./wherry backup /mnt/elsewhere/lab.db
    """
    root()
    paths, _ = running(lab)
    target = file or Path(time.strftime(f"wherry-{lab}-%Y%m%d-%H%M%S.db"))
    run(_download(paths, target))
    _tell(target)


async def _download(paths: Paths, target: Path) -> None:
    client = Client.from_kubeconfig(paths.kubeconfig, user_agent="wherry")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.touch(0o600)
        with partial.open("wb") as file:
            async for piece in client.stream("/snapshot"):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
        await client.close()


@click.command("verify")
@_FILE
def verify(file: Path) -> None:
    """Read a whole backup and compare it with its checksums; nothing is changed.

    \b
    Example:
      sudo ./wherry verify wherry-lab-20260101-120000.db
    """
    _tell(file)


def _tell(file: Path) -> None:
    try:
        notes, changes = backup.read(file)
    except StoreError as error:
        _refuse(error)
    size = file.stat().st_size / 1e6
    click.echo(f"{file} is whole: {len(changes)} objects at revision {notes.newest}, {size:.1f} MB")


@click.command("restore")
@NAME
@_FILE
def restore(lab: str, file: Path) -> None:
    """Put a backup in the place of what a lab holds. The lab must be stopped.

    What is there now is kept beside it. Revisions jump ahead, so that everybody who watches lists again.

    \b
    Example:
      sudo ./wherry stop && sudo ./wherry restore lab.db && sudo ./wherry start
    """
    root()
    # Nobody starts it meanwhile.
    with state.locked(Paths(lab)):
        paths, _ = existing(lab)
        try:
            count, revision, aside = backup.restore(file, paths.apiserver / "state.db")
        except StoreError as error:
            _refuse(error)
    click.echo(f"{count} objects are back; lab {lab} goes on at revision {revision}: `sudo ./wherry start`")
    if aside is not None:
        click.echo(f"What was there before is in {aside}")


def _refuse(error: StoreError) -> NoReturn:
    raise click.ClickException(str(error)) from error
