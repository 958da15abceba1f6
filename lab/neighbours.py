"""Room for neighbours (whom a link reaches by which MAC): the kernel keeps one table of them for all network namespaces
together, 1,024 for each version of IP unless told otherwise.

That is enough for one node. Several nodes on one machine, each with its pods, come near it: a pod that talks to every
pod beside it needs one for each, of IPv6 two. When the table is full, packets to whoever is not in it are dropped in
silence, or sending fails with EINVAL. Only the machine's first namespace has these settings.

Sources: arp(7), Linux Documentation/networking/ip-sysctl.rst (neigh/default/gc_thresh1..3).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.files import write_atomic
from lab import paths

WANTED: Mapping[str, int] = {
    f"net.{family}.neigh.default.gc_thresh{number}": value
    for family in ("ipv4", "ipv6")
    # Kept without asking, swept after 5 s above this, and the most there may be; at most 32 MB.
    for number, value in ((1, 8192), (2, 32768), (3, 65536))
}
"""The least for several nodes, by the setting's name; `vagrant/files/sysctl.conf` says the same."""


def of_labs() -> Path:
    """Where labs keep the limits that they found; like these it is gone when the machine is started anew."""
    return paths.RUN / "neighbours.json"


def of_tests() -> Path:
    """Where test runs keep them."""
    return paths.RUN.with_name("wherry-tests.neighbours.json")


def limits() -> dict[str, int]:
    """What holds now, by the setting's name; without those that this namespace does not show."""
    found = {}
    for name in WANTED:
        with contextlib.suppress(OSError):
            found[name] = int(netns.read_sysctl(None, name))
    return found


def make_room(memory: Path) -> None:
    """Raise what is lower than wanted, and keep in `memory` what was before, unless that is there from the first time.
    Where these settings are not ours to change, or nothing can be kept, they stay.
    """
    before = limits()
    try:
        if not memory.exists():
            write_atomic(memory, json.dumps(before).encode())
    except OSError:
        return
    _write({name: WANTED[name] for name, value in before.items() if value < WANTED[name]})


def put_back(memory: Path, other: Path) -> None:
    """Set what `memory` keeps, and forget it. One that is damaged leaves the machine as it is. While there is the
    `other` memory, of who needs the room still, that one keeps it from then on: who comes second has found no more than
    what the first had raised.
    """
    before = _kept(memory)
    if before and other.exists():
        theirs = _kept(other)
        merged = {name: min(each[name] for each in (before, theirs) if name in each) for name in before | theirs}
        write_atomic(other, json.dumps(merged).encode())
    else:
        _write(before)
    memory.unlink(missing_ok=True)


def _kept(memory: Path) -> dict[str, int]:
    with contextlib.suppress(FileNotFoundError, ValueError, AttributeError, TypeError):
        before = json.loads(memory.read_text(encoding="ascii"))
        return {name: int(value) for name, value in before.items() if name in WANTED}
    return {}


def _write(values: Mapping[str, int]) -> None:
    for name, value in values.items():
        # A container's settings can often only be read.
        with contextlib.suppress(OSError):
            netns.write_sysctl(None, name, value)
