"""`python -m controlplane.scheduler --config FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from apimachinery.kit import daemon
from controlplane.scheduler import app
from controlplane.scheduler.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML file with the settings.")
def main(config: Path) -> None:
    """Run the scheduler."""
    daemon.run(daemon.begin("scheduler", Settings, config), app.build)


if __name__ == "__main__":
    main()
