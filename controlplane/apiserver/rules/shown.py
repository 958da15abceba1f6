"""Values as upstream's messages show them.

Upstream prints a struct, and the difference of two, from its internal Go types: under their field names, every
field named, absent ones as null, "" or 0. Those types mostly are the published ones with other names, so a value is
shown from its type's definition; where the internal type differs, `_ORDER` and `_NAMES` say how. Types of the
machinery (selectors, metadata, times) are shown as their JSON.
"""

from __future__ import annotations

import difflib
import json
from functools import lru_cache
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.data.wire_fields import Field
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.defaults.empties import written

# Go writes these words in capitals at the beginning of a name.
_CAPITALS = (
    "api aws ca cel cidr cidrs csi dns fc fs gce gid gmsa grpc http ip ips iqn iscsi json nfs os pd qos rbd ssl tcp "
    "tls tty ttl uid url"
)
_WORDS = {word: word.upper() for word in _CAPITALS.split()} | {
    "cephfs": "CephFS",
    "cidrs": "CIDRs",
    "ips": "IPs",
    "se": "SE",
    "storageos": "StorageOS",
    "wwids": "WWIDs",
}
# Fields that the internal types call something else.
_NAMES = {
    "core.v1.AzureDiskVolumeSource.diskURI": "DataDiskURI",
    "core.v1.ContainerStatus.lastState": "LastTerminationState",
    "core.v1.Event.reportingComponent": "ReportingController",
    "core.v1.GlusterfsPersistentVolumeSource.endpoints": "EndpointsName",
    "core.v1.GlusterfsVolumeSource.endpoints": "EndpointsName",
    "core.v1.ISCSIPersistentVolumeSource.chapAuthDiscovery": "DiscoveryCHAPAuth",
    "core.v1.ISCSIPersistentVolumeSource.chapAuthSession": "SessionCHAPAuth",
    "core.v1.ISCSIVolumeSource.chapAuthDiscovery": "DiscoveryCHAPAuth",
    "core.v1.ISCSIVolumeSource.chapAuthSession": "SessionCHAPAuth",
    "core.v1.NodeSpec.externalID": "DoNotUseExternalID",
    "core.v1.PhotonPersistentDiskVolumeSource.pdID": "PdID",
    "core.v1.RBDPersistentVolumeSource.image": "RBDImage",
    "core.v1.RBDPersistentVolumeSource.monitors": "CephMonitors",
    "core.v1.RBDPersistentVolumeSource.pool": "RBDPool",
    "core.v1.RBDPersistentVolumeSource.user": "RadosUser",
    "core.v1.RBDVolumeSource.image": "RBDImage",
    "core.v1.RBDVolumeSource.monitors": "CephMonitors",
    "core.v1.RBDVolumeSource.pool": "RBDPool",
    "core.v1.RBDVolumeSource.user": "RadosUser",
    **{f"resource.v1.DeviceAttribute.{name}": f"{name.title()}Value" for name in ("int", "bool", "string", "version")},
    **{
        f"resource.v1.DeviceAttribute.{name}s": f"{name.title()}Values" for name in ("int", "bool", "string", "version")
    },
}
# Fields that the internal types do not tell apart from zero when they are absent.
_PLAIN = frozenset(
    (
        *(
            f"apps.v1.RollingUpdate{of}.{name}"
            for of in ("Deployment", "DaemonSet")
            for name in ("maxUnavailable", "maxSurge")
        ),
        "apps.v1.RollingUpdateStatefulSetStrategy.partition",
    )
)
# Where the internal type has another order: these fields come directly before the one named.
_MOVED: dict[str, tuple[tuple[str, str], ...]] = {
    "core.v1.Volume": (("quobyte", "flexVolume"), ("projected", "portworxVolume")),
    "core.v1.PersistentVolumeSpec": (("quobyte", "iscsi"), ("flexVolume", "cinder")),
    "core.v1.PersistentVolumeSource": (("quobyte", "iscsi"), ("flexVolume", "cinder")),
    "batch.v1.JobSpec": (("podFailurePolicy", "activeDeadlineSeconds"), ("successPolicy", "activeDeadlineSeconds")),
    "autoscaling.v2.ContainerResourceMetricSource": (("container", "target"),),
}
# Order as a whole, where little is as published.
_ORDER = {
    "core.v1.ServiceSpec": (
        "type ports selector clusterIP clusterIPs ipFamilies ipFamilyPolicy externalName externalIPs loadBalancerIP "
        "sessionAffinity sessionAffinityConfig loadBalancerSourceRanges externalTrafficPolicy healthCheckNodePort "
        "publishNotReadyAddresses allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy "
        "trafficDistribution"
    ),
    "core.v1.PodSpec": (
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds "
        "activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName automountServiceAccountToken nodeName "
        "securityContext imagePullSecrets hostname subdomain setHostnameAsFQDN affinity schedulerName tolerations "
        "hostAliases priorityClassName priority preemptionPolicy dnsConfig readinessGates runtimeClassName overhead "
        "enableServiceLinks topologySpreadConstraints os schedulingGates resourceClaims resources hostnameOverride "
        "schedulingGroup"
    ),
    "core.v1.PodSecurityContext": (
        "seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy "
        "fsGroup fsGroupChangePolicy sysctls seccompProfile appArmorProfile seLinuxChangePolicy"
    ),
    "storage.v1.CSIDriverSpec": (
        "attachRequired fsGroupPolicy podInfoOnMount volumeLifecycleModes storageCapacity tokenRequests "
        "requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds serviceAccountTokenInSecrets "
        "preventPodSchedulingIfMissing"
    ),
}
# The internal security context of a pod begins with what the published type has in the pod's spec.
_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
# Templates, which upstream's types make of an object's metadata, shown as if they were its own fields, and its spec.
_EMBEDDING = {
    "batch.v1.JobTemplateSpec": "batch.v1.JobSpec",
    "core.v1.PersistentVolumeClaimTemplate": "core.v1.PersistentVolumeClaimSpec",
    "core.v1.PodTemplateSpec": "core.v1.PodSpec",
    "resource.v1.ResourceClaimTemplateSpec": "resource.v1.ResourceClaimSpec",
}
# Fields of the machinery's types that their JSON always has.
_TOLD_WHEN_EMPTY = frozenset(
    (
        *(f"meta.v1.LabelSelectorRequirement.{name}" for name in ("key", "operator")),
        *(f"meta.v1.OwnerReference.{name}" for name in ("apiVersion", "kind", "name", "uid")),
    )
)
_ZEROS = {"string": "", "bool": False, "bytes": None, "api.resource.Quantity": "0", "util.intstr.IntOrString": 0}
_NULL = ("meta.v1.Time", "meta.v1.MicroTime", "runtime.RawExtension")


