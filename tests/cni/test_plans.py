"""The pure plans: what an attachment looks like, which routes a node needs, what is installed."""

import json
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.netlink import Route
from cni import install
from cni.bridge import config as bridge_config
from cni.bridge import plan as bridge_plan
from cni.bridge.config import Config
from cni.node import plan
from cni.node.model import NodeNetwork, extract
from cni.settings import Settings
from cni.skel import Request
from cni.types import CniError


def node(name: str, cidrs: list[str], addresses: list[str]) -> NodeNetwork:
    return NodeNetwork(name, tuple(map(ip_network, cidrs)), tuple(map(ip_address, addresses)))


A = node("a", ["10.244.0.0/24", "fd44::/64"], ["192.168.9.1", "fd09::1"])
B = node("b", ["10.244.1.0/24", "fd44:0:0:1::/64"], ["192.168.9.2", "fd09::2"])
CLUSTER = (ip_network("10.244.0.0/16"),)


def test_routes_lead_to_every_other_node_and_nowhere_else() -> None:
    found = plan.wanted("a", [A, B], CLUSTER)
    assert [(str(r.destination), str(r.gateway), r.kind) for r in found] == [
        ("10.244.1.0/24", "192.168.9.2", "unicast"),
        ("fd44:0:0:1::/64", "fd09::2", "unicast"),
        ("10.244.0.0/16", "None", "unreachable"),
    ]
    assert {r.protocol for r in found} == {plan.PROTOCOL}


def test_a_machine_that_is_no_node_has_routes_to_all() -> None:
    found = plan.wanted("", [B, A], CLUSTER)
    assert [str(r.destination) for r in found][::2] == ["10.244.0.0/24", "10.244.1.0/24"]
    assert len(found) == 4, "the rest of the range is not this machine's to close"


def test_a_machine_with_two_clusters_keeps_the_routes_of_both() -> None:
    other = Route(ip_network("10.99.1.0/24"), gateway=ip_address("192.168.9.9"), protocol=plan.PROTOCOL)
    gone = Route(ip_network("10.244.9.0/24"), gateway=ip_address("192.168.9.9"), protocol=plan.PROTOCOL)
    assert plan.owned("", [other, gone], CLUSTER) == (gone,)
    assert plan.owned("a", [other, gone], CLUSTER) == (other, gone)


def test_nodes_without_cidr_or_address_and_overlaps_are_left_out() -> None:
    thief = node("z", ["10.244.0.128/25"], ["192.168.9.3"])
    found = plan.wanted("a", [A, thief, node("c", [], ["192.168.9.4"]), node("d", ["10.244.4.0/24"], [])], ())
    assert found == ()


def test_changes_replace_in_place_and_delete_the_rest() -> None:
    goal = plan.wanted("a", [A, B], CLUSTER)
    moved = [Route(ip_network("10.244.1.0/24"), gateway=ip_address("192.168.9.7"), link=3, protocol=0x77)]
    gone = Route(ip_network("10.244.9.0/24"), gateway=ip_address("192.168.9.9"), link=3, protocol=0x77)
    change = plan.changes([*moved, gone], goal)
    assert change.set == goal and change.delete == (gone,)


def test_what_the_kernel_reports_back_needs_no_change() -> None:
    goal = plan.wanted("a", [A, B], (*CLUSTER, ip_network("fd44::/48")))
    reported = [
        Route(
            r.destination,
            r.gateway,
            3,
            1024 if r.destination.version == 6 and not r.metric else r.metric,
            None,
            r.kind,
            r.protocol,
        )
        for r in goal
    ]
    assert plan.changes(reported, goal) == plan.Changes((), ())
    assert plan.changes(goal, ()).delete == goal


def test_the_extract_survives_odd_nodes() -> None:
    full = {
        "metadata": {"name": "n"},
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.9.9.9"}]},
    }
    assert extract(full) == node("n", ["10.0.0.0/24"], ["10.9.9.9"])
    assert extract({"metadata": {"name": "n"}}) == node("n", [], [])
    broken = {
        "metadata": {"name": "n"},
        "spec": {"podCIDRs": ["x"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "?"}]},
    }
    assert extract(broken) == node("n", [], [])


GIVEN: dict[str, Any] = {
    "ips": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd01::5/64"}],
    "routes": [{"dst": "10.0.0.0/8"}, {"dst": "192.168.0.0/16", "gw": "10.1.0.9"}],
}


def test_a_default_gateway_gives_default_routes_of_both_families() -> None:
    what = bridge_plan.attachment(Config(is_gateway=True, is_default_gateway=True), "veth1", "eth0", GIVEN)
    assert what.gateways == (ip_interface("10.1.0.1/24"), ip_interface("fd01::1/64"))
    assert [(str(r.destination), str(r.gateway)) for r in what.routes] == [
        ("10.0.0.0/8", "10.1.0.1"),
        ("192.168.0.0/16", "10.1.0.9"),
        ("0.0.0.0/0", "10.1.0.1"),
        ("::/0", "fd01::1"),
    ]
    assert what.mac == "0a:58:0a:01:00:05"
    assert [ip["interface"] for ip in what.ips] == [2, 2]


