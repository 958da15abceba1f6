"""Volumes of a pod, and the sources they share with persistent volumes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.environment import VOLUME_FIELDS, field_reference, resource_reference
from controlplane.apiserver.rules.core.podspec import volumes_of
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import amount, below, each, no_way_up
from controlplane.apiserver.rules.values import descending_path as descending
from controlplane.apiserver.rules.words import (
    between,
    by_path,
    enum,
    form,
    hook,
    name,
    required,
    sound,
    union,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TOO_MANY = "may not specify more than 1 volume type"
NO_KIND = "must specify a volume type"
HOST_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
ISCSI_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
    "specified."
)
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_DAY = 24 * 3600


def _mode(field: str) -> Rule:
    return between(field, 0, 0o777, _MODE)


# --- sources of pods and persistent volumes ---


def _size_limit(source: Obj, at: Place) -> Iterator[FieldError]:
    if amount(source["sizeLimit"]) < amount(0):
        yield errors.field_forbidden(at.to("sizeLimit"), "SizeLimit field must be a valid resource quantity")


def _host_path(source: Obj, at: Place) -> Iterator[FieldError]:
    path = source.get("path") or ""
    if not path:
        yield errors.required(at.to("path"))
        return
    yield from no_way_up(at.to("path"), path)
    if (kind := source.get("type")) is not None and kind not in HOST_PATHS:
        yield errors.not_supported(at.to("type"), kind, HOST_PATHS)


_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}


def _iscsi_name(path: str, text: str, unknown: str) -> Iterator[FieldError]:
    shape = _ISCSI_NAMES.get(text[:3])
    if shape is None:
        yield errors.invalid(path, text, unknown)
    elif not shape.search(text):
        yield errors.invalid(path, text, "must be valid format")


def _iscsi(unknown: str, secret_name: bool) -> Callable[[Obj, Place], Iterator[FieldError]]:
    """unknown: what is said of a name of no known sort. secret_name: the secret must have a name."""

    def check(source: Obj, at: Place) -> Iterator[FieldError]:
        if not source.get("iqn"):
            yield errors.required(at.to("iqn"))
        else:
            yield from _iscsi_name(at.to("iqn"), source["iqn"], unknown)
        unit = source.get("lun") or 0
        if not 0 <= unit <= 255:
            yield errors.invalid(at.to("lun"), unit, "must be between 0 and 255, inclusive")
        secret = source.get("secretRef")
        if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
            yield errors.required(at.to("secretRef"))
        if secret_name and secret is not None and not secret.get("name"):
            yield errors.required(at.to("secretRef.name"))
        if source.get("initiatorName") is not None:
            yield from _iscsi_name(at.to("initiatorname"), source["initiatorName"], unknown)

    return check


def _fibre_channel(source: Obj, at: Place) -> Iterator[FieldError]:
    names, wide = source.get("targetWWNs") or [], source.get("wwids") or []
    if not names and not wide:
        yield errors.required(at.to("targetWWNs"), "must specify either targetWWNs or wwids, but not both")
    if names and wide:
        text = "targetWWNs and wwids can not be specified simultaneously"
        yield errors.invalid(at.to("targetWWNs"), names, text)
    if not names:
        return
    if source.get("lun") is None:
        yield errors.required(at.to("lun"), "lun is required if targetWWNs is specified")
    elif not 0 <= source["lun"] <= 255:
        yield errors.invalid(at.to("lun"), source["lun"], "must be between 0 and 255, inclusive")


def _absolute(source: Obj, at: Place) -> Iterator[FieldError]:
    path = source.get("path") or ""
    if not path.startswith("/"):
        yield errors.invalid(at.to("path"), path, "must be an absolute path")


_PAIRS = "must be a host:port pair or multiple pairs separated by commas"


def _quobyte(source: Obj, at: Place) -> Iterator[FieldError]:
    registry = source.get("registry") or ""
    if not registry:
        yield errors.required(at.to("registry"), _PAIRS)
    elif len((source.get("tenant") or "").encode()) >= 65:
        yield errors.required(at.to("tenant"), "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            host, colon, port = pair.rpartition(":")
            bracketed = host.startswith("[") and host.endswith("]")
            if not colon or (":" in host and not bracketed) or "[" in port or "]" in port:
                yield errors.invalid(at.to("registry"), registry, _PAIRS)


def _flocker(source: Obj, at: Place) -> Iterator[FieldError]:
    title, uid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not title and not uid:
        yield errors.required(at.path, "one of datasetName and datasetUUID is required")
    if title and uid:
        yield errors.invalid(at.path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in title:
        yield errors.invalid(at.to("datasetName"), title, "must not contain '/'")


def _flex_options(source: Obj, at: Place) -> Iterator[FieldError]:
    for key in sorted(source["options"] or ()):
        namespace = "." + key.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            yield errors.invalid(f"{at.to('options')}[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _disk_address(source: Obj, at: Place) -> Iterator[FieldError]:
    kind, address = source.get("kind"), source.get("diskURI") or ""
    if kind == "Managed" and not address.startswith("/subscriptions/"):
        yield errors.not_supported(at.to("diskURI"), address, (_MANAGED,))
    elif kind is not None and kind != "Managed" and not address.startswith("https://"):
        yield errors.not_supported(at.to("diskURI"), address, (_BLOB,))


def csi_driver(text: str) -> tuple[str, ...]:
    return formats.dns1123_subdomain(text.lower())


def csi_driver_name(path: str, text: str) -> list[FieldError]:
    """The name of a CSI driver, which has at most 63 characters; its case does not matter."""
    found = [errors.too_long(path, 63)] if len(text.encode()) > 63 else []
    return found + each(path, text, csi_driver(text))


def _publish_secret(source: Obj, at: Place) -> Iterator[FieldError]:
    title = source["nodePublishSecretRef"].get("name") or ""
    if not title:
        yield errors.required(at.to("nodePublishSecretRef.name"))
    else:
        yield from each(at.to("name"), title, formats.dns1123_subdomain(title))


def secret_name(namespace: bool) -> Callable[[Obj, Place], Iterator[FieldError]]:
    """A secretRef must name a secret, and a namespace where the source has one of its own."""

    def check(source: Obj, at: Place) -> Iterator[FieldError]:
        for field in ("name", "namespace") if namespace else ("name",):
            if not source["secretRef"].get(field):
                yield errors.required(at.to(f"secretRef.{field}"))

    return check


# A source's name in a pod -> its rules; those of a persistent volume differ in the secret they name.
def _shared(suffix: str, namespace: bool) -> dict[str, Row]:
    return {
        f"core.v1.RBD{suffix}": (required("monitors"), required("image")),
        f"core.v1.Cinder{suffix}": (required("volumeID"), hook(secret_name(namespace), "secretRef")),
        f"core.v1.CephFS{suffix}": (required("monitors"),),
        f"core.v1.Flex{'' if suffix == 'VolumeSource' else 'Persistent'}VolumeSource": (
            required("driver"),
            hook(_flex_options, "options"),
        ),
        f"core.v1.ScaleIO{suffix}": (required("gateway", "system", "volumeName"),),
        f"core.v1.StorageOS{suffix}": (
            name("volumeName", formats.dns1123_label),
            form("volumeNamespace", formats.dns1123_label),
            hook(secret_name(namespace), "secretRef"),
        ),
    }


SOURCES: dict[str, Row] = {
    **_shared("VolumeSource", namespace=False),
    **_shared("PersistentVolumeSource", namespace=True),
    "core.v1.EmptyDirVolumeSource": (hook(_size_limit, "sizeLimit"),),
    "core.v1.HostPathVolumeSource": (hook(_host_path),),
    "core.v1.GitRepoVolumeSource": (required("repository"), by_path("directory", descending, "pass")),
    "core.v1.GCEPersistentDiskVolumeSource": (required("pdName"), between("partition", 0, 255, _PARTITION)),
    "core.v1.AWSElasticBlockStoreVolumeSource": (required("volumeID"), between("partition", 0, 255, _PARTITION)),
    "core.v1.NFSVolumeSource": (required("server"), required("path"), hook(_absolute)),
    "core.v1.ISCSIVolumeSource": (
        required("targetPortal"),
        hook(_iscsi("must be valid format starting with iqn, eui, or naa", secret_name=False)),
    ),
    "core.v1.ISCSIPersistentVolumeSource": (
        required("targetPortal"),
        hook(_iscsi("must be valid format", secret_name=True)),
    ),
    "core.v1.FCVolumeSource": (hook(_fibre_channel),),
    "core.v1.QuobyteVolumeSource": (hook(_quobyte), required("volume")),
    "core.v1.GlusterfsVolumeSource": (required("endpoints"), required("path")),
    "core.v1.FlockerVolumeSource": (hook(_flocker),),
    "core.v1.AzureFileVolumeSource": (required("secretName"), required("shareName")),
    "core.v1.AzureDiskVolumeSource": (
        required("diskName"),
        required("diskURI"),
        enum("cachingMode", ("None", "ReadOnly", "ReadWrite")),
        enum("kind", ("Dedicated", "Managed", "Shared")),
        hook(_disk_address),
    ),
    "core.v1.VsphereVirtualDiskVolumeSource": (required("volumePath"),),
    "core.v1.PhotonPersistentDiskVolumeSource": (required("pdID"),),
    "core.v1.PortworxVolumeSource": (required("volumeID"),),
    "core.v1.CSIVolumeSource": (
        by_path("driver", csi_driver_name, "required"),
        hook(_publish_secret, "nodePublishSecretRef"),
    ),
}

# --- what only pods mount ---


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


def _reference(source: Obj, at: Place) -> Iterator[FieldError]:
    """A template may leave the image open."""
    if at.about.kind == "Pod" and not source.get("reference"):
        yield errors.required(at.to("reference"))


# --- the volume as a whole ---


def _by_name(volume: Obj, at: Place) -> Iterator[FieldError]:
    """What a volume's name makes with something else."""
    title, iscsi = volume.get("name") or "", volume.get("iscsi") or {}
    if iscsi.get("initiatorName") is not None and len(f"{title}:{iscsi.get('targetPortal') or ''}") > 64:
        yield errors.invalid(at.to("name"), title, ISCSI_LONG)
    pod = _pod_name(at)
    if volume.get("ephemeral") is not None and pod and title:
        claim = f"{pod}-{title}"
        for text in formats.dns1123_subdomain(claim):
            yield errors.invalid(at.to("name"), title, f"PVC name {errors.quoted(claim)}: {text}")


