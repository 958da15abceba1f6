"""The one canonical form of an Endpoints' subsets, however they were written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.objects import Obj, dumps

# Addresses in one Endpoints, and in one subset that is mirrored (upstream's limits).
FULL = 1000
_NO_PORT = b""


def repacked(subsets: Iterable[Obj]) -> list[Obj]:
    """Each address and port once: ports with the same addresses share a subset. An address that is not ready for a port
    in any of the subsets is not ready.
    """
    ports: dict[bytes, Obj] = {}
    ready: dict[bytes, dict[Any, bool]] = {}
    addresses: dict[Any, Obj] = {}
    for subset in subsets:
        listed: list[Obj] = subset.get("ports") or [{}]
        for port in listed:
            which = dumps(sorted(port.items())) if port else _NO_PORT
            ports[which] = port
            for field, is_ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(field) or ():
                    addresses.setdefault(_identity(address), address)
                    known = ready.setdefault(which, {})
                    known[_identity(address)] = is_ready and known.get(_identity(address), True)
    groups: dict[frozenset[tuple[Any, bool]], list[Obj]] = {}
    for which, known in ready.items():
        groups.setdefault(frozenset(known.items()), []).extend([ports[which]] if ports[which] else [])
    return sorted((_subset(group, found, addresses) for group, found in groups.items()), key=dumps)


def _identity(address: Obj) -> tuple[str, str]:
    return str(address.get("ip")), str((address.get("targetRef") or {}).get("uid") or "")


def _subset(group: Iterable[tuple[Any, bool]], ports: list[Obj], addresses: dict[Any, Obj]) -> Obj:
    result: Obj = {}
    for field, wanted in (("addresses", True), ("notReadyAddresses", False)):
        found = sorted(which for which, is_ready in group if is_ready is wanted)
        if found:
            result[field] = [addresses[which] for which in found]
    if ports:
        result["ports"] = sorted(ports, key=lambda p: (p.get("name") or "", p.get("port") or 0, dumps(p)))
    return result


def truncated(subsets: list[Obj]) -> list[Obj]:
    """At most FULL addresses: ready ones first, each subset losing its share."""
    ready = sum(len(s.get("addresses") or ()) for s in subsets)
    waiting = sum(len(s.get("notReadyAddresses") or ()) for s in subsets)
    if ready + waiting <= FULL:
        return subsets
    field, total, room = ("addresses", ready, FULL) if ready > FULL else ("notReadyAddresses", waiting, FULL - ready)
    left, result = room, []
    for subset in subsets:
        found = subset.get(field) or []
        kept = found[: min(left, -(-len(found) * room // total))]
        left -= len(kept)
        rest = {k: v for k, v in subset.items() if k not in (field, "notReadyAddresses")}
        result.append({**rest, field: kept} if kept else rest)
    return result
