"""Versions of a definition, as upstream's internal type has them: what all versions share stands beside them. Pure.

So paths in messages say `spec.validation` for a schema that every version has, and `spec.versions[1].schema` for one
of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.apiextensions import defaulted, expressed, internal, nodes, structural
from controlplane.apiserver.structural import fieldpaths, limits
from controlplane.apiserver.structural.reading import not_structural

_SHARED = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MOST_SELECTABLE = 8
# Beside a status of its own, the root of a schema says nothing of the object as a whole.
_ROOT_FIELDS = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
# Fields that say something also where they are 0, false or empty, and those that then say nothing.
_TELLING = (
    "additionalProperties", "additionalItems", "not", "default", "maxProperties", "minProperties", "$ref",
    "x-kubernetes-list-type", "x-kubernetes-map-type",
)  # fmt: skip
_NOT_AT_ROOT = (
    "allOf", "anyOf", "oneOf", "enum", "nullable", "id", "$schema", "patternProperties", "definitions",
    "dependencies", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What is asked of all schemas of a definition: nodes.Demands, and whether they are structural and their defaults
    pruned; fields: versions, "" for all, that had too many selectable fields and may keep them; unchanged: versions
    whose schemas are as they were.
    """

    nodes: nodes.Demands
    structural: bool = True
    pruned: bool = True
    fields: frozenset[str] = frozenset()
    unchanged: frozenset[str] = frozenset()


def lifted(spec: Obj) -> Obj:
    """The spec with what all versions have alike taken out of them."""
    versions = [dict(version) for version in spec.get("versions") or ()]
    made = {**spec, "versions": versions} if spec.get("versions") else dict(spec)
    for field, above in _SHARED.items():
        first = versions[0].get(field) if versions else None
        if versions and all(version.get(field) == first for version in versions):
            if first:
                made[above] = first
            for version in versions:
                version.pop(field, None)
    return made


def schema_of(holder: Any) -> Obj | None:
    """What a version's `schema`, or the one they share, holds."""
    found = (holder or {}).get("openAPIV3Schema")
    return found if isinstance(found, dict) else None


def all_schemas(spec: Obj) -> list[Obj]:
    """The schemas of all versions of a stored spec."""
    found = (schema_of(version.get("schema")) for version in spec.get("versions") or ())
    return [schema for schema in found if schema is not None]


def check(version: Obj, path: str, with_status: bool, asked: Asked) -> Iterator[FieldError]:
    """What is wrong with one version that keeps its own of what it could share."""
    warning = version.get("deprecationWarning")
    for text in _warning(bool(version.get("deprecated")), warning):
        # Upstream holds it by reference, which its messages show as JSON.
        told = json.dumps(warning, ensure_ascii=False)
        yield FieldError("FieldValueInvalid", f"{path}.deprecationWarning", f"Invalid value: {told}: {text}")
    schema = schema_of(version.get("schema"))
    kept = (version.get("name") or "") in asked.unchanged
    yield from check_schema(schema, f"{path}.schema.openAPIV3Schema", with_status, asked, kept)
    yield from check_subresources(version.get("subresources") or {}, f"{path}.subresources")
    yield from check_columns(version.get("additionalPrinterColumns") or (), f"{path}.additionalPrinterColumns")
    if fields := version.get("selectableFields"):
        where = f"{path}.selectableFields"
        if schema is None:
            text = "may only be set when `version.schema.openAPIV3Schema` is not included"
            yield errors.invalid(where, "", text)
        else:
            yield from check_selectable(fields, schema, where, (version.get("name") or "") in asked.fields)


def _warning(deprecated: bool, warning: str | None) -> Iterator[str]:
    if warning is None:
        return
    if not deprecated:
        yield "can only be set for deprecated versions"
        return
    if len(warning.encode()) > 256:
        yield "must be <= 256 characters long"
    if not warning:
        yield "must not be an empty string"
    for index, letter in enumerate(warning):
        if not letter.isprintable():
            at = len(warning[:index].encode())
            yield f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
            return


def check_schema(
    schema: Obj | None, path: str, with_status: bool, asked: Asked, kept: bool = False
) -> Iterator[FieldError]:
    """A schema as a whole: that it is structural, that its defaults are what it says, each schema inside it, and what
    its expressions cost. kept: it is as it was.
    """
    if schema is None:
        return
    found = list(_root(schema, path, with_status))
    unable = not_structural(schema)
    unfit: list[FieldError] = []
    if asked.structural and not unable:
        unfit = structural.check(schema, path) or defaulted.check(schema, path, asked.pruned)
        found += unfit
    unlike = set[int]()
    found += limits.first(nodes.check(schema, path, asked.nodes, unlike))
    if asked.structural and not unable and not unfit:
        found += limits.first(expressed.check(schema, path, unlike, kept))
    if not found and asked.structural and unable:
        found.append(errors.invalid(path, "", unable))
    yield from found


