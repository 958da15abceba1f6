"""The lab's own links: a host and nodes in namespaces, with addresses of one family and of two."""

from __future__ import annotations

import re
import socket
import uuid

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, links
from lab import names, network, spec, uplink


@pytest.mark.kernel
@pytest.mark.parametrize("dual", [False, True])
def test_a_host_and_its_nodes_reach_each_other_by_every_family(dual: bool) -> None:
    more = {"pod_cidr": "10.244.0.0/16,fd44::/56", "service_cidr": "10.96.0.0/16,fd96::/112"} if dual else {}
    asked = {"pod_cidr": None, "service_cidr": None, "node_cidr": None, **more}
    made = spec.make("whtnet", 2, "nftables", in_use=[], **asked)
    host = netns.create(f"wht-{uuid.uuid4().hex[:8]}")
    try:
        with Netlink(host) as kernel:
            kernel.do(links.change("lo", up=True))
        netns.call(host, lambda: _try(made))
        with Netlink(host) as kernel:
            assert not kernel.routes(protocol=network.PROTOCOL), "nothing is left of it"
    finally:
        for node in made.nodes:
            netns.delete(names.namespace(made.name, node.name))
        netns.delete(host.name)


def _try(made: spec.Spec) -> None:
    network.fence(made)
    assert {str(r.destination) for r in network.fences(made.name)} == set(map(str, network.ranges(made)))
    assert set(map(str, network.ranges(made))) <= set(map(str, network.networks_in_use()))
    network.make_bridge(made)
    paths = [network.make_node(made, node, 0) for node in made.nodes for _ in range(2)][::2]
    families = (socket.AF_INET, socket.AF_INET6)[: len(made.gateways)]
    for place, (family, gateway) in enumerate(zip(families, made.gateways, strict=True)):
        far = made.addresses_of(made.nodes[1])[place]
        with netns.open_socket(paths[1], family, socket.SOCK_DGRAM) as server:
            server.settimeout(60)
            server.bind((far, 9))
            for sender, expected in (("", gateway), (paths[0], made.addresses_of(made.nodes[0])[place])):
                with netns.open_socket(sender or netns.CURRENT, family, socket.SOCK_DGRAM) as client:
                    client.sendto(b"x", (far, 9))
                    assert server.recvfrom(9)[1][0] == expected
    rules = uplink.rules(made)
    assert "fd" not in rules
    assert not re.findall(r"\{[^{}\n]*/[^{}\n]*\}", rules), "a set of networks is empty for a moment"
    network.remove_links(made.name)
    network.unfence(made.name, [])
