"""The composition of cluster DNS: addresses on the loopback device, sockets, resolver."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Iterable

from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.netlink import Netlink, events, routes
from netproxy.dns.directory import Directory, Key
from netproxy.dns.forward import Forwarder
from netproxy.dns.records import Zone
from netproxy.dns.server import Resolver, TcpServer, UdpServer
from netproxy.dns.settings import Dns, server_of

log = logging.getLogger(__name__)
_BIND_AGAIN = 1.0
_BUFFER = 4 << 20
"""bytes of queries that may wait while the loop is at other work, and of answers that nobody has fetched yet"""
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


class ClusterDns:
    """Feed `directory` from informers, then `start`."""

    def __init__(self, settings: Dns, ranges: Iterable[str]) -> None:
        """`ranges`: CIDRs of Services and pods, whose reverse names nobody else knows."""
        self._settings = settings
        networks = tuple(map(ipaddress.ip_network, ranges))
        zone = Zone(settings.domain, settings.addresses or settings.listen, networks)
        own = frozenset((*settings.addresses, *settings.listen))
        stubs = {domain: tuple(map(server_of, servers)) for domain, servers in settings.stub_domains.items()}
        self._forwarder = Forwarder(tuple(map(server_of, settings.upstreams)), settings.resolv_conf, stubs, own)
        self.directory = Directory(self._changed)
        self._resolver = Resolver(self.directory, zone, self._forwarder)

    def start(self, lifecycle: Lifecycle) -> None:
        """Answer as soon as the addresses can be had: others' names at once, the cluster's when all are known."""
        for address in self._settings.addresses:
            lifecycle.spawn(f"DNS address {address}", keep_address(address))
        for address in (*self._settings.addresses, *self._settings.listen):
            lifecycle.spawn(f"DNS at {address}", self._serve(address, lifecycle))
        lifecycle.spawn("DNS loop probe", self._forwarder.probe())

    def known(self) -> None:
        """The directory now holds the whole cluster."""
        self._resolver.complete = True

    def _changed(self, service: Key) -> None:
        self._resolver.changed(service)

    async def _serve(self, address: str, lifecycle: Lifecycle) -> None:
        complained = False
        while True:
            try:
                await self._listen(address, lifecycle)
                return
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL and not complained:
                    log.error("DNS cannot listen on %s port %d: %s", address, self._settings.port, error.strerror)
                    complained = True
                await asyncio.sleep(0.05 if error.errno == errno.EADDRNOTAVAIL else _BIND_AGAIN)

    async def _listen(self, address: str, lifecycle: Lifecycle) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.ExitStack() as opened:
            udp = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            tcp = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
                with contextlib.suppress(OSError):
                    udp.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for each in (udp, tcp):
                each.bind((address, self._settings.port))
                each.setblocking(False)
            opened.pop_all()
        datagrams = UdpServer(self._resolver, udp)
        datagrams.open()
        server = await asyncio.start_server(TcpServer(self._resolver).serve, sock=tcp)

        async def close() -> None:
            datagrams.close()
            server.close()

        lifecycle.push(f"DNS at {address}", close)
        log.info("cluster DNS answers for %s at %s port %d", self._settings.domain, address, self._settings.port)


async def keep_address(address: str) -> None:
    """Have the address on the loopback device, for ever: whatever the rules are, this host answers for it.

    It only answers: masquerading takes the first address it finds where a device has none to choose (a tunnel's), and
    loopback is the first device. Answers to this one would stay on the other node.
    """
    with (
        Netlink() as kernel,
        contextlib.closing(
            events.subscribe(socket.NETLINK_ROUTE, (events.Group.IPV4_ADDRESS, events.Group.IPV6_ADDRESS))
        ) as listening,
    ):
        index = kernel.index("lo")
        wanted = ipaddress.ip_interface(address)
        kernel.do(routes.add_address(index, wanted, answering_only=True))
        async for messages in events.changes(listening):
            if messages is None or any(message.type == routes.RTM_DELADDR for message in messages):
                kernel.do(routes.add_address(index, wanted, answering_only=True))


def forget_addresses(settings: Dns) -> None:
    """Take the addresses away, when the host is to be as before."""
    with Netlink() as kernel:
        index = kernel.index("lo")
        present = {found.interface for found in kernel.addresses(index)}
        for address in map(ipaddress.ip_interface, settings.addresses):
            if address in present:
                kernel.do(routes.delete_address(index, address))
