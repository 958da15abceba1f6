"""``python -m controlplane.controllers --config FILE.yaml``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apimachinery.kit import logs, settings
from apimachinery.kit.lifecycle import Lifecycle, run_daemon
from controlplane.controllers.app import build
from controlplane.controllers.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="Settings file (YAML).")
def main(config: Path) -> None:
    """Run the controllers."""
    try:
        loaded = settings.load(Settings, config)
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from error
    logs.setup("controllers", loaded.log_level)

    async def start(lifecycle: Lifecycle) -> None:
        await build(loaded, lifecycle)

    sys.exit(run_daemon(start))


if __name__ == "__main__":
    main()
