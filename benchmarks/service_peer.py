"""The peer of `services`: a kube-proxy binary beside ours, in the same namespace and before the same API server."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from apimachinery.client import Client
from apimachinery.kinds import NODE
from apimachinery.kit import command
from benchmarks.plane import Daemons
from benchmarks.vips import GROUND, NODE_IP

MODES = ("nftables", "iptables")
"""what a peer is asked for: its ipvs mode needs modules that ours is not measured with everywhere"""
PAUSE = 1.2
"""seconds between two changes: its own pause between two syncs is one (minSyncPeriod), which is not what is measured"""
_NAME = "bench"


async def prepare(client: Client) -> None:
    """The Node that kube-proxy looks for before it does anything."""
    await client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _NAME}})
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": when, "lastTransitionTime": when}
    status = {"addresses": [{"type": "InternalIP", "address": NODE_IP}], "conditions": [ready]}
    await client.patch(NODE, _NAME, {"status": status}, subresource="status")


def start(processes: Daemons, binary: Path, mode: str) -> None:
    """Begin it under the name `proxy`, as kube-proxy comes but for limits of the whole machine, which it leaves."""
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "hostnameOverride": _NAME,
        "clusterCIDR": GROUND.cluster_cidrs[0],
        "clientConnection": {"kubeconfig": str(processes.kubeconfig)},
        "conntrack": untouched,
    }
    path = processes.folder / "peer.yaml"
    path.write_text(yaml.safe_dump(settings))
    processes.execute("proxy", [str(binary), "--config", str(path)])


async def clean_up(binary: Path) -> None:
    """Take its rules away."""
    await command.run([str(binary), "--cleanup"], timeout=300)
