"""What can be set about IPVS: KubeProxyIPVSConfiguration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos")


@dataclass(frozen=True)
class Options:
    """Times are seconds."""

    scheduler: str = "rr"
    """How a virtual server chooses among its real servers; the kernel must have the module ip_vs_NAME."""
    strict_arp: bool = False
    """Answer no ARP request for Services' addresses (arp_ignore 1, arp_announce 2), as MetalLB and kube-vip ask."""
    exclude_cidrs: tuple[str, ...] = ()
    """Virtual servers of other programs at addresses in these are left alone."""
    tcp_timeout: int = 0
    """Silent TCP connections are forgotten after it; 0: as the kernel has it."""
    tcp_fin_timeout: int = 0
    """The same for connections of which one side has ended."""
    udp_timeout: int = 0
    """The same for UDP."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        if self.scheduler not in SCHEDULERS:
            raise ValueError(f"ipvs.scheduler: {self.scheduler!r} is none of {', '.join(SCHEDULERS)}")
        for text in self.exclude_cidrs:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise ValueError(f"ipvs.exclude_cidrs: {error}") from error
        for name in ("tcp_timeout", "tcp_fin_timeout", "udp_timeout"):
            if getattr(self, name) < 0:
                raise ValueError(f"ipvs.{name}: use 0 or more seconds")