def shown(node: Node, value: Any) -> Any:
    """A value of a type, ready to be written as JSON in a message."""
    if node.shape == "struct":
        name = wire_fields.of_definition(node.type_name)
        return value if name is None else struct(name, value)
    if node.element is not None and value is not None:
        if node.shape == "list":
            return [shown(node.element, item) for item in value]
        return {key: shown(node.element, item) for key, item in sorted(value.items())}
    return value


def nothing(node: Node, field: str) -> Any:
    """What is shown of a struct's field that is absent: null, or the zero of a plain value."""
    name = wire_fields.of_definition(node.type_name)
    declared = {} if name is None else {one.name: one for one in wire_fields.declared(name)}
    return _field(declared[field], None) if field in declared else None


def difference(name: str, old: Any, new: Any) -> str:
    """What tells two structs of a type, by its short name, apart, line by line with three lines around it."""
    before, after = (_lines(struct(name, value)) for value in (old, new))
    return "".join(list(difflib.unified_diff(before, after))[2:])


def _lines(value: Any) -> list[str]:
    # Upstream's differ ends the last line, too.
    return [f"{line}\n" for line in json.dumps(value, indent=1, ensure_ascii=False).split("\n")]


def struct(name: str, value: Any) -> Any:
    """A struct by the short name of its type, "core.v1.Container"."""
    if value is None:
        return None
    source = value
    if name.startswith("meta."):
        return _machinery(name, value)
    if name in _EMBEDDING:
        return {
            **struct("meta.v1.ObjectMeta", value.get("metadata") or {}),
            "Spec": struct(_EMBEDDING[name], value.get("spec") or {}),
        }
    if name == "core.v1.PodSpec":
        inner = {**(value.get("securityContext") or {}), **{key: value[key] for key in _HOST if key in value}}
        value = {**value, "securityContext": inner}
    made: dict[str, Any] = {}
    if name == "core.v1.PodSecurityContext":
        for key in _HOST:
            made[_go_name(name, key)] = value.get(key, None if key in ("shareProcessNamespace", "hostUsers") else False)
    for field in _fields(name):
        item = value.get(field.name)
        if item is None and (field.repeated or field.is_map):
            item = written(source, field.name)
        made[_go_name(name, field.name)] = (
            0 if item is None and f"{name}.{field.name}" in _PLAIN else _field(field, item)
        )
    return made


def _machinery(name: str, value: Obj) -> Obj:
    """As its JSON, which leaves out what is empty."""
    made: Obj = {}
    for field in wire_fields.declared(name):
        item = value.get(field.name)
        if not item:
            if f"{name}.{field.name}" in _TOLD_WHEN_EMPTY:
                made[field.name] = ""
        elif field.is_map:
            made[field.name] = dict(sorted(item.items()))
        elif field.repeated and field.is_message:
            made[field.name] = [_machinery(field.type, each) for each in item]
        else:
            made[field.name] = item
    return made


def _field(field: Field, value: Any) -> Any:
    if value is None:
        if field.is_map or field.repeated or field.pointer or field.type in _NULL:
            return None
        if field.type in _ZEROS:
            return _ZEROS[field.type]
        return struct(field.type, {}) if field.is_message else 0
    if not field.is_message or field.type in _ZEROS or field.type in _NULL:
        return dict(sorted(value.items())) if field.is_map else value
    if field.repeated:
        return [struct(field.type, item) for item in value]
    if field.is_map:
        return {key: struct(field.type, item) for key, item in sorted(value.items())}
    # What holds any JSON is told as that.
    return struct(field.type, value) if isinstance(value, dict) else value


@lru_cache(maxsize=256)
def _fields(name: str) -> tuple[Field, ...]:
    found = {field.name: field for field in wire_fields.declared(name)}
    order = _ORDER[name].split() if name in _ORDER else list(found)
    for moved, before in _MOVED.get(name, ()):
        order.remove(moved)
        order.insert(order.index(before), moved)
    return tuple(found[key] for key in order if key in found)


@lru_cache(maxsize=2048)
def _go_name(message: str, field: str) -> str:
    given = _NAMES.get(f"{message}.{field}")
    if given is not None:
        return given
    end = next((i for i, letter in enumerate(field) if letter.isupper()), len(field))
    word, rest = field[:end], field[end:]
    return (_WORDS.get(word) or word[:1].upper() + word[1:]) + rest
