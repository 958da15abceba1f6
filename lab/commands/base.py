"""What every command does: find the lab, insist on root, tell what went wrong in a line."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click

from apimachinery.kit import command
from apimachinery.kubeconfig import KubeconfigError
from lab import cluster, names, node, preflight, state
from lab.images.rootfs import ImageError
from lab.paths import Paths
from lab.spec import Node, Spec, SpecError
from lab.supervision import SupervisorError

_EXPECTED = (
    SpecError,
    preflight.PreflightError,
    cluster.ClusterError,
    node.NodeError,
    SupervisorError,
    command.CommandError,
    KubeconfigError,
    ImageError,
    OSError,
)

NAME = click.option("--name", "lab", default=names.DEFAULT_LAB, show_default=True, help="Which lab.")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work; what can be expected to go wrong is told in a line, not in a traceback."""
    try:
        return asyncio.run(work)
    except _EXPECTED as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; run the same command again to go on") from None


def existing(lab: str) -> tuple[Paths, Spec]:
    """The lab of that name, or an error that lists those there are."""
    paths = Paths(lab)
    try:
        found = state.load(paths)
    except SpecError as error:
        raise click.ClickException(str(error)) from error
    if found is None:
        others = ", ".join(state.labs())
        hint = f"; there is: {others} (--name)" if others else "; start one with `sudo ./wherry up`"
        raise click.ClickException(f"there is no lab {lab!r}{hint}")
    return paths, found


def with_node(lab: str, name: str) -> tuple[Paths, Spec, Node]:
    """The lab and its node of that name, or an error that lists those there are."""
    paths, chosen = existing(lab)
    try:
        return paths, chosen, chosen.node(name)
    except SpecError as error:
        raise click.ClickException(str(error)) from error


def root() -> None:
    """Stop here for anyone but root."""
    try:
        preflight.require_root()
    except preflight.PreflightError as error:
        raise click.ClickException(str(error)) from error
