"""The name and the address that the node is known by."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from apimachinery import kubeconfig

if TYPE_CHECKING:
    # Others ask for a route or a name alone, and have no use for all of an agent's settings.
    from agent.settings import AgentSettings


def default_node_name() -> str:
    """The host's name, as upstream's kubelet takes it."""
    return socket.gethostname().lower()


def node_addresses(settings: AgentSettings) -> tuple[str, ...]:
    """The configured address, or the source address of the route to the API server.

    Never the first interface's: behind VirtualBox's NAT every machine has 10.0.2.15 there.
    """
    if settings.node_ip:
        return tuple(str(ipaddress.ip_address(text.strip())) for text in settings.node_ip.split(","))
    if settings.kubeconfig is None:
        return ("127.0.0.1",)
    parts = urlsplit(kubeconfig.load(settings.kubeconfig).server)
    return (route_source(parts.hostname or "127.0.0.1", parts.port or 443),)


def route_source(host: str, port: int) -> str:
    """The address the kernel would send from; nothing is sent."""
    family, kind, proto, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, proto) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])
