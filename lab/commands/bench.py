"""`wherry bench`: becomes `python -m benchmarks`, for the lab may not know the benchmarks."""

from __future__ import annotations

import os
import sys

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND [OPTIONS]...")
def bench(words: tuple[str, ...]) -> None:
    """Measure, beside a floor or a peer in the same run.

    \b
    Example:
      sudo ./wherry bench pods --count 5
      ./wherry bench --help
    """
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *words])
