"""What rules below a pod's spec ask of it."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Hook, Place

# In the order in which upstream visits them.
_LISTS = ("initContainers", "containers", "ephemeralContainers")


def remember(spec: Obj, at: Place) -> tuple[()]:
    """Tell the rules of everything in a pod's spec what the spec says as a whole."""
    at.about.notes["spec"] = spec
    at.about.notes["volumes"] = {}
    claims = {claim.get("name") or "" for claim in spec.get("resourceClaims") or ()}
    at.about.notes["claims"] = sorted(claims - {""})
    return ()


def noting(what: str) -> Hook:
    """A hook that notes that the pod has something, for rules that are about nothing else."""

    def note(value: Obj, at: Place) -> tuple[()]:
        at.about.notes[what] = True
        return ()

    return note


def spec_of(at: Place) -> Obj:
    spec: Obj = at.about.notes["spec"]
    return spec


def volumes_of(at: Place) -> dict[str, Obj]:
    """The pod's volumes with which nothing is wrong, by name."""
    volumes: dict[str, Obj] = at.about.notes["volumes"]
    return volumes


def claims_of(at: Place) -> list[str]:
    """The names of the pod's resource claims, sorted."""
    claims: list[str] = at.about.notes["claims"]
    return claims


def containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    """Every container and where it is, as in "containers[0]"."""
    for field in _LISTS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container
