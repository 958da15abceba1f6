"""``python -m agent --config FILE.yaml``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.app import run
from agent.settings import AgentSettings
from apimachinery.kit import logs, settings
from apimachinery.kit.lifecycle import Lifecycle, run_daemon


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the settings.")
@click.option("--node-name", help="Goes before the file's node_name.")
@click.option("--log-level", help="debug, info, warning or error.")
def main(config: Path | None, node_name: str | None, log_level: str | None) -> None:
    """Run the node agent (kubelet)."""
    given = {"node_name": node_name, "log_level": log_level}
    try:
        loaded = settings.load(AgentSettings, config, **{k: v for k, v in given.items() if v is not None})
    except settings.SettingsError as error:
        raise click.ClickException(str(error)) from error
    logs.setup("agent", loaded.log_level)

    async def build(lifecycle: Lifecycle) -> None:
        await run(loaded, lifecycle)

    sys.exit(run_daemon(build))


if __name__ == "__main__":
    main()
