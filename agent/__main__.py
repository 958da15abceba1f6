"""`python -m agent --config FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from agent import app
from agent.settings import AgentSettings
from apimachinery.kit import daemon


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the settings.")
@click.option("--node-name", help="Goes before the file's node_name.")
@click.option("--log-level", help="debug, info, warning or error.")
def main(config: Path | None, node_name: str | None, log_level: str | None) -> None:
    """Run the node agent (kubelet)."""
    daemon.run(daemon.begin("agent", AgentSettings, config, node_name=node_name, log_level=log_level), app.run)


if __name__ == "__main__":
    main()
