"""What pods see of volumes, on each node."""

from __future__ import annotations

from typing import Any

from lab.e2e.cluster import NAMESPACE, Cluster


def _mount(name: str, path: str) -> dict[str, str]:
    return {"name": name, "mountPath": path}


def test_containers_of_a_pod_share_an_empty_directory(bare: Cluster, node: str) -> None:
    mount = {"volumeMounts": [_mount("v", "/v")]}
    writer = {"name": "writer", "image": bare.image, "command": ["sh", "-c", "echo hello >/v/f; sleep 10000"], **mount}
    reader = {"name": "reader", "image": bare.image, "command": ["sleep", "10000"], **mount}
    name = bare.made(
        f"shared-{node}", node, "true", containers=[writer, reader], volumes=[{"name": "v", "emptyDir": {}}]
    )
    bare.until(lambda: bare.kubectl("exec", name, "-c", "reader", "--", "cat", "/v/f") == "hello\n", 30, "it is read")


def test_maps_secrets_and_the_pods_own_fields_are_files_and_variables(bare: Cluster, node: str) -> None:
    metadata = {"name": f"told-{node}", "namespace": NAMESPACE}
    bare.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "mapped"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "secret"}},
    )
    sources: list[dict[str, Any]] = [
        {"configMap": {"name": metadata["name"], "items": [{"key": "key", "path": "map"}]}},
        {"secret": {"name": metadata["name"], "items": [{"key": "key", "path": "secret"}]}},
        {"downwardAPI": {"items": [{"path": "node", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    container = {
        "volumeMounts": [_mount("v", "/v")],
        "env": [{"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "envFrom": [{"configMapRef": {"name": metadata["name"]}, "prefix": "MAP_"}],
    }
    script = "cat /v/map /v/secret /v/node; test -s /v/token && echo; echo $WHERE $MAP_key"
    bare.finished(
        metadata["name"], node, script, container=container, volumes=[{"name": "v", "projected": {"sources": sources}}]
    )
    assert bare.kubectl("logs", metadata["name"]).split() == ["mappedsecret" + NAMESPACE, node, "mapped"]


def test_a_directory_of_the_node_outlives_the_pod(bare: Cluster, node: str) -> None:
    path = "/var/tmp/wht-e2e"
    volumes = [{"name": "v", "hostPath": {"path": path, "type": "DirectoryOrCreate"}}]
    container = {"volumeMounts": [_mount("v", "/v")]}
    bare.finished(f"writes-{node}", node, f"echo {node} >/v/{node}", container=container, volumes=volumes)
    bare.finished(f"reads-{node}", node, f"cat /v/{node}; rm /v/{node}", container=container, volumes=volumes)
    assert bare.kubectl("logs", f"reads-{node}").strip() == node