def test_every_property_of_a_route_is_used_and_told() -> None:
    route = {
        "dst": "10.9.0.0/16",
        "gw": "10.1.0.9",
        "mtu": 1400,
        "advmss": 1300,
        "priority": 7,
        "table": 100,
        "scope": 0,
    }
    what = bridge_plan.attachment(Config(), "v", "eth0", {"ips": GIVEN["ips"], "routes": [route]})
    (found,) = what.routes
    assert (found.mtu, found.advmss, found.metric, found.table, found.scope) == (1400, 1300, 7, 100, 0)
    assert bridge_plan.result({}, {}, {}, what)["routes"] == [route]
    with pytest.raises(CniError, match="route"):
        bridge_plan.attachment(Config(), "v", "eth0", {"ips": [], "routes": [{**route, "table": "main"}]})


def test_the_configurations_dns_wins() -> None:
    config = bridge_config.parse(Request("ADD", config={"dns": {"nameservers": ["10.0.0.10"], "domain": ""}}))
    given = {**GIVEN, "dns": {"nameservers": ["1.1.1.1"], "search": ["a"]}}
    assert bridge_plan.attachment(config, "v", "eth0", given).dns == {"nameservers": ["10.0.0.10"]}
    assert bridge_plan.attachment(Config(), "v", "eth0", given).dns == given["dns"]


def test_without_a_gateway_the_bridge_gets_no_address() -> None:
    what = bridge_plan.attachment(Config(mac="02:00:00:00:00:07"), "veth1", "eth0", GIVEN)
    assert what.gateways == () and what.mac == "02:00:00:00:00:07"
    assert "gateway" not in what.ips[1]


def test_an_ipam_result_that_makes_no_sense_is_refused() -> None:
    senseless: list[dict[str, str]] = [{"address": "10.1.0.5/99"}, {}, {"address": "10.1.0.5/24", "gateway": "x"}]
    for ip in senseless:
        with pytest.raises(CniError, match="IPAM result"):
            bridge_plan.attachment(Config(), "v", "eth0", {"ips": [ip], "routes": []})


def test_addresses_that_must_make_way() -> None:
    present = [ip_interface(t) for t in ("10.1.0.1/24", "10.2.0.1/24", "fd01::1/64", "fd02::1/64", "fe80::1/64")]
    assert bridge_plan.conflicting(ip_interface("10.1.0.1/24"), present) == [ip_interface("10.2.0.1/24")]
    assert bridge_plan.conflicting(ip_interface("fd01::9/64"), present) == [ip_interface("fd01::1/64")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"hairpinMode": True, "promiscMode": True}, 7),
        ({"disableContainerInterface": True, "ipam": {"type": "host-local"}}, 7),
        ({"dns": ["10.0.0.10"]}, 6),
        ({"mtu": "big"}, 6),
        ({"isGateway": "yes"}, 6),
        ({"mac": "xx"}, 7),
        ({"bridge": "b" * 16}, 7),
    ],
)
def test_bad_bridge_settings(given: dict[str, Any], code: int) -> None:
    with pytest.raises(CniError) as refused:
        bridge_config.parse(Request("ADD", config=given))
    assert refused.value.code == code


def test_the_mac_capability_wins() -> None:
    given = {"mac": "02:00:00:00:00:01", "runtimeConfig": {"mac": "02:00:00:00:00:AA"}}
    assert (
        bridge_config.parse(Request("ADD", arguments={"MAC": "02:00:00:00:00:02"}, config=given)).mac
        == "02:00:00:00:00:aa"
    )


def test_host_names_fit_and_differ() -> None:
    names = {bridge_plan.host_name("net", f"c{n}", "eth0") for n in range(2000)}
    assert len(names) == 2000 and {len(n) for n in names} == {15}


def settings(base: Path) -> Settings:
    return Settings("n", base / "run", base / "conf", base / "bin", base / "data")


def test_installing_is_repeatable_and_spares_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bridge").write_text("somebody else's")
    ours = {p.name for p in install.install_executables(tmp_path / "bin")}
    assert ours == {p.name for p in install.install_executables(tmp_path / "bin")}
    assert "bridge" not in ours and {"wherry-bridge", "loopback", "host-local"} <= ours
    assert (tmp_path / "bin" / "bridge").read_text() == "somebody else's"
    assert (tmp_path / "bin" / "loopback").stat().st_mode & 0o777 == 0o755


def test_the_conflist_waits_for_a_cidr_and_is_written_once(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with pytest.raises(ValueError, match="CIDR"):
        install.install_conflist(given, [], 1400)
    assert install.install_conflist(given, ["10.244.1.0/24"], 1400) is True
    assert install.install_conflist(given, ["10.244.1.0/24"], 1400) is False
    assert install.install_conflist(given, ["10.244.2.0/24"], 1400) is True
    written = json.loads((given.conf_dir / install.CONFLIST).read_text())
    assert written["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}]]
    assert written["plugins"][0]["mtu"] == 1400
    assert written["plugins"][1]["capabilities"] == {"portMappings": True}
    assert [p.name for p in given.conf_dir.iterdir()] == [install.CONFLIST]
