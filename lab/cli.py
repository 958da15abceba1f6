"""The ``wherry`` command: one group, its commands in ``lab.commands``."""

from __future__ import annotations

import click

from lab.bench import bench
from lab.commands import checks, images, life, look, nodes


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """A real multi-node Kubernetes cluster on this machine: each node a network namespace, in seconds.

    \b
    Example:
      sudo ./wherry up
      export KUBECONFIG=$(./wherry kubeconfig)
      kubectl get nodes
    """


for command in (
    life.up,
    life.down,
    look.show_status,
    look.kubeconfig,
    look.logs,
    look.shell,
    nodes.node_group,
    images.image,
    checks.test,
    bench,
):
    main.add_command(command)
