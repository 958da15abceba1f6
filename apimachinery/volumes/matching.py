"""Which volume suits a claim, and which node a volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apimachinery import quantity
from apimachinery.objects import Obj, is_deleting, labels, name, namespace, uid
from apimachinery.pods import placement
from apimachinery.quantity import Quantity
from apimachinery.selectors import from_label_selector
from apimachinery.volumes.claims import class_of


@dataclass(frozen=True)
class Place:
    """A node, as a volume looks at it."""

    name: str
    labels: Mapping[str, str]


def capacity(volume: Obj) -> Quantity:
    """What a volume holds."""
    return quantity.parse((volume["spec"].get("capacity") or {}).get("storage") or 0)


def requested(claim: Obj) -> Quantity:
    """What a claim asks for."""
    return quantity.parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or 0)


def claim_key(volume: Obj) -> str:
    """The key of the claim that a volume is bound to or kept for; "" for none."""
    found = volume["spec"].get("claimRef") or {}
    return f"{found.get('namespace')}/{found.get('name')}" if found else ""


def open_classes(volume: Obj) -> tuple[str, ...]:
    """For an index: the class whose claims may get the volume; none for one that is bound or kept, which is found by
    its `claim_key`.
    """
    return () if volume["spec"].get("claimRef") else (class_of(volume),)


def is_for(volume: Obj, claim: Obj) -> bool:
    """Whether a volume is bound to the claim, or kept for one of its name."""
    found = volume["spec"].get("claimRef") or {}
    same = (found.get("namespace"), found.get("name")) == (namespace(claim), name(claim))
    return same and found.get("uid") in (None, "", uid(claim))


def allows(volume: Obj, place: Place) -> bool:
    """Whether a volume can be reached from a node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or any(term.matches(place.name, place.labels) for term in placement.node_terms(required))


def topology_allows(storage_class: Obj, place: Place) -> bool:
    """Whether a class makes volumes for a node."""
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(place.labels.get(e["key"]) in (e.get("values") or ()) for e in term.get("matchLabelExpressions") or ())
        for term in terms
    )


def mode(obj: Obj) -> str:
    """Filesystem or Block."""
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def complaint(volume: Obj, claim: Obj) -> str:
    """Why a volume that a claim names does not satisfy it, in upstream's words; "" where it does."""
    checks = (
        (is_deleting(volume), f'the volume is marked for deletion "{name(volume)}"'),
        (capacity(volume) < requested(claim), "requested PV is too small"),
        (class_of(volume) != class_of(claim), "storageClassName does not match"),
        (_attributes(volume) != _attributes(claim), "volumeAttributesClassName does not match"),
        (mode(volume) != mode(claim), "incompatible volumeMode"),
        (not _has_modes(volume, claim), "incompatible accessMode"),
    )
    return next((text for wrong, text in checks if wrong), "")


def best(claim: Obj, volumes: Iterable[Obj], *, kept_only: bool = False, place: Place | None = None) -> Obj | None:
    """The volume for a claim: one that is kept for it, else the one with the fewest access modes and then the smallest
    that suits. `kept_only`: no other than one kept for it; `place`: only those that can be reached from there.
    """
    selector = claim["spec"].get("selector")
    chosen = from_label_selector(selector) if selector is not None else None
    found: list[Obj] = []
    for volume in volumes:
        if not _is_open(volume, claim):
            continue
        reached = place is None or allows(volume, place)
        if is_for(volume, claim):
            return volume if reached else None
        suits = class_of(volume) == class_of(claim) and (chosen is None or chosen.matches(labels(volume)))
        if not kept_only and reached and suits and (volume.get("status") or {}).get("phase") == "Available":
            found.append(volume)
    return min(found, key=lambda v: (len(v["spec"].get("accessModes") or ()), capacity(v), name(v)), default=None)


def _is_open(volume: Obj, claim: Obj) -> bool:
    """Whether a volume is nobody else's and could serve the claim at all."""
    taken = bool(volume["spec"].get("claimRef")) and not is_for(volume, claim)
    return (
        not taken
        and not is_deleting(volume)
        and capacity(volume) >= requested(claim)
        and mode(volume) == mode(claim)
        and _attributes(volume) == _attributes(claim)
        and _has_modes(volume, claim)
    )


def _attributes(obj: Obj) -> str:
    return str(obj["spec"].get("volumeAttributesClassName") or "")


def _has_modes(volume: Obj, claim: Obj) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())
