"""What of a machine decides whether it will do: addresses, default routes, swap, firewall, clock."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.node import facts as machine
from apimachinery.kit.netlink import Netlink

ASK_SECONDS = 10.0
_FIREWALLS = {"firewalld": Path("/run/firewalld"), "ufw": Path("/etc/ufw/ufw.conf")}


@dataclass(frozen=True)
class Link:
    """A network interface. `mtu` in bytes."""

    name: str
    mtu: int
    addresses: tuple[ipaddress.IPv4Interface, ...] = ()


@dataclass(frozen=True)
class Facts:
    """A machine, as far as preflight asks. `memory` in bytes."""

    links: tuple[Link, ...] = ()
    default_routes: tuple[str, ...] = ()
    """Interfaces by name."""
    swap: bool = False
    memory: int = 0
    firewall: str = ""
    """The one that is on, or nothing."""


@dataclass(frozen=True)
class Answer:
    """What an API server says to a stranger. `clock_ahead`: by how many seconds this machine's clock is ahead of its
    own; `problem`: why it said nothing.
    """

    clock_ahead: float = 0.0
    problem: str = ""


def read(root: Path = Path("/")) -> Facts:
    """This machine. OSError where the kernel does not say."""
    with Netlink() as kernel:
        links, addresses, routes = kernel.links(), kernel.addresses(), kernel.routes(4)
    names = {link.index: link.name for link in links}
    memory = machine.parse_meminfo((root / "proc/meminfo").read_text(encoding="ascii"))
    return Facts(
        links=tuple(
            Link(
                link.name,
                link.mtu,
                tuple(
                    each.interface
                    for each in addresses
                    if each.index == link.index and isinstance(each.interface, ipaddress.IPv4Interface)
                ),
            )
            for link in links
        ),
        default_routes=tuple(names.get(each.link, "") for each in routes if each.destination.prefixlen == 0),
        swap=memory.get("SwapTotal", 0) > 0,
        memory=memory.get("MemTotal", 0),
        firewall=next((name for name, path in _FIREWALLS.items() if _on(path)), ""),
    )


def _on(path: Path) -> bool:
    if path.suffix != ".conf":
        return path.exists()
    return path.exists() and "ENABLED=yes" in path.read_text(encoding="utf-8", errors="replace").splitlines()


async def ask(url: str) -> Answer:
    """Ask the API server at `url` for its time; it is not believed by this, and nothing secret is sent."""
    parts = urlsplit(url)
    try:
        return Answer(clock_ahead=await asyncio.wait_for(_clock(parts.hostname or "", parts.port or 443), ASK_SECONDS))
    except asyncio.TimeoutError:
        return Answer(problem=f"no answer within {ASK_SECONDS:.0f} s")
    except OSError as error:
        return Answer(
            problem=os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else str(error)
        )


async def _clock(host: str, port: int) -> float:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(f"GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "date":
                return time.time() - email.utils.parsedate_to_datetime(value.strip()).timestamp()
    except ValueError as error:
        raise OSError(f"what answers speaks no HTTP: {error}") from error
    finally:
        writer.close()
    # Nobody who answers so has a clock to compare with.
    return 0.0
