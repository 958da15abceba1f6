"""Host ports: two pods of one node cannot have the same port and protocol on overlapping addresses."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.objects import Obj

ANY = "0.0.0.0"

HostPort = tuple[str, str, int]
"""(address, protocol, port)."""


def host_ports(spec: Obj) -> Iterator[HostPort]:
    """Every host port a PodSpec takes for as long as the pod runs: those of its containers and sidecars."""
    containers = list(spec.get("containers") or ())
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or ANY, port.get("protocol") or "TCP", port["hostPort"]


def conflicts(wanted: frozenset[HostPort], used: frozenset[HostPort]) -> bool:
    """Whether any port of one set clashes with the other; the wildcard address clashes with all."""
    for address, protocol, port in wanted:
        for other_address, other_protocol, other_port in used:
            if (
                port == other_port
                and protocol == other_protocol
                and (address == other_address or ANY in (address, other_address))
            ):
                return True
    return False
