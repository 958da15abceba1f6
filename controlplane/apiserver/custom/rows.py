"""A definition as rows of the catalog: one for each version that is served or stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.kinds import GET_PATCH_UPDATE, STANDARD, Kind, Subresource
from apimachinery.objects import Obj, alike, condition_holds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.custom import columns, naming
from controlplane.apiserver.custom.conversion import ByName, Converter
from controlplane.apiserver.custom.version import Version
from controlplane.apiserver.places import rank
from controlplane.apiserver.structural.custom import CustomSchema
from controlplane.apiserver.structural.published import Definition, definitions

# What discovery tells of a kind whose definition goes; objects can be changed all the same, so that they can go, too.
_ENDING = frozenset(("delete", "deletecollection", "get", "list", "watch"))
_SCALE = Subresource("scale", GET_PATCH_UPDATE, "Scale", "autoscaling", "v1")

# The converter of a definition whose strategy is Webhook.
ByWebhook = Callable[[Obj], Converter]


@dataclass(frozen=True)
class Parts:
    """What takes long to make of a definition with large schemas, and is the same while its spec and names are: the
    schemas by apiVersion, and what is published by the name of the version.
    """

    source: Any
    schemas: Mapping[str, CustomSchema]
    types: Mapping[str, Mapping[str, Definition]]

    def fits(self, definition: Obj) -> bool:
        """Whether it was made of this."""
        source = _source(definition)
        return bool(self.source == source) and alike(self.source[0], source[0])

    def shared(self, definition: Obj) -> Obj:
        """One that fits, with the very spec that this was made of: it is there for good, in five times the bytes that
        it is stored in.
        """
        return {**definition, "spec": self.source[0]}


def _source(definition: Obj) -> Any:
    whole = naming.has_names(definition)
    return definition["spec"], naming.accepted(definition) if whole else definition["spec"]["names"]


def parts(definition: Obj) -> Parts:
    """Those of a definition, also of one whose names are not accepted yet."""
    spec = definition["spec"]
    versions, stored = _versions(spec)
    schemas = {f"{spec['group']}/{one['name']}": _schema(spec, one) for one in spec["versions"]}
    types = {one["name"]: _types(_kind(definition, one, stored), spec, one) for one in versions}
    return Parts(_source(definition), schemas, types)


def prepared(definition: Obj) -> Parts:
    """The same, with what else would be made for the first object: for another thread."""
    made = parts(definition)
    for schema in made.schemas.values():
        schema.prepare()
    return made


def _versions(spec: Obj) -> tuple[list[Obj], str]:
    """What is served or stored, and the name of the one that is stored."""
    found = [one for one in spec["versions"] if one.get("served") or one.get("storage")]
    return found, next(one["name"] for one in found if one.get("storage"))


def rows(definition: Obj, made: Parts, by_webhook: ByWebhook, since: int = 0) -> list[Resource]:
    """Empty while its names are not accepted. made: its parts. since: the revision up to which objects may have been
    written by what the definition was before, where that is later than its own.
    """
    if not naming.is_served(definition) or not naming.has_names(definition):
        return []
    versions, stored = _versions(definition["spec"])
    webhook = (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook"
    converter = by_webhook(definition) if webhook else ByName()
    since = max(since, int(definition["metadata"]["resourceVersion"]))
    return [_row(definition, version, stored, made, converter, since) for version in versions]


def _schema(spec: Obj, version: Obj) -> CustomSchema:
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    return CustomSchema(raw, bool(spec.get("preserveUnknownFields")))


def _row(definition: Obj, version: Obj, stored: str, made: Parts, converter: Converter, since: int) -> Resource:
    spec, ending = definition["spec"], condition_holds(definition, "Terminating")
    kind = _kind(definition, version, stored)
    place = (kind.group, rank(kind.version), kind.plural)
    custom = Version(
        kind.api_version, f"{kind.group}/{stored}", made.schemas, converter, since, place, columns.scale(version)
    )
    return Resource(
        kind,
        custom.strategy("status" in kind.subresources, ending, (version.get("subresources") or {}).get("scale")),
        columns=columns.table(version),
        fields=columns.fields(version),
        deprecated=_deprecation(spec, version) if version.get("deprecated") else "",
        definitions=made.types[kind.version],
        custom=custom,
        served=bool(version.get("served")),
        told=_with_verbs(kind) if ending else None,
    )


def _types(kind: Kind, spec: Obj, version: Obj) -> dict[str, Definition]:
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    selectable = [one["jsonPath"] for one in version.get("selectableFields") or ()]
    return definitions(kind, raw, selectable, bool(spec.get("preserveUnknownFields")))


def _with_verbs(kind: Kind) -> Kind:
    return replace(kind, verbs=_ENDING)


def _kind(definition: Obj, version: Obj, stored: str) -> Kind:
    spec, names = _source(definition)
    given = version.get("subresources") or {}
    status = Subresource("status", GET_PATCH_UPDATE, names["kind"])
    found = [status] if given.get("status") is not None else []
    found += [_SCALE] if given.get("scale") is not None else []
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=STANDARD,
        subresources={one.name: one for one in found},
        storage=f"{names['plural']}.{spec['group']}",
        stored_version=stored,
        list_name=names.get("listKind") or "",
    )


def _deprecation(spec: Obj, version: Obj) -> str:
    if (said := version.get("deprecationWarning")) is not None:
        return str(said)
    group, kind = spec["group"], spec["names"]["kind"]
    others = [one["name"] for one in spec["versions"] if one.get("served") and not one.get("deprecated")]
    better = sorted((name for name in others if rank(name) < rank(version["name"])), key=rank)
    use = f"; use {group}/{better[0]} {kind}" if better else ""
    return f"{group}/{version['name']} {kind} is deprecated{use}"
