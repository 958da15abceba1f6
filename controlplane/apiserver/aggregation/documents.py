"""Discovery documents of other servers, read and brought into one shape. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from apimachinery import accept
from apimachinery.objects import Obj

_GROUP, _VERSIONS, _KIND = "apidiscovery.k8s.io", ("v2", "v2beta1"), "APIGroupDiscoveryList"


class Mismatch(Exception):
    """A document contradicts itself, in upstream's words, or is not what it should be."""


def is_whole(content_type: str) -> bool:
    """Whether a document is an aggregated one, of a version that is known."""
    told = next(iter(accept.parse(content_type)), None)
    if told is None:
        return False
    said = {name: value.strip('"') for name, value in told.parameters.items()}
    return (said.get("g"), said.get("as")) == (_GROUP, _KIND) and said.get("v") in _VERSIONS


def versions(document: Obj) -> Mapping[tuple[str, str], Obj]:
    """(group, version) -> APIVersionDiscovery of an APIGroupDiscoveryList. Raises Mismatch."""
    try:
        return dict(_versions(document.get("items") or ()))
    except (AttributeError, TypeError) as error:
        raise Mismatch(f"no {_KIND}: {error}") from error


def _versions(groups: Iterable[Obj]) -> Iterator[tuple[tuple[str, str], Obj]]:
    for group in groups:
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            if isinstance(version.get("version"), str):
                _check(version.get("resources") or ())
                yield (name, version["version"]), version


def _check(resources: Iterable[Obj]) -> None:
    """Whether all is there that clients take for granted: what one server says they get with what all others say.
    Raises Mismatch, AttributeError, TypeError.
    """
    for one in resources:
        _check_one(one, "resource")
        for part in one.get("subresources") or ():
            _check_one(part, "subresource")


def _check_one(one: Obj, member: str) -> None:
    texts = [one.get(member), *(text for key in ("verbs", "shortNames", "categories") for text in one.get(key) or ())]
    if not all(isinstance(text, str) for text in texts) or not isinstance(one.get("responseKind") or {}, dict):
        raise Mismatch(f"no {member}: {one}")


def resources(listed: Iterable[Obj]) -> list[Obj]:
    """APIResourceDiscovery objects of the APIResources of a group version. Raises Mismatch."""
    try:
        return _resources(list(listed))
    except (AttributeError, KeyError, TypeError) as error:
        raise Mismatch(f"no APIResourceList: {error!r}") from error


def _resources(every: Sequence[Obj]) -> list[Obj]:
    found: dict[str, Obj] = {}
    for one in every:
        if "/" not in one["name"]:
            found[one["name"]] = _resource(one)
    for one in every:
        name, slash, part = one["name"].partition("/")
        if not slash:
            continue
        parent = found.setdefault(name, {"resource": name, "responseKind": _kind({}), "scope": _scope(one)})
        if parent["scope"] != _scope(one):
            text = f"Parent {name} (scope: {parent['scope']}) and subresource {part} (scope: {_scope(one)})"
            raise Mismatch(f"Error: {text} scope do not match")
        entry = {"subresource": part, "responseKind": _kind(one), "verbs": one.get("verbs") or []}
        parent.setdefault("subresources", []).append(entry)
    _check(found.values())
    return list(found.values())


def _resource(one: Obj) -> Obj:
    out = {"resource": one["name"], "responseKind": _kind(one), "scope": _scope(one)}
    out |= {"singularResource": one.get("singularName") or "", "verbs": one.get("verbs") or []}
    return out | {key: one[key] for key in ("shortNames", "categories") if one.get(key)}


def _scope(one: Obj) -> str:
    return "Namespaced" if one.get("namespaced") else "Cluster"


def _kind(one: Obj) -> Obj:
    return {key: one.get(key) or "" for key in ("group", "version", "kind")}
