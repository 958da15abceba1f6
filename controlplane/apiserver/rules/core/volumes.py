"""Volumes of a pod."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podspec import volumes_of
from controlplane.apiserver.rules.core.projections import mode
from controlplane.apiserver.rules.core.sources import ISCSI_LONG
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import enum, hook, name, required, sound, union

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TOO_MANY = "may not specify more than 1 volume type"
NO_KIND = "must specify a volume type"


def _reference(source: Obj, at: Place) -> Iterator[FieldError]:
    """A template may leave the image open."""
    if at.about.kind == "Pod" and not source.get("reference"):
        yield errors.required(at.to("reference"))


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


_CONFIG: Row = (mode("defaultMode"), "items")

RULES: dict[str, Row] = {
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
    "core.v1.PersistentVolumeClaimVolumeSource": (required("claimName"),),
    "core.v1.EphemeralVolumeSource": (required("volumeClaimTemplate"), "volumeClaimTemplate"),
    "core.v1.ImageVolumeSource": (hook(_reference), enum("pullPolicy", PULL_POLICIES, "required")),
}
