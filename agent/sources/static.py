"""How a manifest on disk becomes a pod; pure.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/ .
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from agent.cri.names import CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE
from agent.sources.defaults import default_pod
from apimachinery import manifests, objects, quantity
from apimachinery.objects import Obj


class StaticPodError(ValueError):
    """The file holds no pod the agent can run; the message is for the log."""


def pods_of(text: str, path: str, node_name: str, seen: str) -> list[Obj]:
    """The pods of one manifest file, complete. Raises StaticPodError; `seen` is RFC 3339 with nanoseconds."""
    try:
        documents = manifests.load_all(text)
    except manifests.ManifestError as error:
        raise StaticPodError(f"{path}: {error}") from error
    try:
        return [static_pod(document, path, node_name, seen) for document in documents]
    except (AttributeError, KeyError, TypeError) as error:
        # Nobody has looked at its types, and what stumbles over one here would end the agent.
        raise StaticPodError(f"{path}: a field is not of its type ({error!r})") from error


def static_pod(manifest: Obj, path: str, node_name: str, seen: str) -> Obj:
    """One manifest as the pod this node runs: named for the node, identified by its content."""
    if manifest.get("kind") != "Pod" or manifest.get("apiVersion") != "v1":
        raise StaticPodError(f"{path}: a static manifest must be a v1 Pod, not {manifest.get('kind')}")
    pod = objects.copy(manifest)
    meta, spec = pod.setdefault("metadata", {}), pod.get("spec")
    if not meta.get("name") or not isinstance(spec, dict) or not spec.get("containers"):
        raise StaticPodError(f"{path}: a Pod needs a name and at least one container")
    _refuse_references(pod, path)
    for where, amount in _quantities(spec):
        try:
            quantity.parse(amount)
        except quantity.QuantityError as error:
            raise StaticPodError(f"{path}: {where}: {amount!r}: {error}") from error
    for field in ("labels", "annotations"):
        odd = [key for key, value in (meta.get(field) or {}).items() if not isinstance(value, str)]
        if odd:
            # YAML reads y, on and 1 as something else; running it would show other labels than were written.
            raise StaticPodError(f"{path}: metadata.{field}[{odd[0]}] must be a string: put it in quotes")
    uid = meta.get("uid") or identity(manifest, path, node_name)
    meta["name"] = f"{meta['name']}-{node_name}"
    meta.setdefault("namespace", "default")
    meta["uid"] = uid
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        CONFIG_HASH: uid,
        CONFIG_SEEN: seen,
        CONFIG_SOURCE: "file",
    }
    spec["nodeName"] = node_name
    # A static pod is not evicted by taints: nobody could start it elsewhere.
    tolerations = spec.setdefault("tolerations", [])
    if not any(t.get("operator") == "Exists" and t.get("effect") == "NoExecute" for t in tolerations):
        tolerations.append({"effect": "NoExecute", "operator": "Exists"})
    default_pod(pod)
    pod["status"] = {"phase": "Pending"}
    return pod


def identity(manifest: Obj, path: str, node_name: str) -> str:
    """The same content in the same file on the same node is the same pod."""
    content = objects.dumps(_sorted(manifest)) + f"host:{node_name}file:{path}".encode()
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _refuse_references(pod: Obj, path: str) -> None:
    """A static pod runs without the API server, so it may not refer to objects there."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        raise StaticPodError(f"{path}: a static pod may not reference a service account")
    for volume in spec.get("volumes") or []:
        sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
        for kind in (
            "secret",
            "configMap",
            "serviceAccountToken",
            "clusterTrustBundle",
            "persistentVolumeClaim",
        ):
            if any(kind in source for source in sources):
                raise StaticPodError(f"{path}: a static pod may not reference a {kind} (volume {volume.get('name')})")
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or []:
            sources = [v.get("valueFrom") or {} for v in container.get("env") or []]
            sources += container.get("envFrom") or []
            if any(key.startswith(("configMap", "secret")) for source in sources for key in source):
                raise StaticPodError(f"{path}: a static pod may not take variables from API objects")


def _quantities(spec: Obj) -> Iterator[tuple[str, Any]]:
    """(of what, value) of everything in it that has to be a quantity."""
    holders = [("the pod", spec)]
    holders += [(f"container {c.get('name')}", c) for g in ("initContainers", "containers") for c in spec.get(g) or []]
    for whose, holder in holders:
        resources = holder.get("resources") or {}
        for field in ("limits", "requests"):
            for name, amount in (resources.get(field) or {}).items():
                yield f"{field}[{name}] of {whose}", amount
        refs = [(variable.get("valueFrom") or {}) for variable in holder.get("env") or []]
        yield from _divisors(whose, refs)
    for name, amount in (spec.get("overhead") or {}).items():
        yield f"overhead[{name}]", amount
    for volume in spec.get("volumes") or []:
        whose = f"volume {volume.get('name')}"
        if (limit := (volume.get("emptyDir") or {}).get("sizeLimit")) is not None:
            yield f"sizeLimit of {whose}", limit
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            yield from _divisors(whose, (source.get("downwardAPI") or {}).get("items") or [])


def _divisors(whose: str, refs: list[Obj]) -> Iterator[tuple[str, Any]]:
    for ref in refs:
        if (divisor := (ref.get("resourceFieldRef") or {}).get("divisor")) is not None:
            yield f"divisor of {whose}", divisor
