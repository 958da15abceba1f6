"""What the commands of a machine of one's own share: becoming the daemon, telling what is due."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lab.components import Component


def become(component: Component) -> None:
    """Go on as that daemon: systemd sees one process, and its end."""
    from lab.node import write_settings

    write_settings(component)
    argv = component.process.argv
    os.chdir("/")
    os.execv(argv[0], argv)


def told(late: list[Path]) -> int:
    """Say what ends soon; the exit status: 0 when something does."""
    for path in late:
        click.echo(f"{path} ends soon")
    return 0 if late else 1