def _pod_name(at: Place) -> str:
    return (at.about.new["metadata"].get("name") or "") if at.about.kind == "Pod" else ""


def _known(volume: Obj, at: Place) -> Iterator[FieldError]:
    if (volume.get("name") or "") in volumes_of(at):
        yield errors.duplicate(at.to("name"), volume["name"])


def _note(volume: Obj, at: Place) -> None:
    volumes_of(at)[volume["name"]] = volume


def _made_for_another(volume: Obj, at: Place) -> Iterator[FieldError]:
    """A claim that the pod has made for itself cannot be mounted as any other."""
    pod, claim = _pod_name(at), (volume.get("persistentVolumeClaim") or {}).get("claimName")
    others = at.above().value["volumes"] if pod and claim else ()
    if any(other.get("ephemeral") is not None and f"{pod}-{other.get('name')}" == claim for other in others):
        text = "must not reference a PVC that gets created for an ephemeral volume"
        yield errors.invalid(at.to("persistentVolumeClaim.claimName"), claim, text)


_CONFIG: Row = (_mode("defaultMode"), "items")

RULES: dict[str, Row] = {
    **SOURCES,
    "core.v1.Volume": (
        union(
            "emptyDir",
            "hostPath",
            "gitRepo",
            ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk"),
            "awsElasticBlockStore",
            "secret",
            "nfs",
            "iscsi",
            "glusterfs",
            "flocker",
            "persistentVolumeClaim",
            "rbd",
            "cinder",
            ("cephfs", "cephFS", "cephfs"),
            "quobyte",
            ("downwardAPI", "downwarAPI", "downwardAPI"),
            "fc",
            "flexVolume",
            "configMap",
            "azureFile",
            "vsphereVolume",
            "photonPersistentDisk",
            "portworxVolume",
            "azureDisk",
            "storageos",
            "projected",
            "scaleIO",
            "csi",
            "ephemeral",
            "image",
            many=TOO_MANY,
            none=NO_KIND,
        ),
        hook(_by_name, "iscsi", "ephemeral"),
        name("name", formats.dns1123_label),
        hook(_known),
        sound(_note),
    ),
    "core.v1.PodSpec.volumes": (hook(_made_for_another, "persistentVolumeClaim"),),
    "core.v1.SecretVolumeSource": (required("secretName"), *_CONFIG),
    "core.v1.ConfigMapVolumeSource": (required("name"), *_CONFIG),
    "core.v1.KeyToPath": (required("key"), required("path"), by_path("path", below, "pass"), _mode("mode")),
    "core.v1.PersistentVolumeClaimVolumeSource": (required("claimName"),),
    "core.v1.DownwardAPIVolumeSource": (_mode("defaultMode"), inside("items", "", index=False)),
    "core.v1.DownwardAPIVolumeFile": (
        required("path"),
        by_path("path", below, "pass"),
        hook(_file_source),
        _mode("mode"),
    ),
    "core.v1.ProjectedVolumeSource": (_mode("defaultMode"), "sources"),
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
    "core.v1.EphemeralVolumeSource": (required("volumeClaimTemplate"), "volumeClaimTemplate"),
    "core.v1.ImageVolumeSource": (hook(_reference), enum("pullPolicy", PULL_POLICIES, "required")),
}
