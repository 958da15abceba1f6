"""`python -m lab.cloud --config FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from apimachinery.kit import daemon
from lab.cloud.daemon import Settings, start


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML settings file.")
def main(config: Path) -> None:
    """Be the cloud of a lab: addresses for its nodes and for Services of type LoadBalancer."""
    daemon.run(daemon.begin("cloud", Settings, config), start)


if __name__ == "__main__":
    main()
