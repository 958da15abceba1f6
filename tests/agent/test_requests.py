"""Everything an agent sends, against a real API server: nothing is refused, and it is what upstream's rules allow.

Where our server's rules are those of upstream, a request it takes is one upstream takes; some of what upstream checks
is held here once more, so that a lenient server cannot hide it again.
"""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

from agent.app import Agent
from apimachinery import formats, kinds, kubeconfig
from apimachinery.client import Client
from apimachinery.errors import ApiError, NotFound
from apimachinery.pods.requests import is_extended
from apimachinery.quantity import parse
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, pod, running
from tests.controlplane.apiserver.server import serving
from tests.waiting import WHOLE, until


class Recorded(Client):
    """A client that keeps what it sent and how it was answered."""

    sent: list[tuple[str, str, Any]]
    refused: list[str]

    async def request(self, method: str, path: str, **options: Any) -> Any:
        self.sent.append((method, path, options.get("body")))
        try:
            return await super().request(method, path, **options)
        except NotFound:
            # What is gone a moment before it is looked at or written is no mistake.
            raise
        except ApiError as error:
            self.refused.append(f"{method} {path}: {error}")
            raise


def config(folder: Path, server: str) -> Path:
    """A kubeconfig of the server's administrator: what is allowed is tested elsewhere."""
    ca, cert, key = ((folder / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
    path = folder / "kubeconfig"
    kubeconfig.write(path, kubeconfig.Cluster(server, ca, cert, key), "test")
    return path


def test_nothing_an_agent_sends_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    monkeypatch.setattr("agent.app.Client", Recorded)
    Recorded.sent, Recorded.refused = [], []

    async def main() -> None:
        async with serving(tmp_path) as admin:
            await life(admin, manifests, config(tmp_path, admin.server), tmp_path)

    asyncio.run(asyncio.wait_for(main(), WHOLE))
    assert Recorded.refused == []
    bodies = [body for _, _, body in Recorded.sent if isinstance(body, dict)]
    assert {"Node", "Lease", "Event", "Pod"} <= {body.get("kind") for body in bodies}
    for body in bodies:
        check(body)


async def life(admin: Client, manifests: Path, access: Path, folder: Path) -> None:
    runtime = FakeRuntime()
    settings: dict[str, Any] = {
        "kubeconfig": access,
        "node_ip": "10.0.0.7",
        "static_pod_dir": manifests,
        "node_status_seconds": 0.2,
    }
    async with running(folder, runtime, **settings) as agent:
        await until(lambda: agent.objects.node() is not None)
        containers = "spec: {containers: [{name: c, image: 'busybox:run'}]}"
        (manifests / "s.yaml").write_text(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: static}}\n{containers}\n")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await admin.create(kinds.SERVICE_ACCOUNT, account, "default")
        for made in pods():
            await admin.create(kinds.POD, made, "default")
        await until(lambda: phase(agent, "fine") == "Running" and phase(agent, "static-node1") == "Running")
        await until(lambda: phase(agent, "over") == "Failed" and phase(agent, "greedy") == "Failed")
        await until(lambda: phase(agent, "waits") == "Pending" and agent.view.find_pod("default", "waits"))
        for name in ("fine", "over", "greedy", "waits"):
            await admin.delete(kinds.POD, name, "default")
        (manifests / "s.yaml").unlink()
        await until(lambda: not agent.pods.all())
        while (await admin.list(kinds.POD, "default"))["items"]:
            # The mirror of a static pod goes a moment after it.
            await asyncio.sleep(0.02)
        said = (await admin.get(kinds.NODE, "node1"))["status"]
        assert "swap" not in said["nodeInfo"] or said["nodeInfo"]["swap"]["capacity"] > 0


def pods() -> list[dict[str, Any]]:
    quiet: dict[str, Any] = {
        "nodeName": "node1",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    fine = pod(
        "fine",
        initContainers=[container("i", "busybox:exit-0"), container("s", restartPolicy="Always")],
        containers=[container("c", resources={"limits": {"cpu": "10m", "memory": "16Mi"}}), container("d")],
        **quiet,
    )
    ruled = container("c", "busybox:exit-7", restartPolicy="Never", restartPolicyRules=[rule])
    over = pod("over", containers=[ruled], restartPolicy="Always", **quiet)
    greedy = pod("greedy", containers=[container("c", resources={"limits": {"cpu": "1000"}})], **quiet)
    waits = pod("waits", image="busybox:pullfail", **quiet)
    for made in (fine, over, greedy, waits):
        del made["metadata"]["uid"]
    return [fine, over, greedy, waits]


def phase(agent: Agent, name: str) -> str:
    found = agent.view.find_pod("default", name)
    return str(found["status"].get("phase")) if found else ""


def check(body: dict[str, Any]) -> None:
    """Upstream's rules (pkg/apis/core/validation) for what agents write."""
    status = body.get("status") or {}
    if body.get("kind") == "Event":
        assert body["metadata"]["namespace"] == (body["involvedObject"].get("namespace") or "default")
        assert not formats.dns1123_subdomain(body["metadata"]["name"])
    if "nodeInfo" in status:
        swap = status["nodeInfo"].get("swap")
        assert swap is None or swap["capacity"] > 0
    if "declaredFeatures" in status:
        features = status["declaredFeatures"]
        assert features == sorted(set(features))
    if "addresses" in status:
        addresses = [tuple(sorted(a.items())) for a in status["addresses"]]
        assert len(addresses) == len(set(addresses))
    for key in ("capacity", "allocatable"):
        for name, amount in (status.get(key) or {}).items():
            assert amount is None or parse(amount).value() >= 0
            assert not is_extended(name) or parse(amount).milli() % 1000 == 0
    for key in ("podIPs", "hostIPs"):
        ips = [entry["ip"] for entry in status.get(key) or () if "ip" in entry]
        assert len(ips) == len(set(ips))
        assert all(ipaddress.ip_address(ip) for ip in ips)
