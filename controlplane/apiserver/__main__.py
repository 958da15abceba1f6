"""`python -m controlplane.apiserver --config FILE`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apimachinery.kit import daemon, memory
from apimachinery.kit.lifecycle import Lifecycle
from controlplane.apiserver import app
from controlplane.apiserver.settings import Settings
from controlplane.store import StoreError

# How long another thread may keep the interpreter from the loop, which wants it several times for each request.
_TURN_SECONDS = 0.001


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML file with the settings.")
@click.option("--port", type=int, help="Port of the secure listener.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the state file lies.")
@click.option("--log-level", help="debug, info, warning or error.")
def main(config: Path, port: int | None, data_dir: Path | None, log_level: str | None) -> None:
    """Serve the Kubernetes API."""
    memory.tune()
    sys.setswitchinterval(_TURN_SECONDS)
    loaded = daemon.begin("apiserver", Settings, config, port=port, data_dir=data_dir, log_level=log_level)
    daemon.run(loaded, serve)


async def serve(settings: Settings, lifecycle: Lifecycle) -> None:
    """Build the server. Raises OSError."""
    try:
        await app.build(settings, lifecycle)
    except StoreError as error:
        # The operator's matter, like a busy port: a message, no traceback.
        raise OSError(str(error)) from error


if __name__ == "__main__":
    main()
