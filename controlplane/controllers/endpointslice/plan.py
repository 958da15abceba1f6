"""Endpoints into slices, with as few changed slices as may be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import objects
from apimachinery.objects import Obj, is_deleting, labels, name, namespace, owner_reference
from controlplane.controllers import names
from controlplane.controllers.endpointslice import endpoints, topology
from controlplane.controllers.endpointslice.endpoints import Port
from controlplane.controllers.endpointslice.topology import Zones
from controlplane.controllers.notes import Note

# Endpoints in one slice (upstream's max-endpoints-per-slice).
FULL = 100


@dataclass(frozen=True)
class Plan:
    """Slices to create (their names still without suffix, in generateName), to update, to delete. `hinted`: the
    families that have hints by the topology annotation, `notes` what to tell of them.
    """

    create: tuple[Obj, ...] = ()
    update: tuple[Obj, ...] = ()
    delete: tuple[Obj, ...] = ()
    hinted: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()


@dataclass
class _Draft:
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    hinted: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)


def plan(
    service: Obj,
    pods: Iterable[Obj],
    slices: Sequence[Obj],
    zones: Zones,
    changed_at: str | None,
    hinted: frozenset[str] = frozenset(),
) -> Plan:
    """`slices`: ours of this Service. `changed_at`: when what made them change happened (RFC 3339), if
    known. `hinted`: what the last plan said of that.
    """
    pods = [pod for pod in pods if endpoints.is_candidate(pod)]
    draft = _Draft(hinted=set(hinted))
    families = endpoints.families(service)
    present = [s for s in slices if not is_deleting(s)]
    draft.delete += [s for s in present if s.get("addressType") not in families]
    for family in families:
        mine = [s for s in present if s.get("addressType") == family]
        _family(draft, service, family, pods, mine, zones, changed_at)
    writes = tuple(draft.create), tuple(draft.update), tuple(draft.delete)
    return Plan(*writes, frozenset(draft.hinted & set(families)), tuple(draft.notes))


def _family(
    draft: _Draft,
    service: Obj,
    family: str,
    pods: Iterable[Obj],
    slices: Sequence[Obj],
    zones: Zones,
    changed_at: str | None,
) -> None:
    wanted = _wanted(draft, service, family, pods, [e for s in slices for e in s.get("endpoints") or ()], zones)
    existing: dict[tuple[Port, ...], list[Obj]] = {}
    for piece in slices:
        existing.setdefault(endpoints.port_key(piece.get("ports")), []).append(piece)
    before = len(draft.create) + len(draft.update)
    unused = [piece for ports, pieces in existing.items() if ports not in wanted for piece in pieces]
    kept = 0
    for ports, entries in wanted.items():
        kept += _ports(draft, service, family, ports, entries, existing.get(ports, []), changed_at)
    if kept == 0 and len(draft.create) + len(draft.update) == before:
        # A Service without endpoints keeps one empty slice, which says that there is none.
        unused = _placeholder(draft, service, family, unused, changed_at)
    draft.delete += unused


def _wanted(
    draft: _Draft, service: Obj, family: str, pods: Iterable[Obj], before: Iterable[Obj], zones: Zones
) -> dict[tuple[Port, ...], dict[tuple[Any, ...], Obj]]:
    """The endpoints that should stand in slices, by their ports."""
    ports, entries = [], []
    for pod in pods:
        address = endpoints.address_of(pod, family)
        if address is not None:
            entries.append(endpoints.endpoint(service, pod, address, zones.of))
            ports.append(tuple(sorted(endpoints.ports_of(service, pod), key=str)))
    entries, has, note = topology.hinted(service, family, entries, before, zones, family in draft.hinted)
    (draft.hinted.add if has else draft.hinted.discard)(family)
    draft.notes += [note] if note else []
    wanted: dict[tuple[Port, ...], dict[tuple[Any, ...], Obj]] = {}
    for place, entry in zip(ports, entries, strict=True):
        wanted.setdefault(place, {})[endpoints.identity(entry)] = entry
    return wanted


def _placeholder(draft: _Draft, service: Obj, family: str, unused: list[Obj], changed_at: str | None) -> list[Obj]:
    for piece in unused:
        if not piece.get("endpoints") and not piece.get("ports") and _is_labelled(service, piece):
            return [p for p in unused if p is not piece]
    draft.create.append(_fresh(service, family, (), [], changed_at))
    return unused


def _ports(
    draft: _Draft,
    service: Obj,
    family: str,
    ports: tuple[Port, ...],
    wanted: dict[tuple[Any, ...], Obj],
    slices: Sequence[Obj],
    changed_at: str | None,
) -> int:
    """Plan the slices of one set of ports; answers how many stay as they are."""
    left = dict(wanted)
    changed: list[tuple[Obj, list[Obj]]] = []
    same: list[tuple[Obj, list[Obj]]] = []
    for piece in sorted(slices, key=name):
        old = piece.get("endpoints") or []
        # An endpoint that stands in two slices stays in the first.
        new = [left.pop(endpoints.identity(e)) for e in old if endpoints.identity(e) in left]
        if not new:
            draft.delete.append(piece)
        elif new == old and _is_labelled(service, piece):
            same.append((piece, new))
        else:
            changed.append((piece, new))
    rest = list(left.values())
    # What is new goes first where a write happens anyway, then where it fits whole, then into a slice of
    # its own.
    for _, entries in changed:
        room = FULL - len(entries)
        entries += rest[:room]
        rest = rest[room:]
    if rest:
        fitting = [item for item in same if len(item[1]) + len(rest) <= FULL]
        if fitting:
            fullest = max(fitting, key=lambda item: len(item[1]))
            same.remove(fullest)
            changed.append((fullest[0], fullest[1] + rest))
            rest = []
    draft.update += [_updated(service, piece, entries, changed_at) for piece, entries in changed]
    while rest:
        reusable = next((p for p in draft.delete if p in slices), None)
        if reusable is not None:
            draft.delete.remove(reusable)
            draft.update.append(_updated(service, reusable, rest[:FULL], changed_at))
        else:
            draft.create.append(_fresh(service, family, ports, rest[:FULL], changed_at))
        rest = rest[FULL:]
    return len(same)


def _is_labelled(service: Obj, piece: Obj) -> bool:
    return dict(labels(piece)) == endpoints.slice_labels(service)


def _updated(service: Obj, piece: Obj, entries: list[Obj], changed_at: str | None) -> Obj:
    noted = {k: v for k, v in objects.annotations(piece).items() if k != names.LAST_CHANGE}
    if changed_at is not None:
        noted[names.LAST_CHANGE] = changed_at
    metadata = {**piece["metadata"], "labels": endpoints.slice_labels(service), "annotations": noted}
    return {**piece, "metadata": metadata, "endpoints": entries}


def _fresh(service: Obj, family: str, ports: Iterable[Port], entries: list[Obj], changed_at: str | None) -> Obj:
    metadata: Obj = {
        "generateName": f"{name(service)}-",
        "namespace": namespace(service),
        "labels": endpoints.slice_labels(service),
        "ownerReferences": [owner_reference(service)],
    }
    if changed_at is not None:
        metadata["annotations"] = {names.LAST_CHANGE: changed_at}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": entries,
        "ports": endpoints.port_objects(ports),
    }
