"""`python -m controlplane.controllers --config FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from apimachinery.kit import daemon, memory
from controlplane.controllers import app
from controlplane.controllers.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML file with the settings.")
def main(config: Path) -> None:
    """Run the controllers."""
    memory.tune()
    daemon.run(daemon.begin("controllers", Settings, config), app.build)


if __name__ == "__main__":
    main()
