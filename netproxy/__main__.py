"""`python -m netproxy --config FILE`: run the proxy, or `--cleanup` to take its rules away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from apimachinery.kit import daemon
from netproxy import app, modes
from netproxy.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the settings.")
@click.option("--kubeconfig", help="How to reach the API server.")
@click.option("--mode", type=click.Choice((*modes.mode_names(), modes.AUTO)), help="How rules are written.")
@click.option("--network-policy", type=bool, help="false: NetworkPolicies are another program's business.")
@click.option("--cleanup", is_flag=True, help="Remove every rule any mode wrote, then exit.")
def main(
    config: Path | None, kubeconfig: str | None, mode: str | None, network_policy: bool | None, cleanup: bool
) -> None:
    """Services for this host: cluster IPs, node ports, external addresses."""
    needed = "/dev/null" if cleanup and config is None and kubeconfig is None else kubeconfig
    settings = daemon.begin("netproxy", Settings, config, kubeconfig=needed, mode=mode, network_policy=network_policy)
    if cleanup:
        asyncio.run(app.remove_everything(settings))
        return
    daemon.run(settings, app.start)


if __name__ == "__main__":
    main()
