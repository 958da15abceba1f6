"""Kernel settings without which routed pod traffic is dropped or bypasses Service rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from apimachinery.kit import netns

FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
# A pod that reaches a pod of its own node through a Service is answered across the bridge: only with these does the
# answer pass the connection tracking that undoes the address translation.
BRIDGE_FILTER = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
# Where a host checks packets' way back, marks count, too: answers to what left masqueraded come in without the device
# by which pods' own packets go to nodes (overlay.DIRECT_MARK).
MARKED_WAY_BACK = "net.ipv4.conf.all.src_valid_mark"
# The kernel notifies of forwarding, but not of these, and inotify does not work on /proc/sys: two short reads are the
# cheapest way to see a change within a second.
LOOK_SECONDS = 0.5


def names(node: bool, links: Iterable[str] = (), steered: bool = False) -> tuple[str, ...]:
    """What must be 1. `links`: interfaces that forward pods' packets; their own switches count, too. `steered`: what
    pods send to nodes goes by a device."""
    own = (f"net.{ip}.conf.{link.replace('.', '/')}.forwarding" for link in links for ip in ("ipv4", "ipv6"))
    return (*FORWARDING, *(BRIDGE_FILTER if node else ()), *([MARKED_WAY_BACK] if steered else []), *own)


def keep(wanted: Iterable[str]) -> set[str]:
    """Make them 1; what went wrong, in words. Writes only what differs."""
    problems = set()
    for name in wanted:
        try:
            netns.write_sysctl(None, name, 1)
        except FileNotFoundError:
            # A link can be gone at any time; without IPv6 its half is missing.
            if name in FORWARDING[:1] or name in BRIDGE_FILTER:
                problems.add(f"cannot set {name}: the kernel lacks it{_HINT.get(name, '')}")
        except OSError as problem:
            problems.add(f"cannot set {name}: {problem.strerror}")
    return problems


_HINT = dict.fromkeys(BRIDGE_FILTER, " (load the module br_netfilter)")


async def watch_bridge_filter(on_lost: Callable[[], None]) -> None:
    """Call `on_lost` when the switch was turned off; runs for ever."""
    paths = [Path("/proc/sys") / name.replace(".", "/") for name in BRIDGE_FILTER]
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if any(_is_off(path) for path in paths):
            on_lost()


def _is_off(path: Path) -> bool:
    try:
        return path.read_bytes() == b"0\n"
    except OSError:
        return False
