"""Somebody on a lab's bridge who is none of its nodes: what the neighbours of a cluster see of it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, links, routes
from lab import names
from lab.spec import Spec, ranges

LINK = "whtoutsider"


@dataclass(frozen=True)
class Outsider:
    """Its network namespace."""

    namespace: Path

    def ask(self, address: str, port: int = 80, request: bytes = b"") -> str:
        """What the other end says before it closes; "" when nobody is there."""
        with closing(netns.open_socket(self.namespace, socket.AF_INET, socket.SOCK_STREAM)) as wire:
            wire.settimeout(1)
            try:
                wire.connect((address, port))
                wire.sendall(request)
                return b"".join(iter(lambda: wire.recv(4096), b"")).decode()
            except OSError:
                return ""

    def fetch(self, address: str, port: int = 80) -> str:
        """The body of GET /, or ""."""
        head, _, body = self.ask(address, port, b"GET / HTTP/1.0\r\n\r\n").partition("\r\n\r\n")
        return body.strip() if " 200 " in head.partition("\r\n")[0] else ""

    def neighbour(self, address: str) -> str:
        """The link address by which it sends to a neighbour; "" while it knows none."""
        family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
        with closing(netns.open_socket(self.namespace, family, socket.SOCK_DGRAM)) as wire:
            wire.sendto(b"x", (address, 9))
        with Netlink(self.namespace) as inside:
            return next((n.mac for n in inside.neighbours() if str(n.address) == address), "")


@contextmanager
def outsider(spec: Spec) -> Iterator[Outsider]:
    """Plugged into the bridge of a lab that is there, with the fifth address of each of its nodes' ranges."""
    own = [ipaddress.ip_interface(f"{network[5]}/{network.prefixlen}") for network in ranges(spec.node_cidr)]
    name = names.namespace(spec.name, "outsider")
    path = netns.create(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with Netlink() as host, Netlink(path) as inside:
            bridge = host.index(names.bridge(spec.name))
            host.do(links.add_veth(End(LINK, master=bridge), End("eth0", namespace=descriptor)))
            inside.do(
                links.change("eth0", up=True),
                *(routes.add_address(inside.index("eth0"), each) for each in own),
            )
        os.close(descriptor)
        yield Outsider(path)
    finally:
        with Netlink() as host:
            host.do(links.delete(LINK))
        netns.delete(name)
