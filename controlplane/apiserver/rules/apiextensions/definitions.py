"""CustomResourceDefinitions as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.admissionregistration import webhooks
from controlplane.apiserver.rules.apiextensions import defaulted, nodes, structural, versions
from controlplane.apiserver.rules.apiextensions.approval import (
    ANNOTATION,
    NEEDED,
    NEITHER,
    SEE,
    approved,
    is_protected,
    said,
)
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import changed, enum, hook, when
from controlplane.apiserver.structural.reading import not_structural

_REVIEWS = ("v1", "v1beta1")
_NOT_WEBHOOK = "should not be set when strategy is not set to Webhook"


def _name(definition: Obj, at: Place) -> Iterator[FieldError]:
    """It is called what it defines."""
    spec, metadata = definition["spec"], definition["metadata"]
    wanted = f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}"
    for field in ("generateName", "name"):
        if metadata.get(field) and metadata[field] != wanted and at.about.old is None:
            yield errors.invalid(f"metadata.{field}", metadata[field], 'must be spec.names.plural+"."+spec.group')


def _spec(definition: Obj, at: Place) -> Iterator[FieldError]:
    spec, old = versions.lifted(definition["spec"]), at.about.old
    asked = _asked(old["spec"], definition["spec"]) if old is not None else versions.Asked(nodes.Demands())
    yield from _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        yield errors.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield errors.not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    yield from _schemas_there(spec, old)
    yield from _versions(spec, asked)
    yield from _names(spec.get("names") or {})
    yield from _shared(spec, asked)


def _asked(before: Obj, now: Obj) -> versions.Asked:
    """Nothing more is asked of a change than the stored definition keeps."""
    stored = versions.all_schemas(before)
    fields = {version.get("name"): version.get("selectableFields") or [] for version in now.get("versions") or ()}
    kept = {
        version["name"]
        for version in before.get("versions") or ()
        if (listed := version.get("selectableFields") or []) == fields.get(version["name"])
        and len(listed) > versions.MOST_SELECTABLE
    }
    if kept and len(kept) == len(fields):
        kept.add("")
    return versions.Asked(
        nodes.demands(stored),
        not before.get("preserveUnknownFields")
        or not any(not_structural(schema) or structural.check(schema, "") for schema in stored),
        defaulted.all_pruned(stored),
        frozenset(kept),
        _unchanged(before, now),
    )


def _unchanged(before: Obj, now: Obj) -> frozenset[str]:
    """The versions whose schemas are as they were."""
    was = {version["name"]: versions.schema_of(version.get("schema")) for version in before.get("versions") or ()}
    listed = now.get("versions") or ()
    return frozenset(
        version["name"]
        for version in listed
        if version.get("name") in was and versions.schema_of(version.get("schema")) == was[version["name"]]
    )


def _group(group: str) -> Iterator[FieldError]:
    if not group:
        yield errors.required("spec.group")
    elif texts := formats.dns1123_subdomain(group):
        yield errors.invalid("spec.group", group, ",".join(texts))
    elif "." not in group:
        yield errors.invalid("spec.group", group, "should be a domain with at least one dot")


def _schemas_there(spec: Obj, old: Obj | None) -> Iterator[FieldError]:
    if versions.schema_of(spec.get("validation")) is not None:
        return
    stored = (old or {"spec": {}})["spec"].get("versions") or ()
    complete = all(versions.schema_of(version.get("schema")) is not None for version in stored)
    for index, version in enumerate(spec.get("versions") or ()):
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        if versions.schema_of(version.get("schema")) is not None:
            continue
        if complete:
            yield errors.required(where)
        elif version.get("served") and not spec.get("preserveUnknownFields"):
            yield errors.required(where, "because otherwise all fields are pruned")


def _versions(spec: Obj, asked: versions.Asked) -> Iterator[FieldError]:
    listed = spec.get("versions")
    titles = [version.get("name") or "" for version in listed or ()]
    for index, version in enumerate(listed or ()):
        path = f"spec.versions[{index}]"
        if texts := formats.dns1035_label(titles[index]):
            yield errors.invalid(f"{path}.name", titles[index], ",".join(texts))
        own = version.get("subresources") or spec.get("subresources") or {}
        yield from versions.check(version, path, own.get("status") is not None, asked)
    wrong = ["must contain unique version names"] if len(set(titles)) < len(titles) else []
    if sum(bool(version.get("storage")) for version in listed or ()) != 1:
        wrong.append("must have exactly one version marked as storage version")
    if wrong:
        shown = [struct("apiextensions.v1.CustomResourceDefinitionVersion", version) for version in listed or ()]
        yield from (errors.invalid("spec.versions", shown, text) for text in wrong)
    if titles and titles[0] and (texts := formats.dns1035_label(titles[0])):
        yield errors.invalid("spec.version", titles[0], ",".join(texts))


def _names(names: Obj) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        if not names.get(field):
            yield errors.required(f"spec.names.{field}")
    yield from versions.check_names(names, "spec.names")


def _shared(spec: Obj, asked: versions.Asked) -> Iterator[FieldError]:
    """What all versions have alike."""
    holders = (spec, *(spec.get("versions") or ()))
    with_status = any((holder.get("subresources") or {}).get("status") is not None for holder in holders)
    schema = versions.schema_of(spec.get("validation"))
    first = next((version.get("name") or "" for version in spec.get("versions") or ()), "")
    kept = first in asked.unchanged
    yield from versions.check_schema(schema, "spec.validation.openAPIV3Schema", with_status, asked, kept)
    yield from versions.check_subresources(spec.get("subresources") or {}, "spec.subresources")
    yield from versions.check_columns(spec.get("additionalPrinterColumns") or (), "spec.additionalPrinterColumns")
    if fields := spec.get("selectableFields"):
        if schema is None:
            text = "may only be set when validations.schema is included"
            yield errors.invalid("spec.selectableFields", "", text)
        else:
            yield from versions.check_selectable(fields, schema, "spec.selectableFields", "" in asked.fields)


# --- changes ---


def _stands(definition: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    spec, was = definition["spec"], before["spec"]
    names, names_before = spec.get("names") or {}, was.get("names") or {}
    said = (before.get("status") or {}).get("conditions") or ()
    established = any(one.get("type") == "Established" and one.get("status") == "True" for one in said)
    pairs: list[tuple[str, Any, Any]] = []
    if established:
        pairs.append(("spec.scope", spec.get("scope"), was.get("scope")))
        pairs.append(("spec.names.kind", names.get("kind"), names_before.get("kind")))
    pairs.append(("spec.group", spec.get("group"), was.get("group")))
    pairs.append(("spec.names.plural", names.get("plural"), names_before.get("plural")))
    for path, now, then in pairs:
        if now != then:
            yield errors.immutable(path, now or "")


# --- conversion ---


def _by_webhook(conversion: Obj, at: Place) -> bool:
    return bool(conversion.get("strategy") == "Webhook")


def _by_nothing(conversion: Obj, at: Place) -> bool:
    return not _by_webhook(conversion, at)


def _kept_unknown(conversion: Obj, at: Place) -> Iterator[FieldError]:
    strategy = conversion.get("strategy") or ""
    if strategy != "None" and at.about.new["spec"].get("preserveUnknownFields"):
        text = "must be None if spec.preserveUnknownFields is true"
        yield errors.invalid(at.to("strategy"), strategy, text)


def _client(webhook: Obj, at: Place) -> Iterator[FieldError]:
    if webhook.get("clientConfig") is None:
        yield errors.required(at.to("webhookClientConfig"), "required when strategy is set to Webhook")


def _reviews(webhook: Obj, at: Place) -> Iterator[FieldError]:
    listed, path = webhook.get("conversionReviewVersions") or [], at.to("conversionReviewVersions")
    if not listed:
        yield errors.required(path)
        return
    for index, version in enumerate(listed):
        if version in listed[:index]:
            yield errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for text in formats.dns1035_label(version):
            yield errors.invalid(f"{path}[{index}]", version, text)
    if not any(version in _REVIEWS for version in listed):
        yield errors.invalid(path, listed, f"must include at least one of {', '.join(_REVIEWS)}")


def _unused(conversion: Obj, at: Place) -> Iterator[FieldError]:
    webhook = conversion["webhook"] or {}
    if webhook.get("clientConfig") is not None:
        yield errors.field_forbidden(at.to("webhookClientConfig"), _NOT_WEBHOOK)
    if webhook.get("conversionReviewVersions"):
        yield errors.field_forbidden(at.to("conversionReviewVersions"), _NOT_WEBHOOK)


# --- status, and who may define what ---


def _accepted(definition: Obj, at: Place) -> Iterator[FieldError]:
    status = definition.get("status") or {}
    yield from versions.check_names(status.get("acceptedNames") or {}, "status.acceptedNames")


def _stored(definition: Obj, at: Place) -> Iterator[FieldError]:
    stored = (definition.get("status") or {}).get("storedVersions") or []
    listed, path = definition["spec"].get("versions") or (), "status.storedVersions"
    if not stored:
        yield errors.invalid(path, None, "must have at least one stored version")
        return
    for version in listed:
        if version.get("storage") and version.get("name") not in stored:
            yield errors.invalid(path, stored, f"must have the storage version {version.get('name') or ''}")
    known = {version.get("name") for version in listed}
    for index, title in enumerate(stored):
        if title not in known:
            text = (
                f"missing from spec.versions; {title} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {title} and removes "
                f"{title} from status.storedVersions"
            )
            yield errors.invalid(f"{path}[{index}]", title, text)


def _approval(definition: Obj, at: Place) -> Iterator[FieldError]:
    """The community's own groups are defined by who says that it was agreed upon."""
    group = definition["spec"].get("group") or ""
    if not is_protected(group):
        return
    now = approved(definition)
    if at.about.old is not None and approved(at.about.old) == now:
        return
    path = f"metadata.annotations[{ANNOTATION}]"
    if now == "missing":
        yield errors.required(path, f"{NEEDED}, {SEE}")
    elif now == "invalid":
        yield errors.invalid(path, said(definition), NEITHER)


