"""Three nodes with pods: every pod reaches every pod, whatever comes and goes."""

import asyncio
import errno
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest

from apimachinery.kit.netlink import Netlink, Route, routes
from cni import install
from cni.node.masquerade import ruleset
from cni.portmap import nftables as portmap
from cni.portmap.plan import Forward
from tests.cni import kernel
from tests.cni.nodes import CLUSTER, FakeInformer, Node, Running, all_pairs, new_ground, until
from tests.cni.proxied import go_and_come_back_one_way
from tests.cni.test_portmap import holder


def test_the_masquerade_names_what_stays_inside() -> None:
    text = ruleset("cni0", [ip_network("10.244.1.0/24")], [ip_network("10.244.0.0/16")], [ip_interface("10.9.0.1").ip])
    leaving = ["10.244.0.0/16 return", "224.0.0.0/4 return", "@nodes4 return"]
    assert "chain leaving4 { " + " ".join(f"ip daddr {what}" for what in leaving) + " masquerade }" in " ".join(
        text.split()
    )
    assert "set nodes4 { type ipv4_addr; size 1; elements = { 10.9.0.1 }; }" in text
    assert "priority srcnat + 10;\n    ip saddr 10.244.1.0/24 jump leaving4\n  }" in text
    assert "ip6" not in text


def test_a_pods_own_network_outside_the_clusters_range_stays_inside() -> None:
    own = [ip_network("10.1.0.0/24"), ip_network("10.2.0.0/24"), ip_network("fd44::/64")]
    text = ruleset("cni0", own, [ip_network("10.244.0.0/16"), ip_network("fd44::/48")], [], 4789)
    for network in ("10.1.0.0/24", "10.2.0.0/24", "10.244.0.0/16", "224.0.0.0/4"):
        assert text.count(f"ip daddr {network} return") == 1
    assert "ip6 daddr fd44::/48 return" in text and "ip6 daddr fd44::/64" not in text
    assert text.count("jump leaving4") == 2 and text.count("jump leaving6") == 1


def test_no_set_of_intervals_is_written_anew_while_packets_are_looked_up_in_it() -> None:
    """It is found empty for a moment: a pod's connection inside the cluster would be translated for its whole life."""
    mine, nodes = [ip_network("10.244.1.0/24"), ip_network("fd44::/64")], [ip_interface("10.9.0.1").ip]
    shared = holder("a", Forward("tcp", "", 80, "10.244.1.2", 80))
    for text in (ruleset("cni0", mine, [ip_network("10.244.0.0/16")], nodes, 4789), portmap.ruleset([shared])):
        assert "interval" not in text
        assert not [braces for braces in re.findall(r"\{([^{}]*)\}", text) if "/" in braces and "\n" not in braces]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    with new_ground(tmp_path) as made:
        yield made


@pytest.mark.kernel
def test_three_nodes_six_pods(ground: tuple[Path, list[Node], list[Path]]) -> None:
    outside, nodes, pods = ground

    running = [Running(n) for n in nodes]
    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(r.main) for r in running]
        try:
            _everything(outside, nodes, pods, running)
        finally:
            for one in running:
                one.stop()
        for future in futures:
            future.result(20)


def _everything(outside: Path, nodes: list[Node], pods: list[Path], running: list[Running]) -> None:
    for one in running:
        for node in nodes:
            one.tell(partial(FakeInformer.put, name=node.name, number=node.number))
    for one in running:
        others = [n.number for n in nodes if n is not one.node]
        goal = {f"10.244.{n}.0/24": f"10.99.0.{n}" for n in others} | {
            f"fd44:0:0:{n}::/64": f"fd99::{n}" for n in others
        }
        goal |= dict.fromkeys(CLUSTER, "unreachable")
        until(partial(lambda o, g: o.our_routes() == g, one, goal))
        until((one.node.settings.conf_dir / install.CONFLIST).exists)
    for place, pod in enumerate(pods):
        asyncio.run(nodes[place % 3].add(pod))
    all_pairs(nodes)
    _to_and_from_outside(outside, nodes)
    go_and_come_back_one_way(nodes, outside)
    _nodes_come_and_go(running)


def _to_and_from_outside(outside: Path, nodes: list[Node]) -> None:
    pod, result = nodes[0].pods[0]
    with kernel.echo(outside):
        assert kernel.ask(pod, "10.99.0.4") == "10.99.0.1", "leaving the cluster, a pod has its node's address"
    with kernel.echo(nodes[1].path):
        assert kernel.ask(pod, "10.99.0.2") == kernel.address_of(result), "a node sees the pod's own address"
    with pytest.raises(OSError) as refused:
        kernel.ask(nodes[0].path, "10.244.200.1")
    assert refused.value.errno == errno.EHOSTUNREACH, "the rest of the cluster's range must not leave by default"


def _nodes_come_and_go(running: list[Running]) -> None:
    one = running[0]
    one.tell(lambda i: i.put("node9", 9))
    until(lambda: one.our_routes().get("10.244.9.0/24") == "10.99.0.9")
    with Netlink(one.node.path) as node:
        foreign = Route(ip_network("10.244.77.0/24"), ip_interface("10.99.0.7").ip, node.index("eth0"))
        node.do(routes.add_route(foreign))
        one.tell(lambda i: i.remove("node9"))
        until(lambda: "10.244.9.0/24" not in one.our_routes())
        assert node.route_to(foreign.destination) is not None, "another's route must stay"
