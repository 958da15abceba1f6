"""Requests about routing rules (ip-rule(8)): which packets look into which routing table first. Pure.

Only rules of one shape are made and read: from a network, and perhaps with a mark, look into a table. Source:
linux/fib_rules.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.routes import Network, family_of
from apimachinery.kit.netlink.wire import NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Reply, Request

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
_SRC, _PRIORITY, _MARK, _TABLE, _MASK, _PROTOCOL = 2, 6, 10, 15, 16, 21
_TO_TABLE = 1
_HEAD = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True)
class Rule:
    """Packets from `source` look into `table`, before rules of a higher `priority`. `protocol`: who made it, as a
    route's. `mark`: only those that carry all of its bits; 0: any."""

    source: Network
    table: int
    priority: int
    protocol: int
    mark: int = 0


def add(rule: Rule) -> Request:
    return Request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _rule(rule), f"add {_words(rule)}", (errno.EEXIST,))


def delete(rule: Rule) -> Request:
    return Request(RTM_DELRULE, 0, _rule(rule), f"delete {_words(rule)}", (errno.ENOENT,))


def dump() -> Request:
    return Request(RTM_GETRULE, NLM_F_DUMP, _HEAD.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "list routing rules")


def parse(reply: Reply) -> Rule | None:
    """None for rules without a source network, and of families other than IPv4 and IPv6."""
    family, _, width, _, table, _, _, action, _ = _HEAD.unpack_from(reply.payload)
    found = wire.attributes(reply.payload, _HEAD.size)
    if family not in (socket.AF_INET, socket.AF_INET6) or action != _TO_TABLE or _SRC not in found:
        return None
    return Rule(
        source=ipaddress.ip_network((found[_SRC], width)),
        table=wire.as_int(found[_TABLE]) if _TABLE in found else table,
        priority=wire.as_int(found.get(_PRIORITY, b"\0")),
        protocol=wire.as_int(found.get(_PROTOCOL, b"\0")),
        mark=wire.as_int(found.get(_MARK, b"\0")),
    )


def _rule(rule: Rule) -> bytes:
    family = family_of(rule.source.version)
    head = _HEAD.pack(family, 0, rule.source.prefixlen, 0, rule.table & 0xFF, 0, 0, _TO_TABLE, 0)
    source = wire.attribute(_SRC, rule.source.network_address.packed)
    numbers = wire.u32(_TABLE, rule.table) + wire.u32(_PRIORITY, rule.priority)
    mark = wire.u32(_MARK, rule.mark) + wire.u32(_MASK, rule.mark) if rule.mark else b""
    return head + source + numbers + mark + wire.u8(_PROTOCOL, rule.protocol)


def _words(rule: Rule) -> str:
    marked = f" and marked {rule.mark:#x}" if rule.mark else ""
    return f"rule {rule.priority}: from {rule.source}{marked} look into table {rule.table}"