def _preserving(definition: Obj, at: Place) -> Iterator[FieldError]:
    before = (at.about.old or {"spec": {}})["spec"].get("preserveUnknownFields")
    if definition["spec"].get("preserveUnknownFields") and not before:
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield errors.invalid("spec.preserveUnknownFields", True, text)


RULES: dict[str, Row] = {
    "apiextensions.v1.CustomResourceDefinition": (
        hook(_name),
        hook(_spec),
        inside("spec", always=True),
        changed(_stands),
        hook(_accepted),
        hook(_stored),
        hook(_approval),
        hook(_preserving),
    ),
    "apiextensions.v1.CustomResourceDefinitionSpec": ("conversion",),
    "apiextensions.v1.CustomResourceConversion": (
        hook(_kept_unknown),
        enum("strategy", ("None", "Webhook"), "required"),
        when(_by_webhook, inside("webhook", shown="", always=True)),
        when(_by_nothing, hook(_unused, "webhook")),
    ),
    "apiextensions.v1.WebhookConversion": (
        hook(_client),
        inside("clientConfig", shown="webhookClientConfig"),
        hook(_reviews),
    ),
    "apiextensions.v1.WebhookClientConfig": webhooks.RULES["admissionregistration.v1.WebhookClientConfig"],
    "apiextensions.v1.ServiceReference": webhooks.RULES["admissionregistration.v1.ServiceReference"],
    "apiextensions.v1.CustomResourceDefinition/status": (hook(_accepted),),
}
