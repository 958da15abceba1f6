"""python -m controlplane.apiserver --config FILE"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apimachinery.kit import logs
from apimachinery.kit.lifecycle import Lifecycle, run_daemon
from apimachinery.kit.settings import SettingsError, load
from controlplane.apiserver.app import build
from controlplane.apiserver.settings import Settings
from controlplane.store import StoreError


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), required=True, help="YAML settings file.")
@click.option("--port", type=int, help="Port of the secure listener.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the state file lies.")
@click.option("--log-level", help="debug, info, warning or error.")
def main(config: Path, port: int | None, data_dir: Path | None, log_level: str | None) -> None:
    """Serve the Kubernetes API."""
    try:
        settings = load(Settings, config, port=port, data_dir=data_dir, log_level=log_level)
        logs.setup("apiserver", settings.log_level)
    except (SettingsError, ValueError) as error:
        raise click.ClickException(str(error)) from error

    async def serve(lifecycle: Lifecycle) -> None:
        try:
            await build(settings, lifecycle)
        except StoreError as error:
            # The operator's matter, like a busy port: a message, no traceback.
            raise OSError(str(error)) from error

    sys.exit(run_daemon(serve))


main()
