"""`test`."""

from __future__ import annotations

import sys

import click

from lab.commands.base import root, run
from lab.testing import plan
from lab.testing.run import run as run_tests


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--tier", "tiers", type=click.Choice(plan.TIERS), multiple=True, help="Only this tier; repeatable.")
@click.option("--vm", is_flag=True, help="The emulated machines' tests, and no others: minutes, and needs qemu.")
@click.option("--no-lint", is_flag=True, help="Leave ruff and mypy out.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), help="Runs at once; default: three more than processors.")
@click.argument("arguments", nargs=-1, metavar="[PYTEST ARGUMENTS...]")
def test(tiers: tuple[str, ...], vm: bool, no_lint: bool, jobs: int | None, arguments: tuple[str, ...]) -> None:
    """Run the linters and all tests but the emulated machines', side by side. Leaves nothing behind.

    Each run of tests has a network, processes, cgroups, mounts and temporary directories of its own: no lab or
    containerd that runs here is touched. Files and directories among the arguments choose which tests run.

    \b
    Examples:
      sudo ./wherry test
      sudo ./wherry test --vm
      sudo ./wherry test --tier cluster --no-lint -k rollout
      sudo ./wherry test --no-lint tests/cni
    """
    root()
    wanted = (plan.EMULATED,) if vm else tiers or plan.TIERS
    passed = run(run_tests(wanted, arguments, lint=not no_lint, jobs=jobs or 0))
    sys.exit(0 if passed else 1)
