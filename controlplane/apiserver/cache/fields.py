"""The fields that lists and watches may select on, per resource, as upstream registers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Obj = dict[str, Any]
Getter = Callable[[Obj], str]


def _path(text: str, default: str = "") -> Getter:
    parts = text.split(".")

    def get(obj: Obj) -> str:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return get


def _paths(*texts: str, **defaults: str) -> dict[str, Getter]:
    return {text: _path(text, defaults.get(text.replace(".", "_"), "")) for text in texts}


def _event_source(obj: Obj) -> str:
    source = (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
    return str(source)


def _pod_ip(obj: Obj) -> str:
    ips = (obj.get("status") or {}).get("podIPs") or []
    return str(ips[0].get("ip", "")) if ips else ""


_METADATA = _paths("metadata.name", "metadata.namespace")
_INVOLVED = tuple(
    f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)

BY_RESOURCE: Mapping[str, Mapping[str, Getter]] = {
    "pods": {
        **_paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.nominatedNodeName",
            spec_hostNetwork="false",
        ),
        "status.podIP": _pod_ip,
    },
    "nodes": _paths("spec.unschedulable", spec_unschedulable="false"),
    "namespaces": {**_paths("status.phase"), "name": _path("metadata.name")},
    "secrets": _paths("type"),
    "services": _paths("spec.clusterIP", "spec.type"),
    "events": {
        **_paths(*_INVOLVED, "reason", "reportingComponent", "type"),
        "source": _event_source,
    },
    "events.events.k8s.io": {
        **_paths("reason", "type"),
        **{f: _path(f.replace("involvedObject", "regarding")) for f in _INVOLVED},
        **{
            f.replace("involvedObject", "regarding"): _path(f.replace("involvedObject", "regarding")) for f in _INVOLVED
        },
        "reportingController": _path("reportingController"),
        "reportingComponent": _path("reportingController"),
    },
    "replicationcontrollers": _paths("status.replicas", status_replicas="0"),
    "jobs.batch": {"status.successful": _path("status.succeeded", "0")},
    "certificatesigningrequests.certificates.k8s.io": _paths("spec.signerName"),
    "resourceslices.resource.k8s.io": _paths("spec.nodeName", "spec.driver"),
    "podcertificaterequests.certificates.k8s.io": _paths("spec.signerName", "spec.podName", "spec.nodeName"),
    "clustertrustbundles.certificates.k8s.io": _paths("spec.signerName"),
}


def getters(resource: str, namespaced: bool) -> Mapping[str, Getter]:
    """Field -> how to read it from an object, for one resource ("pods", "jobs.batch")."""
    common = dict(_METADATA) if namespaced else {"metadata.name": _METADATA["metadata.name"]}
    return {**common, **BY_RESOURCE.get(resource, {})}
