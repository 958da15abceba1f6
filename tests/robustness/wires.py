"""A network namespace for each server and member, all on one switch, where any of them can be cut off from others by a
rule that drops their packets, as a broken network does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink, links, routes
from apimachinery.kit.netlink.links import End
from tests.etcds import Home

# A range for documentation (RFC 5737): nobody is reached by it.
_NETWORK, _SWITCH = "198.51.100", 254
_TABLE = "wht-cut"
_SECONDS = 10.0


@dataclass(frozen=True)
class Wired(Home):
    """A home that has a network namespace."""

    namespace: Path = field(default=Path())

    async def cut_off(self, others: Iterable[Home]) -> None:
        """Nothing passes to or from the others until it is healed."""
        addresses = ", ".join(other.address for other in others)
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; ip {side} {{ {addresses} }} drop; }}\n"
            for hook, side in (("input", "saddr"), ("output", "daddr"))
        )
        await self._nft(f"table ip {_TABLE} {{\n{chains}}}")

    async def heal(self) -> None:
        await self._nft(f"delete table ip {_TABLE}")

    async def _nft(self, text: str) -> None:
        await command.run([*self.enter, "nft", "-f", "-"], stdin=text.encode(), timeout=_SECONDS)


@contextmanager
def wired(count: int) -> Iterator[list[Wired]]:
    """So many homes on a switch at which this process is, too. Needs root; all of it is gone afterwards."""
    switch, stem = f"whtsw{os.getpid()}"[:15], f"whtrob{os.getpid()}n"
    made: list[str] = []
    try:
        with Netlink() as here:
            here.do(links.add_bridge(End(switch)))
            here.do(routes.add_address(here.index(switch), ip_interface(f"{_NETWORK}.{_SWITCH}/24")))
            homes = []
            for number in range(1, count + 1):
                made.append(f"{stem}{number}")
                homes.append(_home(netns.create(made[-1]), number, here, switch))
        yield homes
    finally:
        for name in made:
            netns.delete(name)
        with contextlib.suppress(OSError), Netlink() as here:
            here.do(links.delete(switch))


def _home(namespace: Path, number: int, here: Netlink, switch: str) -> Wired:
    address = f"{_NETWORK}.{number}"
    with namespace.open("rb") as inside, Netlink(namespace) as there:
        near = End(f"whtp{os.getpid()}x{number}"[-15:], master=here.index(switch))
        here.do(links.add_veth(near, End("eth0", namespace=inside.fileno())))
        there.do(links.change("lo", up=True), links.change("eth0", up=True))
        there.do(routes.add_address(there.index("eth0"), ip_interface(f"{address}/24")))
    return Wired(address, ("nsenter", f"--net={namespace}", "--"), namespace)
