"""`python -m controlplane.scheduler --config FILE`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apimachinery.kit import daemon, memory
from controlplane.scheduler import app
from controlplane.scheduler.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, metavar="FILE", help="YAML file.")
def main(config: Path) -> None:
    """Run the scheduler. FILE has our settings, or is a KubeSchedulerConfiguration (v1); plugins of one's own, named
    package.module:Class there, are looked for beside it."""
    memory.tune()
    sys.path.append(str(config.resolve().parent))
    daemon.run(daemon.begin("scheduler", Settings, config), app.build)


if __name__ == "__main__":
    main()
