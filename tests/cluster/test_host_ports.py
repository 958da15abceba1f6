"""hostPort: upstream's conformance case, and every side from which it is reached."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.lab import Lab, fetch, ready
from tests.waiting import eventually

pytestmark = pytest.mark.cluster
PORT = 18323


def server(name: str, node: str, host_ip: str, protocol: str = "TCP") -> dict[str, Any]:
    """A pod that says its own name to HTTP on 8080, whatever the protocol of its host port. The image has no server
    for datagrams; those are tried in tests/cni/test_portmap.py.
    """
    http = f"mkdir -p /www && echo {name} > /www/index.html && exec httpd -f -p 8080 -h /www"
    port = {"containerPort": 8080, "hostPort": PORT, "hostIP": host_ip, "protocol": protocol}
    container = {"name": "c", "image": "wherry.local/busybox:1", "command": ["sh", "-c", http], "ports": [port]}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_pods_share_a_port_by_address_and_protocol_and_every_side_reaches_it(clean: Lab) -> None:
    lab = clean
    addresses = lab.get("node", "node1")["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    lab.apply(
        server("near", "node1", "127.0.0.1"),
        server("far", "node1", node),
        server("datagrams", "node1", node, "UDP"),
        server("beside", "node1", node, "SCTP"),
        server("elsewhere", "node2", ""),
    )
    eventually(lambda: all(map(ready, lab.get("pods")["items"])), what="all are ready")

    def everybody_is_right() -> bool:
        assert not any(s["restartCount"] for p in lab.get("pods")["items"] for s in p["status"]["containerStatuses"])
        assert fetch(node, PORT) == "far"
        assert lab.fetch_on_node("node1", "127.0.0.1", PORT) == "near"
        assert lab.fetch_on_node("node1", node, PORT) == "far"
        assert lab.fetch_on_node("node2", node, PORT) == "far"
        for pod in ("elsewhere", "beside", "far"):
            assert lab.fetch_in_pod(pod, node, PORT) == "far"
        return True

    eventually(everybody_is_right, what="every side reaches the right pod")
    lab.on_node("node1", "nft", "flush", "ruleset")
    eventually(everybody_is_right, what="every side reaches the right pod again")
    lab.kubectl("delete", "pod", "far", "--wait=true")
    # Without grace the object goes before the pod does.
    eventually(lambda: refused(node), what="the port is closed")


def refused(node: str) -> bool:
    try:
        fetch(node, PORT)
    except ConnectionRefusedError:
        return True
    return False
