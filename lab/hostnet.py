"""Services and pod routes for the host itself, in one process: netproxy and the route half of cni.

`python -m lab.hostnet --config FILE`
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click

import cni.app
import cni.settings
import netproxy.app
import netproxy.settings
from apimachinery.client import Client
from apimachinery.kit import daemon
from apimachinery.kit.lifecycle import Lifecycle


@dataclass(frozen=True)
class Settings:
    """The two halves' own settings."""

    proxy: netproxy.settings.Settings
    """The host's rules for Services."""
    network: cni.settings.Settings
    """The host's routes to the pods."""

    @property
    def log_level(self) -> str:
        """One process, one level: the proxy's."""
        return self.proxy.log_level


async def start(chosen: Settings, lifecycle: Lifecycle) -> None:
    """Both halves, each with its own connection."""
    client = Client.from_kubeconfig(chosen.proxy.kubeconfig, user_agent="wherry-hostnet")
    lifecycle.push("client", client.close)
    await cni.app.run(chosen.network, client, lifecycle)
    await netproxy.app.start(chosen.proxy, lifecycle)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML settings file.")
@click.option("--cleanup", is_flag=True, help="Remove the rules that this host's proxy wrote, then exit.")
def main(config: Path, cleanup: bool) -> None:
    """Keep the host's rules and routes for a lab's Services and pods."""
    chosen = daemon.begin("hostnet", Settings, config)
    if cleanup:
        asyncio.run(netproxy.app.remove(chosen.proxy.mode, chosen.proxy))
        return
    daemon.run(chosen, start)


if __name__ == "__main__":
    main()
