"""The first lines of every daemon's life: settings, logs, then the loop; a bad setting is told in one line."""

from __future__ import annotations

import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from apimachinery.kit import logs, settings
from apimachinery.kit.lifecycle import Lifecycle, run_daemon

T = TypeVar("T")


def begin(name: str, kind: type[T], config: Path | None, **overrides: object) -> T:
    """The settings of `kind` (`settings.load` says how they are read), logs set up for `name`.

    Logs go by the settings' `log_level`, "info" where they have none. A setting that cannot be used ends the
    process with status 1 and the reason on stderr.
    """
    try:
        loaded = settings.load(kind, config, **overrides)
        logs.setup(name, getattr(loaded, "log_level", "info"))
    except (settings.SettingsError, ValueError) as error:
        sys.exit(f"Error: {error}")
    return loaded


def run(loaded: T, build: Callable[[T, Lifecycle], Awaitable[object]]) -> NoReturn:
    """Live as `build` composes it, until told to stop; ends the process with the daemon's exit status."""

    async def start(lifecycle: Lifecycle) -> None:
        await build(loaded, lifecycle)

    raise_file_limit()
    sys.exit(run_daemon(start))


def raise_file_limit() -> None:
    """As many open files as this process may have: each connection is one. Go's programs do so, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
