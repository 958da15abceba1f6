"""Every name this package writes into the kernel.

The iptables chain names and the hash inside the nftables names follow kube-proxy's scheme, so that tools and
people who know one recognise the other.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from netproxy.model import Backend, PortKey

NFT_TABLE = "wherry-proxy"
"""our nftables table, one per family, unless settings name another; nobody else writes into it"""


def guard_table(nft_table: str) -> str:
    """The guard's table beside the mode's own, whose name tells several proxies on a host apart."""
    return nft_table.removesuffix("-proxy") + "-guard"


def stand_in_table(nft_table: str) -> str:
    """The table that serves while iptables' chains are written, beside the mode's own."""
    return nft_table.removesuffix("-proxy") + "-stand-in"


def policy_table(nft_table: str) -> str:
    """The table of NetworkPolicies, beside the mode's own."""
    return nft_table.removesuffix("-proxy") + "-policy"


MASQUERADE_MARK = 0x4000
"""the packet mark bit that asks for source NAT (kube-proxy's default, iptablesMasqueradeBit 14)"""


# A plan names each of its chains where it stands and where others lead to it.
@lru_cache(256)
def digest(text: str, length: int) -> str:
    """The first characters of the base32 SHA-256 of `text`."""
    # Five bytes are eight characters; no more is encoded than is shown.
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[: -(-length * 5 // 8)]).decode()[:length]


def address(backend: Backend) -> str:
    """ip:port, the IPv6 address in brackets."""
    return f"[{backend.ip}]:{backend.port}" if ":" in backend.ip else f"{backend.ip}:{backend.port}"


# iptables

OWNER_CHAIN = "WHERRY-PROXY"
"""an empty chain in each table: the KUBE chains beside it are ours, not another kube-proxy's"""


def _port_digest(key: PortKey) -> str:
    return digest(key.title + key.protocol.lower(), 16)


def cluster_chain(key: PortKey) -> str:
    """Chain that spreads over the Cluster policy's endpoints."""
    return "KUBE-SVC-" + _port_digest(key)


def local_chain(key: PortKey) -> str:
    """Chain that spreads over this node's endpoints."""
    return "KUBE-SVL-" + _port_digest(key)


def external_chain(key: PortKey) -> str:
    """Chain that receives traffic to node ports, external and load balancer addresses."""
    return "KUBE-EXT-" + _port_digest(key)


def firewall_chain(key: PortKey) -> str:
    """Chain that lets only the load balancer source ranges through."""
    return "KUBE-FW-" + _port_digest(key)


def endpoint_chain(key: PortKey, backend: Backend) -> str:
    """Chain that sends to one endpoint."""
    return "KUBE-SEP-" + digest(key.title + key.protocol.lower() + address(backend), 16)


# nftables

_NFT_NAME_LIMIT = 120
"""the kernel allows 127 characters; a prefix of up to 12 goes in front"""


def _nft_base(key: PortKey) -> str:
    text = f"{key.namespace}/{key.service}/{key.protocol.lower()}/{key.port}"
    return f"{digest(text, 8)}-{text}"[: _NFT_NAME_LIMIT - 12]


def nft_service(key: PortKey) -> str:
    """Chain for the Cluster policy's endpoints of a Service that needs a chain of its own."""
    return "service-" + _nft_base(key)


def nft_local(key: PortKey) -> str:
    """Chain for this node's endpoints."""
    return "local-" + _nft_base(key)


def nft_external(key: PortKey) -> str:
    """Chain for traffic from outside."""
    return "external-" + _nft_base(key)


def nft_firewall(key: PortKey) -> str:
    """Chain that drops what is outside the load balancer source ranges."""
    return "firewall-" + _nft_base(key)


def _nft_endpoint_base(key: PortKey, backend: Backend) -> str:
    ip = backend.ip.replace(":", ".")
    text = f"{key.namespace}/{key.service}/{key.protocol.lower()}/{key.port}__{backend.ip}/{backend.port}"
    readable = f"{key.namespace}/{key.service}/{key.protocol.lower()}/{key.port}__{ip}/{backend.port}"
    return f"{digest(text, 8)}-{readable}"[: _NFT_NAME_LIMIT - 12]


def nft_endpoint(key: PortKey, backend: Backend) -> str:
    """Chain that remembers a client and sends to one endpoint (session affinity)."""
    return "endpoint-" + _nft_endpoint_base(key, backend)


def nft_affinity(key: PortKey, backend: Backend) -> str:
    """Set of the clients bound to one endpoint."""
    return "affinity-" + _nft_endpoint_base(key, backend)


@lru_cache(1024)
def nft_spread(protocol: str, count: int) -> str:
    """Chain that picks one of `count` endpoints of a Service address; protocol in lower case."""
    return f"{protocol}-{count}"


def nft_spread_external(protocol: str, count: int) -> str:
    """The same for external addresses: asks for source NAT first."""
    return f"{protocol}-external-{count}"


def nft_spread_node_port(protocol: str, count: int) -> str:
    """The same for a node port."""
    return f"{protocol}-node-port-{count}"


@lru_cache(1024)
def nft_endpoints(protocol: str) -> str:
    """Map (address, port, index) → endpoint."""
    return f"endpoints-{protocol}"


def nft_node_port_endpoints(protocol: str) -> str:
    """Map (node port, index) → endpoint."""
    return f"node-port-endpoints-{protocol}"


# NetworkPolicies

NFT_GROUP, NFT_NAMED_PORT = "pods-", "port-"
"""how the names of sets begin that policies need"""


def nft_policy(direction: str, key: str) -> str:
    """Chain that accepts what one policy allows. `direction`: Ingress or Egress; `key`: namespace/name."""
    return f"{direction.lower()}-{digest(key, 8)}-{key}"[: _NFT_NAME_LIMIT - 12]


def nft_isolated(direction: str, policies: tuple[str, ...]) -> str:
    """Chain of the pods that exactly these policies select."""
    return f"isolated-{direction.lower()}-{digest(' '.join(policies), 16)}"


def nft_block(direction: str, text: str) -> str:
    """Chain that accepts what is in none of the exceptions that `text` lists."""
    return f"block-{direction.lower()}-{digest(text, 16)}"


def nft_group(text: str) -> str:
    """Set of the addresses of the pods that `text` describes."""
    return NFT_GROUP + digest(text, 16)


def nft_named_port(protocol: str, name: str) -> str:
    """Set of (address, port) of the pods that call a port by this name."""
    return f"{NFT_NAMED_PORT}{protocol.lower()}-{name}"
