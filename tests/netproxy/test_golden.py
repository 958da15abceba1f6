"""Our rules against recorded kube-proxy rules: the same packets must end the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netproxy.ground import Ground
from netproxy.model import Family
from netproxy.topology import Place
from tests import golden
from tests.netproxy import iptables_tracer, nft_tracer
from tests.netproxy.packet import Packet
from tests.netproxy.simulated import rules_for

_FILE = (golden.FOLDER or Path()) / "proxy" / "rules.json"
# The recorded proxy knew an IPv4 pod range and an IPv4 node address only.
RECORDED = Ground(
    Family.IPV4,
    cluster_cidrs=("10.244.0.0/16",),
    service_cidrs=("10.96.0.0/16", "fd00:96::/112"),
    node_ips=("10.20.0.11",),
)


def cases() -> list[Any]:
    if not _FILE.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason=golden.MISSING), id="none")]
    return [pytest.param(case, id=case["name"]) for case in json.loads(_FILE.read_text())["cases"]]


def packets() -> list[Packet]:
    """Every kind of source to every kind of destination."""
    four = {
        "sources": ("10.244.1.5", "10.244.1.9", "10.244.2.5", "10.20.0.11", "198.51.100.9", "192.0.2.77", "10.20.0.1"),
        "addresses": ("10.96.0.100", "203.0.113.7", "192.0.2.10", "10.20.0.11", "10.20.0.12", "10.244.1.5"),
    }
    six = {
        "sources": ("fd00:244:1::5", "fd00:244:2::9", "fd00:20::11", "fd00:99::1"),
        "addresses": ("fd00:96::100", "fd00:20::11"),
    }
    return [
        Packet(source, address, port, protocol)
        for family in (four, six)
        for source in family["sources"]
        for address in family["addresses"]
        for port, protocol in ((80, "tcp"), (443, "tcp"), (30080, "tcp"), (30999, "tcp"), (80, "sctp"), (81, "udp"))
    ]


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_packets_agree(mode: str, case: dict[str, Any]) -> None:
    ours = rules_for(mode, case["service"], [case["slice"]] if case["slice"] else [], Place("node1", "z1"), RECORDED)
    if mode == "iptables":
        text = "\n".join(case["iptables"]["nat"] + case["iptables"]["filter"])
        theirs_ip = iptables_tracer.apply({}, text)
    else:
        theirs_nft = nft_tracer.parse_listing(case["nftables"])
    six = ":" in case["service"]["spec"].get("clusterIP", "")
    compared = 0
    for packet in packets():
        if (":" in packet.src) != six:
            continue
        if mode == "iptables":
            theirs = iptables_tracer.trace(theirs_ip, packet)
        else:
            theirs = nft_tracer.trace(theirs_nft, packet)
        assert ours.trace(packet) == theirs, packet
        compared += 1
    assert compared
