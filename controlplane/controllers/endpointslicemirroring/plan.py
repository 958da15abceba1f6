"""An Endpoints object as slices: one for each set of ports and family of addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from apimachinery import objects
from apimachinery.objects import Obj, is_deleting, labels, name, namespace, owner_reference
from controlplane.controllers import names
from controlplane.controllers.endpoints.subsets import FULL, repacked
from controlplane.controllers.endpointslice import endpoints as slices_of_pods
from controlplane.controllers.endpointslice.plan import Plan
from controlplane.controllers.notes import Note

_NOT_MIRRORED = (names.LAST_CHANGE, names.LAST_APPLIED)
_Place = tuple[str, tuple[slices_of_pods.Port, ...]]


def is_mirrored(endpoints: Obj | None, service: Obj | None) -> bool:
    """Whether slices are made of it. A selector of no members is none."""
    if endpoints is None or service is None or (service.get("spec") or {}).get("selector"):
        return False
    return labels(endpoints).get(names.SKIP_MIRROR) != "true" and names.LEADER not in objects.annotations(endpoints)


def plan(endpoints: Obj, slices: Sequence[Obj]) -> Plan:
    """`slices`: ours of this Endpoints."""
    wanted, notes = _wanted(endpoints)
    create: list[Obj] = []
    update: list[Obj] = []
    delete = [piece for piece in slices if not is_deleting(piece)]
    for place, entries in wanted.items():
        mine = [p for p in delete if _place(p) == place]
        if mine:
            delete.remove(mine[0])
            fresh = _slice(endpoints, place, entries, mine[0])
            update += [fresh] if fresh != mine[0] else []
        else:
            create.append(_slice(endpoints, place, entries, None))
    # A slice that would go becomes one that would come: fewer changes for whoever follows them.
    for piece in tuple(create):
        spare = next((p for p in delete if p.get("addressType") == piece["addressType"]), None)
        if spare is not None:
            delete.remove(spare)
            create.remove(piece)
            update.append(_slice(endpoints, _place(piece), piece["endpoints"], spare))
    return Plan(tuple(create), tuple(update), tuple(delete), notes=tuple(notes))


def _place(piece: Obj) -> _Place:
    return str(piece.get("addressType")), slices_of_pods.port_key(piece.get("ports"))


def _wanted(endpoints: Obj) -> tuple[dict[_Place, list[Obj]], list[Note]]:
    wanted: dict[_Place, list[Obj]] = {}
    invalid = skipped = 0
    for subset in repacked(endpoints.get("subsets") or ()):
        ports, taken = slices_of_pods.port_key(subset.get("ports")), 0
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                if taken >= FULL:
                    skipped += 1
                    continue
                entry = _endpoint(address, ready)
                if entry is None:
                    invalid += 1
                    continue
                taken += 1
                family = "IPv6" if ":" in entry["addresses"][0] else "IPv4"
                wanted.setdefault((family, ports), []).append(entry)
    notes = []
    if invalid:
        text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        notes.append(Note("Warning", "InvalidIPAddress", text))
    if skipped:
        text = f"A max of {FULL} addresses can be mirrored to EndpointSlices per Endpoints subset."
        notes.append(Note("Warning", "TooManyAddressesToMirror", f"{text} {skipped + invalid} addresses were skipped"))
    return wanted, notes


def _endpoint(address: Obj, ready: bool) -> Obj | None:
    try:
        ip = ipaddress.ip_address(str(address.get("ip")))
    except ValueError:
        return None
    entry: Obj = {"addresses": [str(ip)], "conditions": {"ready": ready}}
    return entry | {k: address[k] for k in ("hostname", "nodeName", "targetRef") if address.get(k)}


def _slice(endpoints: Obj, place: _Place, entries: list[Obj], present: Obj | None) -> Obj:
    family, ports = place
    own = {names.SERVICE_NAME: name(endpoints), names.SLICE_MANAGED_BY: names.SLICE_MIRROR}
    metadata: Obj = dict((present or {}).get("metadata") or {"generateName": f"{name(endpoints)}-"})
    metadata |= {"namespace": namespace(endpoints), "labels": {**labels(endpoints), **own}}
    metadata["ownerReferences"] = [owner_reference(endpoints)]
    told = {k: v for k, v in objects.annotations(endpoints).items() if k not in _NOT_MIRRORED}
    if told:
        metadata["annotations"] = told
    else:
        metadata.pop("annotations", None)
    parts: Obj = {"addressType": family, "endpoints": entries}
    if present is None or slices_of_pods.port_key(present.get("ports")) != ports:
        parts["ports"] = slices_of_pods.port_objects(ports)
    kept = present or {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
    return {**kept, "metadata": metadata, **parts}
