"""Which zone or node an endpoint is meant for: hints by trafficDistribution and by the topology annotation. Pure.

Sources: KEP-4444 and KEP-3015 (trafficDistribution), KEP-2433 (topology-aware hints: as many endpoints for a zone as
its share of the nodes' CPU asks for, none overloaded by more than a fifth).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import objects, quantity
from apimachinery.objects import Obj, condition_holds, labels, name
from controlplane.controllers import names
from controlplane.controllers.endpointslice import endpoints
from controlplane.controllers.notes import Note

OVERLOAD = 0.2
_CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")
_DISABLED, _ENABLED = "TopologyAwareHintsDisabled", "TopologyAwareHintsEnabled"
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True)
class Zones:
    """`of`: node name to zone. `shares`: zone to its share of the ready nodes' CPU; empty where that cannot be said
    (a node without zone or CPU, fewer than two zones).
    """

    of: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


def place(node: Obj | None) -> tuple[str, int | None]:
    """A node's zone ("" for none) and its CPU in thousandths; None for a node whose CPU does not count."""
    if node is None:
        return "", None
    zone = labels(node).get(names.ZONE) or ""
    if any(role in labels(node) for role in _CONTROL_PLANE) or not condition_holds(node, "Ready"):
        return zone, None
    amount = ((node.get("status") or {}).get("allocatable") or {}).get("cpu") or "0"
    return zone, quantity.parse(amount).milli()


def zones_of(nodes: Iterable[Obj]) -> Zones:
    """Where the nodes are."""
    places = {name(node): place(node) for node in nodes}
    of = {node: zone for node, (zone, _) in places.items() if zone}
    counted = [(zone, amount) for zone, amount in places.values() if amount is not None]
    cpu: Counter[str] = Counter()
    for zone, amount in counted:
        cpu[zone] += amount
    if len(cpu) < 2 or not all(zone and amount for zone, amount in counted):
        return Zones(of)
    return Zones(of, {zone: amount / sum(cpu.values()) for zone, amount in sorted(cpu.items())})


def is_automatic(service: Obj) -> bool:
    """Whether the annotation asks for hints; while it does, trafficDistribution is not looked at."""
    found = objects.annotations(service)
    mode = found.get(names.TOPOLOGY_MODE, found.get(names.TOPOLOGY_HINTS))
    return mode in ("Auto", "auto")


def hinted(
    service: Obj, family: str, entries: Sequence[Obj], before: Iterable[Obj], zones: Zones, had: bool
) -> tuple[list[Obj], bool, Note | None]:
    """The endpoints of one family with their hints. `before`: the endpoints as they stand in slices; `had`: whether
    they got hints by the annotation when last looked at. Also whether they have them now, and what to tell.
    """
    if is_automatic(service):
        chosen, why = _automatic(entries, before, zones)
        kind = "Warning" if why else "Normal"
        reason, text = (_DISABLED, why) if why else (_ENABLED, "Topology Aware Hints has been enabled")
        note = Note(kind, reason, f"{text}, addressType: {family}") if why or not had else None
        return chosen, not why, note
    note = None
    if had:
        note = Note("Warning", _DISABLED, f"Topology Aware Hints has been disabled, addressType: {family}")
    wish = (service.get("spec") or {}).get("trafficDistribution")
    if wish not in _CLOSE:
        return list(entries), False, note
    return [_close(entry, wish == "PreferSameNode") for entry in entries], False, note


def _close(entry: Obj, nodes: bool) -> Obj:
    hints: Obj = {}
    if entry["conditions"].get("ready") and entry.get("zone"):
        hints["forZones"] = [{"name": entry["zone"]}]
    if entry["conditions"].get("ready") and nodes and entry.get("nodeName"):
        hints["forNodes"] = [{"name": entry["nodeName"]}]
    return {**entry, "hints": hints} if hints else entry


def _automatic(entries: Sequence[Obj], before: Iterable[Obj], zones: Zones) -> tuple[list[Obj], str]:
    """The endpoints with their hints; why they have none."""
    ready = [entry for entry in entries if entry["conditions"].get("ready")]
    least, why = _least(len(ready), zones.shares)
    if not why and not all(entry.get("zone") for entry in ready):
        why = "One or more endpoints do not have a zone specified"
    if why:
        return list(entries), why
    kept = {endpoints.identity(e): zone for e in before if (zone := _zone(e)) in least}
    places: dict[Any, str] = {}
    for entry in ready:
        which = endpoints.identity(entry)
        places[which] = kept.get(which) or entry["zone"]
    if not _is_enough(places, least):
        places = {endpoints.identity(entry): entry["zone"] for entry in ready}
        _spread(places, {zone: max(share * len(ready), least[zone]) for zone, share in zones.shares.items()})
    result: list[Obj] = []
    for entry in entries:
        meant = places.get(endpoints.identity(entry)) if entry["conditions"].get("ready") else None
        result.append({**entry, "hints": {"forZones": [{"name": meant}]}} if meant else entry)
    return result, ""


def _zone(entry: Obj) -> str:
    found: list[Obj] = (entry.get("hints") or {}).get("forZones") or [{}]
    return str(found[0].get("name") or "")


def _least(count: int, shares: Mapping[str, float]) -> tuple[dict[str, int], str]:
    """How many of `count` endpoints each zone needs at least so as not to be overloaded; why that cannot be given."""
    which = f"({count} endpoints, {len(shares)} zones)"
    if not shares:
        text = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
        return {}, text
    if len(shares) > count:
        return {}, f"Insufficient number of endpoints {which}"
    least = {zone: math.ceil(share * count / (1 + OVERLOAD)) for zone, share in shares.items()}
    if sum(least.values()) > count:
        text = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
        return {}, f"{text} {which}"
    return least, ""


def _is_enough(places: Mapping[Any, str], least: Mapping[str, int]) -> bool:
    counts = Counter(places.values())
    return all(counts[zone] >= number for zone, number in least.items())


def _spread(places: dict[Any, str], desired: Mapping[str, float]) -> None:
    """Give endpoints of zones with too many to those with too few, until no zone would gain by half an endpoint."""
    counts = Counter(places.values())
    gap = {zone: number - counts[zone] for zone, number in desired.items()}
    while True:
        needs = max(gap, key=lambda zone: (gap[zone], zone))
        gives = min(gap, key=lambda zone: (gap[zone], zone))
        # As upstream: half an endpoint each at least, and a whole one for one of the two.
        if min(gap[needs], -gap[gives]) < 0.5 or max(gap[needs], -gap[gives]) < 1.0:
            return
        moved = next(which for which, zone in sorted(places.items(), key=str) if zone == gives)
        places[moved] = needs
        gap[needs] -= 1
        gap[gives] += 1
