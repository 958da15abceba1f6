"""What every command does: find the lab, insist on root, tell what went wrong in a line."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import click

from apimachinery import errors
from apimachinery.kit import command
from apimachinery.kit.settings import SettingsError
from apimachinery.kubeconfig import KubeconfigError
from lab import names, preflight, room, spec, state
from lab.paths import Paths
from lab.spec import Node, Spec, SpecError


def _expected() -> tuple[type[Exception], ...]:
    """What can go wrong without being anybody's fault. Looked up when something did: loading all that could is most of
    a short command's time, which counts where a unit starts by one, above all on a slow machine.
    """
    from lab import cluster, node
    from lab.images.rootfs import ImageError
    from lab.standalone.join import JoinError
    from lab.standalone.tokens import TokenError
    from lab.standalone.waiting import NotThere
    from lab.supervisor_client import SupervisorError

    own = (
        SpecError,
        preflight.PreflightError,
        cluster.ClusterError,
        node.NodeError,
        SupervisorError,
        ImageError,
        room.NoRoomError,
    )
    standalone = (JoinError, TokenError, NotThere)
    kit = (command.CommandError, KubeconfigError, SettingsError, errors.ApiError, errors.Unreachable, OSError)
    return (*own, *standalone, *kit)


def _lab_name(_ctx: click.Context, _option: click.Parameter, name: str) -> str:
    """Before anything is locked or looked for by it: a name is a part of paths, and an empty one of none."""
    try:
        return spec.check_name(name)
    except SpecError as error:
        raise click.ClickException(str(error)) from error


NAME = click.option(
    "--name", "lab", default=names.DEFAULT_LAB, show_default=True, callback=_lab_name, help="Which lab."
)


class Commands(click.Group):
    """Commands, and what users of kind, k3s and minikube call some of them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, else the one that the word stands for here."""
        found = (super(Commands, self).get_command(ctx, name) for name in meant(cmd_name))
        return next((command for command in found if command is not None), None)


def meant(word: str) -> tuple[str, ...]:
    """The command of that name, then those that the word may stand for."""
    return (word, *_WORDS.get(word, ()))


_WORDS = {"delete": ("down", "remove"), "ls": ("list",), "list": ("ls",), "rm": ("remove",)}


class Interrupted(click.ClickException):
    """Ctrl-C."""

    exit_code = 130


OUTPUT = click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work; what can be expected to go wrong is told in a line, not in a traceback."""
    try:
        return asyncio.run(_alone(work))
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        raise click.ClickException(_told(error)) from error
    except KeyboardInterrupt:
        # Whoever asks once more, while threads finish what they began, is not made to wait.
        signal.signal(signal.SIGINT, lambda *_: os._exit(Interrupted.exit_code))
        raise Interrupted("interrupted; run the same command again to go on") from None


def _told(error: Exception) -> str:
    """What went wrong; where it is a full disk, with what helps."""
    helps = ": free some space on that disk and run the same command again" if room.is_full(error) else ""
    return f"{error}{helps}"


async def _alone(work: Coroutine[Any, Any, Any]) -> Any:
    """What is still under way when the work fails or is interrupted ends unheard: the first error is the one told."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    return await work


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


def running(lab: str) -> tuple[Paths, Spec]:
    """The lab of that name, or an error that tells how to switch it on."""
    from lab import status

    paths, chosen = existing(lab)
    try:
        status.require_running(chosen)
    except SpecError as error:
        raise click.ClickException(str(error)) from error
    return paths, chosen


def with_node(lab: str, name: str) -> tuple[Paths, Spec, Node]:
    """The running lab and its node of that name, or an error that lists those there are."""
    paths, chosen = running(lab)
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
