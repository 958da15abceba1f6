"""Objects for controller tests, in one line each."""

from __future__ import annotations

import itertools
from typing import Any

from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time

T0 = parse_time("2026-01-01T00:00:00Z")
_uids = itertools.count(1)


def deployment(replicas: int = 3, image: str = "a", **spec: Any) -> Obj:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            "progressDeadlineSeconds": 600,
            **spec,
        },
        "status": {},
    }


def ready(status: str = "True", since: str = "2026-01-01T00:00:00Z") -> Obj:
    return {"type": "Ready", "status": status, "lastTransitionTime": since}


def pod(name: str, ip: str | None = None, is_ready: bool = True, **parts: Any) -> Obj:
    """`parts`: metadata and status fields by name; everything else goes into the spec."""
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "web"}}
    status: Obj = {"phase": "Running", "conditions": [ready("True" if is_ready else "False")]}
    if ip is not None:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    spec: Obj = {"containers": [{"name": "c", "image": "a"}]}
    for key, value in parts.items():
        target = meta if key in ("deletionTimestamp", "labels", "annotations", "creationTimestamp") else spec
        if key in ("phase", "conditions", "containerStatuses"):
            target = status
        target[key] = value
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "s"},
        "spec": {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": ports, **spec},
    }


def node(name: str = "n", conditions: tuple[Obj, ...] = (ready(),), **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {}},
        "spec": spec,
        "status": {"conditions": list(conditions)},
    }
