"""A machine that runs pods, has a cluster's Services, or both: the settings of its agent and its proxy."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.node.address import default_node_name
from apimachinery import kubeconfig
from apimachinery.kit.files import write_atomic
from lab import components, privileges
from lab.components import Component
from lab.images import catalog
from lab.images import load as images
from lab.paths import Paths
from lab.process import Process
from lab.spec import Node as LabNode
from lab.spec import SpecError
from lab.standalone.credentials import Credentials
from lab.standalone.machine import HOME, Machine, own_address
from lab.standalone.settings import Node, merged

RUNTIME = Path("/run/containerd/containerd.sock")
RUNTIME_DEADLINE = 120.0
# systemd-resolved's stub listens on a loopback address, which in a pod is the pod's own, and for a DNS server itself.
_RESOLVED = Path("/run/systemd/resolve/resolv.conf")


def machine(settings: Node) -> Machine:
    """The cluster as this node sees it. SpecError when its address cannot be told."""
    parts = urlsplit(api_server(settings))
    address = own_address(settings.node_ip, parts.hostname or "", parts.port or 443)
    name = settings.node_name or default_node_name()
    return Machine(
        name="cluster",
        nodes=(LabNode(name, 1),),
        proxy_mode=settings.proxy_mode,
        pod_cidr=settings.pod_cidr,
        service_cidr=settings.service_cidr,
        node_cidr="",
        dns=settings.dns,
        pod_network=settings.pod_network,
        own_address=address,
        addresses={name: address},
    )


def api_server(settings: Node) -> str:
    """The URL at which this node reaches it."""
    return settings.server or kubeconfig.load(settings.kubeconfig or Path()).server


def dns_address(settings: Node) -> str:
    """What pods have in their resolv.conf."""
    return settings.cluster_dns or str(ipaddress.ip_network(settings.service_cidr)[10])


def resolv_conf() -> str:
    """The file that says which servers the machine itself asks."""
    return str(_RESOLVED if _RESOLVED.exists() else Path("/etc/resolv.conf"))


def agent(settings: Node, held: Credentials, home: Paths = HOME) -> Component:
    """The agent and, in the same process, its CNI daemon."""
    seen = machine(settings)
    (node,) = seen.nodes
    own: dict[str, Any] = {
        "agent": {
            "node_name": node.name,
            "node_ip": seen.own_address,
            "kubeconfig": str(held.kubeconfig),
            "root_dir": str(home.state / "agent"),
            "cri_socket": str(RUNTIME),
            "cluster_dns": [dns_address(settings)],
            "resolv_conf": resolv_conf(),
            "bind_address": seen.own_address,
            "port": components.AGENT_PORT,
            **({"tls_cert_file": str(held.serving[0]), "tls_key_file": str(held.serving[1])} if held.serving else {}),
            "client_ca_file": str(held.ca),
            "seccomp_default": True,
            "register_labels": dict(settings.labels),
            "register_taints": list(settings.taints),
        },
        "network": {
            "node_name": node.name,
            "run_dir": str(home.run),
            # Who has which address goes with the pods, which do not outlive the machine's uptime.
            "data_dir": str(home.run / "networks"),
            "cluster_cidr": [settings.pod_cidr],
            "mode": settings.pod_network,
        },
        "network_kubeconfig": str(held.kubeconfig),
    }
    told = {"agent": settings.agent, "network": settings.network}
    return _daemon("agent", "lab.nodeagent", merged(own, told), home)


def proxy(settings: Node, held: Credentials, home: Paths = HOME) -> Component:
    """The machine's netproxy."""
    seen = machine(settings)
    (node,) = seen.nodes
    dns = {"addresses": [dns_address(settings)], "resolv_conf": resolv_conf()}
    own = components.proxy_settings(seen, home, node.name, settings.proxy_mode, seen.gateways, dns)
    own |= {"kubeconfig": held.kubeconfig}
    return _daemon("proxy", "netproxy", merged(components.plain(own), settings.proxy), home)


def _daemon(name: str, module: str, settings: dict[str, Any], home: Paths) -> Component:
    file = home.settings_of(name)
    argv = (sys.executable, "-m", module, "--config", str(file))
    # What it may do, and where its output goes, is its unit's business.
    return Component(Process(name, argv, log="", capabilities=privileges.EVERYTHING), file, settings)


async def load_images(home: Paths = HOME) -> None:
    """What no registry has: pause, which every sandbox starts from, and busybox. Once for each state of containerd."""
    tar = await images.archive([catalog.PAUSE, catalog.BUSYBOX])
    marker = home.state / "images" / tar.name
    await _runtime_answers()
    if marker.exists() and catalog.PAUSE in {name for name, _ in await images.listed(RUNTIME)}:
        return
    await images.load(RUNTIME, tar)
    marker.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    write_atomic(marker, b"")


async def _runtime_answers() -> None:
    deadline = time.monotonic() + RUNTIME_DEADLINE
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(RUNTIME)
        except OSError as error:
            if time.monotonic() > deadline:
                raise SpecError(f"no container runtime answers at {RUNTIME}: systemctl status containerd") from error
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
