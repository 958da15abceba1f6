"""`python -m cni --config FILE.yaml [--kubeconfig FILE]`: the pod network as a process of its own.

For a node whose kubelet is not ours. Without a kubeconfig only the daemon behind the executables runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apimachinery.client import Client
from apimachinery.kit import logs, settings
from apimachinery.kit.lifecycle import Lifecycle, run_daemon
from cni import app
from cni.settings import Settings


@click.command(help="Keep this node's pod network.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings (YAML, cni/settings.py).")
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="How to reach the API server.")
@click.option("--log-level", default="info", show_default=True)
def main(config: Path | None, kubeconfig: Path | None, log_level: str) -> None:
    logs.setup("cni", log_level)
    try:
        chosen = settings.load(Settings, config)
    except settings.SettingsError as problem:
        raise click.ClickException(str(problem)) from None

    async def build(lifecycle: Lifecycle) -> None:
        if kubeconfig is None:
            await app.serve(chosen, lifecycle)
            return
        client = Client.from_kubeconfig(kubeconfig, "wherry-cni")
        lifecycle.push("API client", client.close)
        await app.run(chosen, client, lifecycle)

    sys.exit(run_daemon(build))


if __name__ == "__main__":
    main()
