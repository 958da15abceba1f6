"""Notifications: what the kernel tells of changes to links, addresses, routes and settings, whoever made them.

A socket joins multicast groups; its datagrams hold the same messages as the answers to requests. Nothing is received
between changes, so listening costs nothing while the network is quiet. Sources: rtnetlink(7), linux/rtnetlink.h
(RTNLGRP_*), linux/netconf.h.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from enum import IntEnum

from apimachinery.kit import netns
from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.wire import Reply

_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 26, 33, 270, 1
_DATAGRAM = 1 << 17
RTM_NEWNETCONF = 80
NETCONFA_IFINDEX, NETCONFA_FORWARDING = 1, 2
# The index under which the kernel tells of `net.ipv4.conf.all`.
ALL_LINKS = -1


class Group(IntEnum):
    """Multicast groups of route netlink (RTNLGRP_*)."""

    LINK = 1
    NEIGHBOUR = 3
    """neighbours and forwarding entries, of every link"""
    IPV4_ADDRESS = 5
    IPV4_ROUTE = 7
    IPV4_RULE = 8
    IPV6_ADDRESS = 9
    IPV6_ROUTE = 11
    IPV6_RULE = 19
    IPV4_SETTINGS = 24
    """forwarding, rp_filter and the like, of all links and of each"""
    IPV6_SETTINGS = 25


# Neighbours change with every packet that has to be resolved: only who keeps some asks for them.
EVERYTHING = tuple(group for group in Group if group is not Group.NEIGHBOUR)


def subscribe(
    protocol: int, groups: Iterable[int], namespace: netns.Namespace | None = None, buffer: int = 1 << 23
) -> socket.socket:
    """A non-blocking netlink socket of the namespace (None: this thread's) that receives the groups' notifications.

    `buffer`: bytes that may wait to be read before the kernel drops some (`receive` tells of it).
    """
    arguments = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    handle = socket.socket(*arguments) if namespace is None else netns.open_socket(namespace, *arguments)
    try:
        with contextlib.suppress(OSError):
            handle.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        handle.bind((0, 0))
        for group in groups:
            handle.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, int(group))
        handle.setblocking(False)
    except OSError:
        handle.close()
        raise
    return handle


def leave_out(events: socket.socket, port: int) -> None:
    """Receive nothing any more that was done through the socket with this port, as `getsockname` tells it: the kernel
    puts it into what it tells, and drops that for this socket alone. Raises OSError. Source: socket(7), bpf(2)."""
    # The word at 12 of the first message is the port; it is read in network order.
    mine = int.from_bytes(struct.pack("=I", port), "big")
    load, equal, answer = 0x20, 0x15, 0x06
    steps = ((load, 0, 0, 12), (equal, 0, 1, mine), (answer, 0, 0, 0), (answer, 0, 0, 0xFFFFFFFF))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    events.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(steps), ctypes.addressof(program)))


def receive(events: socket.socket) -> bytes | None:
    """The next datagram that waits; None where the kernel dropped notifications; BlockingIOError: none waits."""
    try:
        return events.recv(_DATAGRAM)
    except BlockingIOError:
        raise
    except OSError:
        # ENOBUFS: too much changed at once.
        return None


def forwarding_of(message: Reply) -> int | None:
    """The index of the link whose forwarding an RTM_NEWNETCONF tells (ALL_LINKS: the switch of all); None: of none."""
    found = wire.attributes(message.payload, 4)
    index = found.get(NETCONFA_IFINDEX)
    return None if index is None or NETCONFA_FORWARDING not in found else int.from_bytes(index, "little", signed=True)


def discard(events: socket.socket) -> None:
    """Forget every datagram that waits."""
    with contextlib.suppress(BlockingIOError):
        while True:
            receive(events)


async def readable(events: socket.socket) -> None:
    """Return when a datagram, or the news that some were dropped, waits."""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    def ready() -> None:
        loop.remove_reader(events.fileno())
        if not arrived.done():
            arrived.set_result(None)

    loop.add_reader(events.fileno(), ready)
    try:
        await arrived
    finally:
        if events.fileno() >= 0:
            loop.remove_reader(events.fileno())


async def changes(events: socket.socket) -> AsyncIterator[tuple[Reply, ...] | None]:
    """Messages of route netlink as they come, one datagram at a time; None where some were dropped."""
    while True:
        await readable(events)
        with contextlib.suppress(BlockingIOError):
            while True:
                data = receive(events)
                yield None if data is None else tuple(wire.replies(data))
