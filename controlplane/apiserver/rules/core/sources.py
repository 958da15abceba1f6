"""The sources that volumes of pods and persistent volumes share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import amount, each, no_way_up
from controlplane.apiserver.rules.values import descending_path as descending
from controlplane.apiserver.rules.words import between, by_path, enum, form, hook, name, required

HOST_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PARTITION = "must be between 1 and 255, inclusive"


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
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}\Z"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}\Z"),
}
ISCSI_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
    "specified."
)


def _iscsi_title(source: Obj, at: Place) -> Iterator[FieldError]:
    """Initiators are known by the volume's name and the portal."""
    about, portal = at.about, source.get("targetPortal") or ""
    title = (about.new["metadata"].get("name") or "") if about.kind == "PersistentVolume" else ""
    if len(f"{title}:{portal}".encode()) > 64:
        yield errors.invalid(at.to("targetportal"), portal, ISCSI_LONG)


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


def _csi_driver(text: str) -> tuple[str, ...]:
    return formats.dns1123_subdomain(text.lower())


def csi_driver_name(path: str, text: str) -> list[FieldError]:
    """The name of a CSI driver, which has at most 63 characters; its case does not matter."""
    found = [errors.too_long(path, 63)] if len(text.encode()) > 63 else []
    return found + each(path, text, _csi_driver(text))


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


RULES: dict[str, Row] = {
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
        hook(_iscsi_title, "initiatorName"),
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
