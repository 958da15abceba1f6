"""What every way of writing rules offers, and the one list of those there are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from netproxy.ground import Ground
from netproxy.ipvs.options import Options as IpvsOptions
from netproxy.model import PortKey, Route

log = logging.getLogger(__name__)
AUTO = "auto"
"""the name of no mode, but of a choice among them"""


class Mode(Protocol):
    """Owns one kind of kernel rules. After a failed call the caller must `rebuild` before anything else."""

    name: str
    min_sync_seconds: float
    """pause between two writes; the first change after quiet never waits"""

    async def open(self) -> None:
        """Handles to what the host has; changes nothing. Raises with a text that says what is missing."""

    async def prepare(self) -> None:
        """Make this host ready (modules, devices, settings); raises with a text that says what cannot be had."""

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        """Make the kernel's rules exactly these, without a moment in which an unchanged route does not
        work."""

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        """Apply differences; None for a route that is gone."""

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        """Call `on_lost` whenever a stranger changed our rules and all must be written, `on_mended` when that was
        mended already; runs for ever."""

    async def cleanup(self, patience: float = 0.0) -> None:
        """Remove everything this mode ever wrote; nothing need exist, nor be open. Connections that end with it get
        `patience` seconds to end by themselves."""

    async def tidy(self) -> None:
        """Remove what this mode wrote in ways it does not use any more; what is in force stays."""

    def close(self) -> None:
        """Give up handles; rules stay."""


@dataclass(frozen=True)
class Options:
    """What some mode alone asks for."""

    iptables_backend: str = ""
    """nft or legacy; empty: what the host's iptables command is"""
    ipvs: IpvsOptions = field(default_factory=IpvsOptions)


Builder = Callable[[tuple[Ground, ...], Path | None, Options], Mode]


def _nftables(grounds: tuple[Ground, ...], netns: Path | None, _: Options) -> Mode:
    from netproxy.nftables.apply import NftablesMode

    return NftablesMode(grounds, netns)


def _ipvs(grounds: tuple[Ground, ...], netns: Path | None, asked: Options) -> Mode:
    from netproxy.ipvs.apply import IpvsMode

    return IpvsMode(grounds, netns, asked.iptables_backend, asked.ipvs)


def _iptables(grounds: tuple[Ground, ...], netns: Path | None, asked: Options) -> Mode:
    from netproxy.standin import StoodInFor

    return StoodInFor(grounds, netns, asked.iptables_backend)


def _userspace(grounds: tuple[Ground, ...], netns: Path | None, _: Options) -> Mode:
    from netproxy.userspace.apply import UserspaceMode

    return UserspaceMode(grounds, netns)


# A mode is loaded by who builds it: others only ask for the names.
MODES: tuple[tuple[str, Builder], ...] = (
    ("nftables", _nftables),
    ("ipvs", _ipvs),
    ("iptables", _iptables),
    ("userspace", _userspace),
)


def mode_names() -> tuple[str, ...]:
    """In order of preference."""
    return tuple(name for name, _ in MODES)


def choices() -> tuple[str, ...]:
    """What may be asked for."""
    return (*mode_names(), AUTO)


def make(
    name: str,
    grounds: tuple[Ground, ...],
    netns: Path | None = None,
    options: Options = Options(),
) -> Mode:
    """The mode called `name`, working in the namespace `netns`; raises ValueError with the known names."""
    for known, build in MODES:
        if known == name:
            return build(grounds, netns, options)
    raise ValueError(f"unknown proxy mode {name!r}; choose one of {', '.join(mode_names())}")


async def begin(
    name: str,
    grounds: tuple[Ground, ...],
    netns: Path | None = None,
    options: Options = Options(),
) -> Mode:
    """The mode called `name`, ready for its first rebuild; raises what it lacks. For `auto` the first in order of
    preference that this kernel can do, and the log says which and why."""
    if name != AUTO:
        return await _ready(make(name, grounds, netns, options))
    for known, _ in MODES:
        try:
            mode = await _ready(make(known, grounds, netns, options))
        except Exception as error:
            # Whatever it is that this mode lacks, the next may have it.
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            log.info("mode auto: not %s: %s", known, reason)
        else:
            log.info("mode auto: %s, the best of %s that this host can do", known, ", ".join(mode_names()))
            return mode
    raise RuntimeError("mode auto: no mode works on this host; the log says why of each")


async def _ready(mode: Mode) -> Mode:
    try:
        await mode.open()
        await mode.prepare()
    except BaseException:
        # What stays of it goes as other modes' leftovers do.
        mode.close()
        raise
    return mode
