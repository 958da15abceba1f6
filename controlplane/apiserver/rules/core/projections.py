"""What volumes are put together from: keys, fields of the pod, tokens and certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.environment import VOLUME_FIELDS, field_reference, resource_reference
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import below
from controlplane.apiserver.rules.words import between, by_path, hook, required

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_DAY = 24 * 3600


def mode(field: str) -> Rule:
    return between(field, 0, 0o777, _MODE)


def _needs_account(source: Obj, at: Place) -> Iterator[FieldError]:
    """How long a token lives, and where it goes; its path carries the volume's name, not the source's."""
    seconds = source.get("expirationSeconds") or 0
    if seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        yield errors.invalid(at.to("expirationSeconds"), seconds, text)
    if seconds > 2**32:
        text = "may not specify a duration larger than 2^32 seconds"
        yield errors.invalid(at.to("expirationSeconds"), seconds, text)
    if not source.get("path"):
        yield errors.required(at.above(2).to("path"))
    elif below("", source["path"]):
        yield from below(at.above(2).to("path"), source["path"])


def _bundle(source: Obj, at: Place) -> Iterator[FieldError]:
    title, signer = source.get("name"), source.get("signerName")
    if title is not None and signer is not None:
        shown = struct("core.v1.ClusterTrustBundleProjection", source)
        yield errors.invalid(at.path, shown, "only one of name and signerName may be used")
    elif title is not None:
        if not title:
            yield errors.required(at.to("name"), "must be a valid object name")
        for text in trust_bundle_name(title):
            yield errors.invalid(at.to("name"), title, f"not a valid clustertrustbundlename: {text}")
        if source.get("labelSelector") is not None:
            text = "labelSelector must be unset if name is specified"
            yield errors.invalid(at.to("labelSelector"), source["labelSelector"], text)
    elif signer is None:
        yield errors.required(at.path, "either name or signerName must be specified")
    else:
        if not signer:
            yield errors.required(at.to("signerName"), "must be a valid signer name")
        yield from signer_name(at.to("signerName"), signer)


def trust_bundle_name(title: str) -> tuple[str, ...]:
    """Complaints about the name of a ClusterTrustBundle, which begins with its signer's when it has one."""
    return formats.dns1123_subdomain(title.rpartition(":")[2])


def signer_name(path: str, text: str) -> Iterator[FieldError]:
    """A signer's name, "example.com/signer"."""
    if not text:
        yield errors.required(path)
        return
    if text.count("/") != 1:
        told = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield errors.invalid(path, text, told)
        return
    domain, _, rest = text.partition("/")
    if len(domain) > 253:
        yield errors.too_long(path, 253)
    yield from _parts(path, domain, formats.dns1123_label)
    if "." not in domain:
        yield errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _parts(path, rest, formats.dns1123_subdomain)
    if len(text) > 571:
        yield errors.too_long(path, 571)


def _parts(path: str, text: str, check: Callable[[str], tuple[str, ...]]) -> Iterator[FieldError]:
    for part in text.split("."):
        if complaints := check(part):
            told = f"validating label {errors.quoted(part)}: "
            yield from (errors.invalid(path, text, told + complaint) for complaint in complaints)
            return


def _certificate(source: Obj, at: Place) -> Iterator[FieldError]:
    yield from signer_name(at.to("signerName"), source.get("signerName") or "")
    if (kind := source.get("keyType") or "") not in _KEY_TYPES:
        yield errors.not_supported(at.to("keyType"), kind, _KEY_TYPES)
    seconds = source.get("maxExpirationSeconds")
    if seconds is not None:
        domain = (source.get("signerName") or "").partition("/")[0]
        ours = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
        longest = _DAY if ours else 91 * _DAY
        where = at.to("maxExpirationSeconds")
        if seconds < 3600:
            yield errors.invalid(where, seconds, "if provided, maxExpirationSeconds must be >= 3600")
        if seconds > longest:
            yield errors.invalid(where, seconds, f"if provided, maxExpirationSeconds must be <= {longest}")
    paths = [f for f in ("credentialBundlePath", "keyPath", "certificateChainPath") if source.get(f)]
    for field in paths:
        yield from below(at.to(field), source[field])
        yield from _place(source[field], source[field], at)
    if not paths:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        yield errors.required(at.path, text)


def _place(path: str, shown: str, at: Place) -> Iterator[FieldError]:
    """No two sources of a projected volume put something in one place. at: of the source."""
    taken = at.above().seen("paths")
    if path in taken:
        yield errors.invalid(at.above(2).path, shown, "conflicting duplicate paths")
    taken.add(path)


def _file_place(item: Obj, at: Place) -> Iterator[FieldError]:
    if item.get("path"):
        source = at.above()
        shown = item["path"] if source.name == "downwardAPI" else source.value.get("name") or ""
        yield from _place(item["path"], shown, source)


def _bundle_place(source: Obj, at: Place) -> Iterator[FieldError]:
    if not source.get("path"):
        yield errors.required(at.to("path"))
    yield from below(at.to("path"), source.get("path") or "")
    yield from _place(source.get("path") or "", source.get("path") or "", at)


def _one_kind(source: Obj, at: Place) -> Iterator[FieldError]:
    if len([kind for kind in source if source[kind] is not None]) > 1:
        yield errors.field_forbidden(at.path, "may not specify more than 1 volume type per source")


def _file_source(item: Obj, at: Place) -> Iterator[FieldError]:
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        if field.get("apiVersion") != "v1" or field.get("fieldPath") not in VOLUME_FIELDS:
            yield from field_reference(field, at.to("fieldRef"), VOLUME_FIELDS)
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield errors.invalid(at.path, "resource", text)
    elif resource is not None:
        yield from resource_reference(resource, at.to("resourceFieldRef"), volume=True)
    else:
        yield errors.required(at.path, "one of fieldRef and resourceFieldRef is required")


RULES: dict[str, Row] = {
    "core.v1.KeyToPath": (required("key"), required("path"), by_path("path", below, "pass"), mode("mode")),
    "core.v1.DownwardAPIVolumeSource": (mode("defaultMode"), inside("items", "", index=False)),
    "core.v1.DownwardAPIVolumeFile": (
        required("path"),
        by_path("path", below, "pass"),
        hook(_file_source),
        mode("mode"),
    ),
    "core.v1.ProjectedVolumeSource": (mode("defaultMode"), "sources"),
    "core.v1.VolumeProjection": (
        "secret",
        "configMap",
        "downwardAPI",
        "serviceAccountToken",
        "clusterTrustBundle",
        "podCertificate",
        hook(_one_kind),
    ),
    "core.v1.SecretProjection": (required("name"), "items"),
    "core.v1.ConfigMapProjection": (required("name"), "items"),
    "core.v1.SecretProjection.items": (hook(_file_place),),
    "core.v1.ConfigMapProjection.items": (hook(_file_place),),
    "core.v1.DownwardAPIProjection": (inside("items", "", index=False),),
    "core.v1.DownwardAPIProjection.items": (hook(_file_place),),
    "core.v1.ServiceAccountTokenProjection": (hook(_needs_account),),
    "core.v1.ClusterTrustBundleProjection": (hook(_bundle), "labelSelector", hook(_bundle_place)),
    "core.v1.PodCertificateProjection": (hook(_certificate),),
}
