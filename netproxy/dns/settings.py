"""What can be set of cluster DNS."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Dns:
    """Nothing is answered while both `addresses` and `listen` are empty: another DNS serves the cluster, or none."""

    addresses: tuple[str, ...] = ()
    """The cluster's DNS addresses, out of the Service range: put on the loopback device and answered on this host."""
    listen: tuple[str, ...] = ()
    """Addresses this host has already, to answer there too."""
    port: int = 53
    domain: str = "cluster.local"
    """The cluster's domain, without a final dot."""
    upstreams: tuple[str, ...] = ()
    """Who knows other names, each IP or IP:PORT, asked in this order; empty: the nameservers of resolv_conf."""
    resolv_conf: Path = Path("/etc/resolv.conf")
    """Looked at again when it changes."""
    stub_domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Domains that servers of their own know (IP or IP:PORT); the longest that fits a name is asked."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        servers = [("dns.upstreams", s) for s in self.upstreams]
        servers += [(f"dns.stub_domains.{d}", s) for d, found in self.stub_domains.items() for s in found]
        for where, text in servers:
            try:
                server_of(text)
            except ValueError as error:
                raise ValueError(f"{where}: {error}; write 192.0.2.53 or 192.0.2.53:5353") from error
        for name, texts in (("dns.addresses", self.addresses), ("dns.listen", self.listen)):
            for text in texts:
                try:
                    ipaddress.ip_address(text)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        if not self.domain or self.domain != self.domain.strip(".").lower():
            raise ValueError(f"dns.domain: {self.domain!r} must be lower case, without dots at its ends: cluster.local")

    @property
    def enabled(self) -> bool:
        """Whether this process answers at all."""
        return bool(self.addresses or self.listen)


def server_of(text: str) -> tuple[str, int]:
    """IP, IP:PORT or [IP]:PORT to both; raises ValueError."""
    host, port = text, "53"
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not 0 < int(port) < 65536:
        raise ValueError(f"{port} is no port")
    return str(ipaddress.ip_address(host)), int(port)
