"""Static pods and the API source."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.sources.api import deliver
from agent.sources.file import FileSource
from agent.sources.static import StaticPodError, pods_of
from apimachinery.pods.images import pull_policy
from tests.waiting import SECONDS

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {since: 2026-01-01}}
spec:
  hostNetwork: true
  containers:
  - name: c
    image: busybox
    ports: [{containerPort: 80}]
    resources: {limits: {cpu: 1}}
    readinessProbe: {httpGet: {port: 80}}
"""


class Sink:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.event = asyncio.Event()

    def _note(self, call: str, what: str) -> None:
        self.calls.append((call, what))
        self.event.set()

    def set_pod(self, source: str, pod: dict[str, Any]) -> None:
        self._note("set", pod["metadata"]["name"])

    def remove_pod(self, source: str, uid: str) -> None:
        self._note("remove", uid)

    def set_mirror(self, mirror: dict[str, Any]) -> None:
        self._note("mirror", mirror["metadata"]["name"])

    def remove_mirror(self, mirror: dict[str, Any]) -> None:
        self._note("unmirror", mirror["metadata"]["name"])

    def synced(self, source: str) -> None:
        self._note("synced", source)


def test_a_manifest_becomes_a_complete_pod() -> None:
    (pod,) = pods_of(MANIFEST, "/m/web.yaml", "node1", "t")
    meta, spec = pod["metadata"], pod["spec"]
    assert meta["name"] == "web-node1"
    assert meta["namespace"] == "default"
    assert meta["labels"] == {"since": "2026-01-01"}
    assert meta["annotations"] == {
        "kubernetes.io/config.hash": meta["uid"],
        "kubernetes.io/config.seen": "t",
        "kubernetes.io/config.source": "file",
    }
    assert spec["nodeName"] == "node1"
    assert spec["tolerations"] == [{"effect": "NoExecute", "operator": "Exists"}]
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
    assert container["resources"]["requests"] == {"cpu": 1}
    assert container["readinessProbe"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}


def test_identity_follows_content_file_and_node_but_not_time() -> None:
    def uid(text: str = MANIFEST, path: str = "/a", node: str = "n", seen: str = "t") -> str:
        return str(pods_of(text, path, node, seen)[0]["metadata"]["uid"])

    assert uid() == uid(seen="later") == uid(MANIFEST + "\n# comment\n")
    assert len({uid(), uid(path="/b"), uid(node="m"), uid(MANIFEST.replace("busybox", "other"))}) == 4
    assert len(uid()) == 32


def _pod(spec: str) -> str:
    return f"{{kind: Pod, apiVersion: v1, metadata: {{name: x}}, spec: {{{spec}}}}}"


ODD_AMOUNTS = (
    "initContainers: [{name: i, resources: {limits: {ephemeral-storage: much}}}]",
    "initContainers: [{name: i, resources: {requests: {cpu: [1]}}}]",
    "initContainers: [{name: i, env: [{valueFrom: {resourceFieldRef: {divisor: x}}}]}]",
    "resources: {limits: {memory: true}}",
    "overhead: {cpu: 1h}",
    "volumes: [{name: v, emptyDir: {sizeLimit: much}}]",
    "volumes: [{name: v, downwardAPI: {items: [{resourceFieldRef: {divisor: x}}]}}]",
    "volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{resourceFieldRef: {divisor: x}}]}}]}}]",
)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "just text",
        "{kind: Deployment, apiVersion: apps/v1}",
        "{kind: Pod, apiVersion: v1, metadata: {name: x}}",
        "{kind: Pod, apiVersion: v1, metadata: {name: x, labels: {a: y, b: on}}, spec: {containers: [{name: c}]}}",
        "{kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {serviceAccountName: s, containers: [{name: c}]}}",
        "{kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {containers: [{name: c}], volumes: [{secret: {}}]}}",
        _pod("containers: [c]"),
        _pod("containers: [{name: c, env: x}]"),
        "{kind: Pod, apiVersion: v1, metadata: null, spec: {containers: [{name: c}]}}",
        *(_pod("containers: [{name: c}], " + odd) for odd in ODD_AMOUNTS),
    ],
)
def test_a_manifest_that_cannot_run_is_refused(text: str) -> None:
    with pytest.raises(StaticPodError):
        pods_of(text, "/f", "n", "t")


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("r:5000/a", "Always"),
        ("a:1", "IfNotPresent"),
        (f"a@{DIGEST}", "IfNotPresent"),
        (f"a:1@{DIGEST}", "IfNotPresent"),
        (f"busybox:latest@{DIGEST}", "Always"),
        ("host:5000/a", "Always"),
        # None of these names an image.
        ("", "IfNotPresent"),
        ("Upper", "IfNotPresent"),
        ("a b", "IfNotPresent"),
        ("a@sha256:0", "IfNotPresent"),
        ("a" * 64, "IfNotPresent"),
        # Nor one whose path is too long, the default registry's folder included.
        ("a" * 247, "Always"),
        ("a" * 248, "IfNotPresent"),
        (f"example.com/{'a' * 255}", "Always"),
        (f"example.com/{'a' * 256}", "IfNotPresent"),
        (f"docker.io/{'a' * 248}:latest", "IfNotPresent"),
        (f"docker.io/b/{'a' * 253}:latest", "Always"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_a_directory_is_followed_file_by_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        sink = Sink()
        (tmp_path / "web.yaml").write_text(MANIFEST)
        (tmp_path / ".hidden").write_text(MANIFEST.replace("web", "hidden"))
        source = asyncio.ensure_future(FileSource(tmp_path, "n", 60.0).run(sink))

        async def heard(call: str, count: int = 1) -> None:
            while sum(1 for name, _ in sink.calls if name == call) < count:
                sink.event.clear()
                await asyncio.wait_for(sink.event.wait(), SECONDS)

        await heard("synced")
        assert sink.calls == [("set", "web-n"), ("synced", "file")]
        (tmp_path / "two.yaml").write_text(MANIFEST.replace("web", "two"))
        await heard("set", 2)
        # A broken write keeps the pod that ran.
        (tmp_path / "web.yaml").write_text("a: [")
        (tmp_path / "two.yaml").unlink()
        await heard("remove")
        assert sum(1 for name, _ in sink.calls if name == "remove") == 1
        (tmp_path / "web.yaml").write_text(MANIFEST.replace("busybox", "busybox:2"))
        await heard("remove", 2)
        await heard("set", 3)
        source.cancel()
        await asyncio.gather(source, return_exceptions=True)

    asyncio.run(scenario())


def test_changes_of_the_api_become_calls() -> None:
    sink = Sink.__new__(Sink)
    sink.calls, sink.event = [], None  # type: ignore[assignment]
    sink._note = lambda call, what: sink.calls.append((call, what))  # type: ignore[method-assign]

    def pod(uid: str, **annotations: str) -> dict[str, Any]:
        return {"metadata": {"name": "p", "uid": uid, "annotations": annotations}}

    mirror = pod("m", **{"kubernetes.io/config.mirror": "x"})
    deliver(sink, "api", None, pod("1"))
    deliver(sink, "api", pod("1"), pod("1"))
    deliver(sink, "api", pod("1"), pod("2"))
    deliver(sink, "api", pod("2"), None)
    deliver(sink, "api", None, mirror)
    deliver(sink, "api", mirror, None)
    assert sink.calls == [
        ("set", "p"),
        ("set", "p"),
        ("remove", "1"),
        ("set", "p"),
        ("remove", "2"),
        ("mirror", "p"),
        ("unmirror", "p"),
    ]
