"""What the commands of a machine of one's own share: becoming the daemon, telling what is due."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lab.components import Component
from lab.preflight import Finding, PreflightError

CHECK = click.option("--check", is_flag=True, help="Say, too, what of this machine will not do.")


def tell(findings: list[Finding]) -> None:
    """Say what is a pity; PreflightError lists what stops this."""
    for finding in findings:
        if not finding.fatal:
            click.echo(f"  !  {finding.text}", err=True)
    if fatal := [finding.text for finding in findings if finding.fatal]:
        raise PreflightError("\n".join(fatal))


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
