"""What can be done with a store that is not in use.

python -m controlplane.store verify /var/lib/wherry/lab/apiserver/state.db
python -m controlplane.store salvage /var/lib/wherry/lab/apiserver/state.db
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from controlplane.store.inspection import verify
from controlplane.store.model import StoreError
from controlplane.store.salvage import salvage

_FILE = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def main() -> None:
    """Look at, or mend, the state file of an API server that does not run."""


@main.command("verify")
@_FILE
def verify_command(path: Path) -> None:
    """Read the whole file and compare it with its checksums and its witness; nothing is changed.

    Example: python -m controlplane.store verify /var/lib/wherry/lab/apiserver/state.db
    """
    try:
        found = verify(path)
    except StoreError as error:
        sys.exit(f"Error: {error}")
    click.echo(f"{path} is whole: {len(found.history)} changes kept, up to revision {found.findings.head}")


@main.command("salvage")
@_FILE
def salvage_command(path: Path) -> None:
    """Put what is left of a damaged store into a new one; the damaged files are kept beside it.

    Example: python -m controlplane.store salvage /var/lib/wherry/lab/apiserver/state.db
    """
    try:
        told, aside = salvage(path)
    except StoreError as error:
        sys.exit(f"Error: {error}")
    click.echo(f"{len(told.kept)} objects are kept; {path} goes on at revision {told.revision}.")
    for what in told.lost or ("nothing that is known",):
        click.echo(f"Lost: {what}.")
    click.echo(f"The damaged files are in {aside}.")


if __name__ == "__main__":
    main()
