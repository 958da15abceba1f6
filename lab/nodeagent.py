"""A lab node's agent and its CNI daemon in one process: the daemon costs a socket there, not an interpreter.

`python -m lab.nodeagent --config FILE`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

import agent.app
import agent.settings
import cni.app
import cni.settings
from apimachinery.client import Client
from apimachinery.kit import daemon
from apimachinery.kit.lifecycle import Lifecycle
from cni.node.watch import LostInterface


@dataclass(frozen=True)
class Settings:
    """The two halves' own settings."""

    agent: agent.settings.AgentSettings
    """The node's agent."""
    network: cni.settings.Settings
    """The node's pod network."""
    network_kubeconfig: Path
    """The pod network reads every Node, which the Node authorizer denies an agent: it has its own identity."""

    @property
    def log_level(self) -> str:
        """One process, one level: the agent's."""
        return self.agent.log_level


async def start(chosen: Settings, lifecycle: Lifecycle) -> None:
    """The network first: the node is Ready as soon as its runtime finds a CNI configuration."""
    client = Client.from_kubeconfig(chosen.network_kubeconfig, user_agent="wherry-cni")
    lifecycle.push("cni client", client.close)
    node = agent.app.Agent(chosen.agent)

    def lost(interface: LostInterface) -> None:
        node.cache.network_lost(interface.container_id, _what(interface))

    network = await cni.app.run(chosen.network, client, lifecycle, lost, node.client)

    async def missing(sandboxes: frozenset[str]) -> dict[str, str]:
        return {each.container_id: _what(each) for each in await network.missing(sandboxes)}

    await node.start(lifecycle, missing)


def _what(lost: LostInterface) -> str:
    return f"the interface {lost.ifname} of the pod's sandbox is gone"


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="YAML settings file.")
def main(config: Path) -> None:
    """Run one node: the agent, and the daemon that wires its pods."""
    daemon.run(daemon.begin("agent", Settings, config), start)


if __name__ == "__main__":
    main()