def _root(schema: Obj, path: str, with_status: bool) -> Iterator[FieldError]:
    if with_status:
        kind = schema.get("type") or ""
        if kind and kind != "object":
            text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield errors.invalid(f"{path}.type", kind, text)
        elif any(schema.get(f) is not None for f in _TELLING) or any(schema.get(f) for f in _NOT_AT_ROOT):
            listed = f"[{_ROOT_FIELDS}]"
            text = f"only {listed} fields are allowed at the root of the schema if the status subresource is enabled"
            yield errors.invalid(path, internal.schema(schema), text)
    if schema.get("nullable"):
        yield errors.field_forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def check_subresources(subresources: Obj, path: str) -> Iterator[FieldError]:
    """Where a scale subresource finds its numbers."""
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, roots in (("specReplicasPath", (".spec.",)), ("statusReplicasPath", (".status.",))):
        where, given = f"{path}.scale.{field}", scale.get(field) or ""
        if not given:
            yield errors.required(where)
        else:
            yield from _number_path(where, given, roots, f"should be a json path under {roots[0][:-1]}")
    if given := scale.get("labelSelectorPath") or "":
        text = "should be a json path under either .spec or .status"
        yield from _number_path(f"{path}.scale.labelSelectorPath", given, (".spec.", ".status."), text)


def _number_path(where: str, given: str, roots: tuple[str, ...], text: str) -> Iterator[FieldError]:
    if not given.startswith("."):
        yield errors.invalid(where, given, "must be a simple json path starting with .")
    elif not given.startswith(roots):
        yield errors.invalid(where, given, text)


def check_columns(columns: list[Obj] | tuple[()], path: str) -> Iterator[FieldError]:
    """Columns of its tables."""
    for index, column in enumerate(columns):
        where, kind, form = f"{path}[{index}]", column.get("type") or "", column.get("format") or ""
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not column.get("name"):
            yield errors.required(f"{where}.name")
        if not kind:
            yield errors.required(f"{where}.type", text)
        elif kind not in _COLUMN_TYPES:
            yield errors.invalid(f"{where}.type", kind, text)
        if form and form not in _COLUMN_FORMATS:
            yield errors.invalid(f"{where}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
        if not (way := column.get("jsonPath") or ""):
            yield errors.required(f"{where}.JSONPath")
        elif not way.startswith("."):
            yield errors.invalid(f"{where}.JSONPath", way, "must be a simple json path starting with .")


def check_selectable(fields: list[Obj], schema: Obj, path: str, many: bool) -> Iterator[FieldError]:
    """Fields that lists may be selected by. many: there may be too many."""
    seen: set[tuple[str, ...]] = set()
    for index, selectable in enumerate(fields):
        where, given = f"{path}[{index}].jsonPath", selectable.get("jsonPath") or ""
        if not given:
            yield errors.required(where)
            continue
        try:
            names, found = fieldpaths.follow(given, schema, indexed=False)
        except fieldpaths.PathError as error:
            yield errors.invalid(where, given, f"is an invalid path: {error}")
            continue
        if names[0] == "metadata":
            yield errors.invalid(where, given, "must not point to fields in metadata")
        if (found or {}).get("type") not in ("string", "boolean", "integer"):
            text = "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            yield errors.invalid(where, given, f"{text}formats are allowed.")
        if names in seen:
            yield errors.duplicate(where, given)
        seen.add(names)
    if len(seen) > MOST_SELECTABLE and not many:
        yield errors.too_many(path, len(seen), MOST_SELECTABLE)


def check_names(names: Obj, path: str) -> Iterator[FieldError]:
    """What a kind is called."""
    mixed = "may have mixed case, but should otherwise match: "
    for field, before in (("plural", ""), ("singular", ""), ("kind", mixed), ("listKind", mixed)):
        given = names.get(field) or ""
        if given and (texts := formats.dns1035_label(given.lower() if before else given)):
            yield errors.invalid(f"{path}.{field}", given, before + ",".join(texts))
    yield from _labels(names, "shortNames", path)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield errors.invalid(f"{path}.listKind", names["kind"], "kind and listKind may not be the same")
    yield from _labels(names, "categories", path)


def _labels(names: Obj, field: str, path: str) -> Iterator[FieldError]:
    for index, given in enumerate(names.get(field) or ()):
        if texts := formats.dns1035_label(given):
            yield errors.invalid(f"{path}.{field}[{index}]", given, ",".join(texts))
