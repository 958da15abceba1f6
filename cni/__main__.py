"""`python -m cni --config FILE [--kubeconfig FILE]`: the pod network as a process of its own.

For a node whose kubelet is not ours. Without a kubeconfig only the daemon behind the executables runs.
"""

from __future__ import annotations

from pathlib import Path

import click

from apimachinery.client import Client
from apimachinery.kit import daemon
from apimachinery.kit.lifecycle import Lifecycle
from cni import app
from cni.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the settings.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="How to reach the API server.")
@click.option("--log-level", help="debug, info, warning or error.")
def main(config: Path | None, kubeconfig: Path | None, log_level: str | None) -> None:
    """Keep this node's pod network."""

    async def build(settings: Settings, lifecycle: Lifecycle) -> None:
        if kubeconfig is None:
            await app.serve(settings, lifecycle)
            return
        client = Client.from_kubeconfig(kubeconfig, "wherry-cni")
        lifecycle.push("API client", client.close)
        await app.run(settings, client, lifecycle)

    daemon.run(daemon.begin("cni", Settings, config, log_level=log_level), build)


if __name__ == "__main__":
    main()
