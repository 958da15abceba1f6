"""What every way of writing rules offers, and the one list of those there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from netproxy.ground import Ground
from netproxy.model import PortKey, Route
from netproxy.nftables.apply import NftablesMode
from netproxy.standin import StoodInFor


class Mode(Protocol):
    """Owns one kind of kernel rules. After a failed call the caller must `rebuild` before anything else."""

    name: str
    min_sync_seconds: float
    """pause between two writes; the first change after quiet never waits"""

    async def open(self) -> None:
        """Check what the mode needs; raises with a text that says what is missing."""

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        """Make the kernel's rules exactly these, without a moment in which an unchanged route does not
        work."""

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        """Apply differences; None for a route that is gone."""

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        """Call `on_lost` whenever a stranger changed our rules and all must be written, `on_mended` when that was
        mended already; runs for ever."""

    async def cleanup(self) -> None:
        """Remove everything this mode ever wrote; nothing need exist."""

    async def tidy(self) -> None:
        """Remove what this mode wrote in ways it does not use any more; what is in force stays."""

    def close(self) -> None:
        """Give up handles; rules stay."""


Builder = Callable[[tuple[Ground, ...], Path | None, str], Mode]

MODES: tuple[tuple[str, Builder], ...] = (
    ("nftables", lambda grounds, netns, _backend: NftablesMode(grounds, netns)),
    ("iptables", StoodInFor),
)


def mode_names() -> tuple[str, ...]:
    """In order of preference."""
    return tuple(name for name, _ in MODES)


def make(name: str, grounds: tuple[Ground, ...], netns: Path | None = None, iptables_backend: str = "") -> Mode:
    """The mode called `name`, working in the namespace `netns`; raises ValueError with the known names."""
    for known, build in MODES:
        if known == name:
            return build(grounds, netns, iptables_backend)
    raise ValueError(f"unknown proxy mode {name!r}; choose one of {', '.join(mode_names())}")
