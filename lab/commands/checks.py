"""``test``."""

from __future__ import annotations

import sys

import click

from lab import testing
from lab.commands.base import root, run


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--tier", "tiers", type=click.Choice(testing.TIERS), multiple=True, help="Only this tier; repeatable.")
@click.option("--no-lint", is_flag=True, help="Leave ruff and mypy out.")
@click.argument("arguments", nargs=-1, metavar="[PYTEST ARGUMENTS...]")
def test(tiers: tuple[str, ...], no_lint: bool, arguments: tuple[str, ...]) -> None:
    """Run the linters and all tests but the emulated machines'. Leaves nothing behind.

    \b
    Examples:
      sudo ./wherry test
      sudo ./wherry test --tier cluster --no-lint -k rollout
    """
    root()
    passed = run(testing.run(tiers or testing.TIERS, arguments, lint=not no_lint))
    sys.exit(0 if passed else 1)
