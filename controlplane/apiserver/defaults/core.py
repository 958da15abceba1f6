"""Defaults of the core group's types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import quantity
from apimachinery.objects import Obj
from apimachinery.pods import images
from apimachinery.pods.totals import is_huge_page, is_pod_level, total

_MODE = 0o644
_OLD_LISTS = tuple(
    f"pod.{stage}.kubernetes.io/init-container{what}" for stage in ("alpha", "beta") for what in ("s", "-statuses")
)

LITERALS: dict[str, dict[str, Any]] = {
    "core.v1.Container": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "core.v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.v1.GRPCAction": {"service": ""},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.FileKeySelector": {"optional": False},
    "core.v1.SecretVolumeSource": {"defaultMode": _MODE},
    "core.v1.ConfigMapVolumeSource": {"defaultMode": _MODE},
    "core.v1.DownwardAPIVolumeSource": {"defaultMode": _MODE},
    "core.v1.ProjectedVolumeSource": {"defaultMode": _MODE},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.ISCSIVolumeSource": {"iscsiInterface": "default"},
    "core.v1.ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    "core.v1.RBDVolumeSource": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "core.v1.RBDPersistentVolumeSource": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "core.v1.AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "kind": "Shared",
        "fsType": "ext4",
        "readOnly": False,
    },
    "core.v1.ScaleIOVolumeSource": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "core.v1.ScaleIOPersistentVolumeSource": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "core.v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "securityContext": {},
    },
    "core.v1.Secret": {"type": "Opaque"},
    "core.v1.PersistentVolumeStatus": {"phase": "Pending"},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PersistentVolumeClaimStatus": {"phase": "Pending"},
    "core.v1.NamespaceStatus": {"phase": "Active"},
    "core.v1.ServicePort": {"protocol": "TCP"},
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.ReplicationControllerSpec": {"replicas": 1},
}


def round_amounts(amounts: Obj) -> None:
    """Amounts of resources are no finer than thousandths: what is left goes up."""
    for name, text in amounts.items():
        if text[-1] in "nu" or "e-" in text:
            amount = quantity.parse(text)
            amounts[name] = str(quantity.Quantity(amount.milli() * 10**6, amount.format))


def pull_policy(container: Obj) -> None:
    """Always for :latest and for no tag, IfNotPresent for the rest."""
    if "imagePullPolicy" in container:
        return
    container["imagePullPolicy"] = images.pull_policy(container.get("image") or "")


def _image_volume(source: Obj) -> None:
    """Its own image reference decides, as a container's does."""
    if "pullPolicy" not in source:
        container = {"image": source.get("reference") or ""}
        pull_policy(container)
        source["pullPolicy"] = container["imagePullPolicy"]


def _volume(volume: Obj) -> None:
    if volume.keys() <= {"name"}:
        volume["emptyDir"] = {}


def _host_ports(spec: Obj) -> None:
    """Pods alone: in templates the author's ports stay as they are."""
    if spec.get("hostNetwork"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)


def _account(spec: Obj) -> None:
    """The account's older field says the same as the newer one."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _pod(pod: Obj) -> None:
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    _host_ports(spec)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        _requests_from_limits(container.get("resources") or {})
    _pod_level(spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    _forget_old_lists(pod)


def _forget_old_lists(described: Obj) -> None:
    """Of a pod or a template: init containers had annotations for fields once, which mean nothing now."""
    metadata = described.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if not annotations.keys().isdisjoint(_OLD_LISTS):
        metadata["annotations"] = {key: text for key, text in annotations.items() if key not in _OLD_LISTS}
        if not metadata["annotations"]:
            del metadata["annotations"]


def _requests_from_limits(resources: Obj) -> None:
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for name, amount in limits.items():
        requests.setdefault(name, amount)


def _pod_level(spec: Obj) -> None:
    """A pod with resources of its own that leaves one open asks for what its containers ask for together, else for its
    limit; its huge pages are limited to what its containers' are (KEP-2837).
    """
    resources = spec.get("resources") or {}
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if not limits and not requests:
        return
    alone = {field: value for field, value in spec.items() if field != "resources"}
    for name, amount in total(alone, "limits", overhead=False).items():
        if is_huge_page(name) and name not in requests:
            limits.setdefault(name, str(amount))
    if not limits:
        return
    for name, amount in total(alone, "requests", overhead=False).items():
        # Huge pages are never asked for beyond their limit, which comes next.
        if is_pod_level(name) and not is_huge_page(name):
            requests.setdefault(name, str(amount))
    for name, text in limits.items():
        if is_pod_level(name):
            requests.setdefault(name, text)
    resources["limits"] = limits
    if requests:
        resources["requests"] = requests


def _service(service: Obj) -> None:
    spec = service["spec"]
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10800)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or ():
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if kind in ("NodePort", "LoadBalancer") or (spec.get("externalIPs") and kind == "ClusterIP"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in (service["status"].get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def _namespace(namespace: Obj) -> None:
    name = namespace["metadata"].get("name")
    if name:
        labels = namespace["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = name


def _replication_controller(controller: Obj) -> None:
    spec = controller["spec"]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        spec.setdefault("selector", dict(labels))
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(labels)


def _limit_range_item(item: Obj) -> None:
    if item.get("type") != "Container":
        return
    for source, target in (("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")):
        for name, amount in (item.get(source) or {}).items():
            item.setdefault(target, {}).setdefault(name, amount)


def _node_status(status: Obj) -> None:
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def _pod_ranges(spec: Obj) -> None:
    """podCIDR is the first of podCIDRs, and decides when the two disagree."""
    first, listed = spec.get("podCIDR") or "", spec.get("podCIDRs") or []
    if first and (not listed or listed[0] != first):
        spec["podCIDRs"] = [first]
    elif listed and not first:
        spec["podCIDR"] = listed[0]


def _persistent_volume(volume: Obj) -> None:
    """Not of the spec's type: one that lies inside an attachment has none of it."""
    volume["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    volume["spec"].setdefault("volumeMode", "Filesystem")


HOOKS: dict[str, Callable[[Obj], None]] = {
    "core.v1.NodeSpec": _pod_ranges,
    "core.v1.PodSpec": _account,
    "core.v1.Container": pull_policy,
    "core.v1.EphemeralContainer": pull_policy,
    "core.v1.ImageVolumeSource": _image_volume,
    "core.v1.Volume": _volume,
    "core.v1.Pod": _pod,
    "core.v1.PodTemplateSpec": _forget_old_lists,
    "core.v1.Service": _service,
    "core.v1.Namespace": _namespace,
    "core.v1.PersistentVolume": _persistent_volume,
    "core.v1.ReplicationController": _replication_controller,
    "core.v1.LimitRangeItem": _limit_range_item,
    "core.v1.NodeStatus": _node_status,
}
