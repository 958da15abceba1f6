"""What a container's environment, and files that say the same, are taken from."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats, quantity
from apimachinery.errors import FieldError
from apimachinery.objectmeta import as_prefix
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podspec import noting
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import config_key, each, env_name, no_way_up
from controlplane.apiserver.rules.words import any_form, by_path, form, hook, name

_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# Fields of a pod that can be named at all, though neither here nor there.
_FIELDS = frozenset((*_ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"))
_KEYED = ("metadata.annotations", "metadata.labels")
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def field_reference(source: Obj, path: str, allowed: tuple[str, ...]) -> Iterator[FieldError]:
    """A field of the pod, out of those allowed; path: that of the reference."""
    version, target = source.get("apiVersion") or "", source.get("fieldPath") or ""
    if not version:
        yield errors.required(f"{path}.apiVersion")
        return
    if not target:
        yield errors.required(f"{path}.fieldPath")
        return
    base, bracket, key = target.removesuffix("']").partition("['")
    keyed = bool(base and bracket and target.endswith("']"))
    wrong = ""
    if version != "v1":
        wrong = f"unsupported pod version: {version}"
    elif keyed and base not in _KEYED:
        wrong = f"field label does not support subscript: {target}"
    elif not keyed and target not in _FIELDS and target != "spec.host":
        wrong = f"field label not supported: {target}"
    if wrong:
        yield errors.invalid(f"{path}.fieldPath", target, f"error converting fieldPath: {wrong}")
    elif keyed:
        title = key.lower() if base == "metadata.annotations" else key
        yield from each(path, title, formats.qualified_name(title))
    elif (target := "spec.nodeName" if target == "spec.host" else target) not in allowed:
        yield errors.not_supported(f"{path}.fieldPath", target, allowed)


def resource_reference(source: Obj, path: str, volume: bool) -> Iterator[FieldError]:
    """An amount of a container's resources; volume: the container must be named."""
    resource = source.get("resource") or ""
    if volume and not source.get("containerName"):
        yield errors.required(f"{path}.containerName")
    elif not resource:
        yield errors.required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        yield errors.not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = quantity.parse(source.get("divisor") or "0")
    if not divisor:
        return
    what = "hugepages" if resource.startswith(_HUGE) else resource.partition(".")[2]
    if resource not in _RESOURCES and what != "hugepages":
        return
    units = ("1m", "1") if what == "cpu" else _UNITS
    if str(divisor) not in units:
        told = ", ".join(units) if what != "cpu" else "1m and 1"
        shown = "local ephemeral storage" if what == "ephemeral-storage" else what
        text = f"only divisor's values {told} are supported with the {shown} resource"
        yield errors.invalid(f"{path}.divisor", resource, text)


def _sources(source: Obj, at: Place) -> Iterator[FieldError]:
    field = source.get("fieldRef")
    if field is not None and (field.get("apiVersion") != "v1" or field.get("fieldPath") not in _ENV_FIELDS):
        yield from field_reference(source["fieldRef"], at.to("fieldRef"), _ENV_FIELDS)
    if source.get("resourceFieldRef") is not None:
        yield from resource_reference(source["resourceFieldRef"], at.to("resourceFieldRef"), volume=False)


def _one_source(source: Obj, at: Place) -> Iterator[FieldError]:
    given = [kind for kind in source if source[kind] is not None]
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield errors.invalid(at.path, "", text)
    elif at.above().value.get("value"):
        yield errors.invalid(at.path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield errors.invalid(at.path, "", "may not have more than one field specified at a time")


def _whole_source(source: Obj, at: Place) -> Iterator[FieldError]:
    """What is said of too few or too many of them is said of the list."""
    given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    where = at.above().to("envFrom")
    if not given:
        yield errors.invalid(where, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield errors.invalid(where, "", "may not have more than one field specified at a time")


def _object_name(text: str) -> tuple[str, ...]:
    """Of a ConfigMap or Secret that may still get a suffix, so that a dash may end it."""
    return formats.dns1123_subdomain(as_prefix(text))


_KEY: Row = (any_form("name", formats.dns1123_subdomain), name("key", config_key))
_WHOLE: Row = (name("name", _object_name),)

RULES: dict[str, Row] = {
    "core.v1.EnvVar": (name("name", env_name), "valueFrom"),
    "core.v1.EnvVarSource": (hook(_sources), "configMapKeyRef", "secretKeyRef", "fileKeyRef", hook(_one_source)),
    "core.v1.ConfigMapKeySelector": _KEY,
    "core.v1.SecretKeySelector": _KEY,
    "core.v1.FileKeySelector": (
        hook(noting("environment files")),
        name("key", env_name),
        name("volumeName", formats.dns1123_label),
        by_path("path", no_way_up, "required"),
    ),
    "core.v1.EnvFromSource": (form("prefix", env_name), "configMapRef", "secretRef", hook(_whole_source)),
    "core.v1.ConfigMapEnvSource": _WHOLE,
    "core.v1.SecretEnvSource": _WHOLE,
}
