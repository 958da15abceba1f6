"""A lab's plan: ranges that fit, errors that name the option, names that the kernel takes."""

import dataclasses
import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.election import ElectionSettings
from lab import components, names, scheduling, spec
from lab.paths import Paths
from lab.spec import SpecError
from netproxy.limits import Conntrack


def make(**options: object) -> spec.Spec:
    fields = {"name": "lab", "node_count": 3, "proxy_mode": "nftables", "pod_cidr": None, "service_cidr": None}
    fields |= {"node_cidr": None, "in_use": [], **options}
    return spec.make(**fields)  # type: ignore[arg-type]


def networks(*texts: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(text) for text in texts]


def test_the_usual_lab() -> None:
    lab = make()
    assert (lab.pod_cidr, lab.service_cidr, lab.node_cidr) == ("10.244.0.0/16", "10.96.0.0/16", "10.89.0.0/24")
    assert lab.gateway == "10.89.0.1"
    assert lab.service_ip == "10.96.0.1"
    assert [lab.address(node) for node in lab.nodes] == ["10.89.0.11", "10.89.0.12", "10.89.0.13"]


def test_ranges_in_use_are_stepped_over() -> None:
    lab = make(in_use=networks("10.244.0.0/15", "10.89.0.0/24", "10.96.7.0/24"))
    assert (lab.pod_cidr, lab.service_cidr, lab.node_cidr) == ("10.246.0.0/16", "10.97.0.0/16", "10.89.1.0/24")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"node_count": 0}, "--nodes 0 is out of range; use 1 to 10"),
        ({"node_count": 11}, "--nodes 11"),
        ({"proxy_mode": "ebpf"}, "--proxy-mode 'ebpf' is unknown; use one of nftables, ipvs, iptables"),
        ({"name": "Lab"}, "--name 'Lab' will not do"),
        ({"name": "a" * 33}, "at most 32"),
        ({"name": "my_lab"}, "letters, digits and hyphens"),
        ({"name": "lab-"}, "no hyphen last"),
        ({"name": "a-node1"}, "names a part of another lab"),
        ({"name": "a-proxy"}, "names a part of another lab"),
        ({"name": "a-guard"}, "names a part of another lab"),
        ({"pod_cidr": "10.244.0.0"}, "--pod-cidr 10.244.0.0/32 is too small|--pod-cidr 10.244.0.0 is too small"),
        ({"pod_cidr": "10.244.1.0/16"}, "has host bits set; write it as"),
        ({"service_cidr": "fd00::/108"}, "--service-cidr fd00::/108: write an IPv4 range, or that and an IPv6 one: "),
        ({"pod_cidr": "10.244.0.0/16,10.245.0.0/16"}, "write an IPv4 range, or that and an IPv6 one"),
        ({"pod_cidr": "10.244.0.0/16,fd44::/56,fd45::/56"}, "write an IPv4 range, or that and an IPv6 one"),
        ({"pod_cidr": "10.244.0.0/16,fd44::/64"}, "--pod-cidr fd44::/64 is too small; use a /60 or larger"),
        ({"pod_cidr": "10.244.0.0/16,fe80::/56"}, "no range for hosts; use a private one such as fd44::/56"),
        ({"pod_cidr": "10.244.0.0/16,fd44::/56", "service_cidr": "10.96.0.0/16,fd44::/112"}, "overlaps fd44::/56"),
        ({"service_cidr": "127.0.0.0/16"}, "no range for hosts"),
        ({"pod_cidr": "10.0.0.0/8", "service_cidr": "10.96.0.0/16"}, "--service-cidr 10.96.0.0/16 overlaps 10.0.0.0/8"),
        ({"pod_cidr": "192.0.2.0/20"}, "has host bits set"),
        (
            {"node_cidr": "192.168.0.0/24", "in_use": networks("192.168.0.0/16")},
            "--node-cidr 192.168.0.0/24 overlaps 192.168.0.0/16, which this machine already has a route to",
        ),
    ],
)
def test_bad_options_name_themselves_and_the_fix(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make(**options)


def test_a_lab_of_two_families_has_nodes_of_two() -> None:
    lab = make(pod_cidr="10.244.0.0/16,fd44::/56", service_cidr="10.96.0.0/16, fd96::/112")
    assert (lab.pod_cidr, lab.service_cidr) == ("10.244.0.0/16,fd44::/56", "10.96.0.0/16,fd96::/112")
    assert lab.node_cidr == "10.89.0.0/24,fd89::/64" and lab.gateways == ("10.89.0.1", "fd89::1")
    assert lab.addresses_of(lab.nodes[1]) == ("10.89.0.12", "fd89::c")
    assert (lab.gateway, lab.service_ip, lab.dns_ip) == ("10.89.0.1", "10.96.0.1", "10.96.0.10")
    assert spec.from_dict(spec.to_dict(lab)) == lab
    given = make(pod_cidr="10.244.0.0/16,fd44::/56", node_cidr="10.1.0.0/24,fd01::/64")
    assert given.node_cidr == "10.1.0.0/24,fd01::/64" and "," not in given.service_cidr


def test_nodes_come_and_go_by_number() -> None:
    lab = make(node_count=2).without("node1")
    grown, added = lab.with_node()
    assert added.name == "node1"
    assert [node.name for node in grown.nodes] == ["node1", "node2"]
    assert grown.address(grown.node("node2")) == "10.89.0.12"
    with pytest.raises(SpecError, match="already has node2"):
        grown.with_node("node2")
    with pytest.raises(SpecError, match="has no node 'node7'; its nodes: node1, node2"):
        grown.node("node7")


def test_a_spec_survives_its_file() -> None:
    lab = make().switched("node2", True)
    assert spec.from_dict(spec.to_dict(lab)) == lab
    with pytest.raises(SpecError):
        spec.from_dict({"name": "lab"})


LABS = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True).filter(lambda lab: not names.problem(lab))


@given(LABS, st.integers(1, 10))
def test_every_link_name_fits_the_kernel(lab: str, index: int) -> None:
    assert spec.check_name(lab) == lab
    assert len(names.port(lab, index)) <= 15
    assert len(names.bridge(lab)) <= 15


@given(LABS, LABS)
def test_no_name_in_the_kernel_belongs_to_two_labs(one: str, other: str) -> None:
    def everything(lab: str) -> set[str]:
        links = {names.bridge(lab), *(names.port(lab, index) for index in range(1, 11))}
        return links | {names.daemons(lab), names.proxy_table(lab), *(names.cgroup(lab, node) for node in names.NODES)}

    hashed = "_" in names.bridge(one) + names.bridge(other)
    if one != other and not (hashed and names.bridge(one) == names.bridge(other)):
        assert not everything(one) & everything(other)


@pytest.mark.parametrize("pair", [("a", "a-1"), ("a", "a-node1"), ("a", "a-proxy"), ("abcdefghi", "abcdefghij")])
def test_names_that_read_alike_are_told_apart(pair: tuple[str, str]) -> None:
    one, other = pair
    assert names.problem(other) or names.bridge(other) not in {names.bridge(one), names.port(one, 1)}


@given(LABS)
def test_a_cgroup_names_its_lab(lab: str) -> None:
    assert names.lab_of_cgroup(names.daemons(lab)) == lab
    assert names.lab_of_cgroup(names.cgroup(lab, "node10")) == lab


def test_no_two_processes_share_a_name_a_log_or_a_settings_file() -> None:
    lab, paths = dataclasses.replace(make(node_count=3), store="etcd", control_planes=3), Paths("lab")
    parts = components.control_plane(lab, paths)
    for node in lab.nodes:
        parts += components.node_components(lab, paths, node)
    for values in (
        [part.process.name for part in parts],
        [part.process.log for part in parts],
        [part.settings_file for part in parts if part.settings_file],
    ):
        assert len(values) == len(set(values))


def test_who_renews_least_often_has_four_renewals_to_miss() -> None:
    """Upstream's kubelet, which may join a lab, renews every 10 s, ours oftener; both run out after four."""
    lab, paths = make(), Paths("lab")
    settings = {part.process.name: part.settings or {} for part in components.control_plane(lab, paths)}
    assert settings["controllers"]["node_monitor_grace"] >= 40
    agent = components.agent(lab, paths, lab.nodes[0]).settings
    assert agent is not None
    assert settings["controllers"]["node_monitor_grace"] >= 4 * components.LEASE_SECONDS
    assert agent["agent"]["lease_seconds"] == components.LEASE_SECONDS


def test_a_nodes_proxy_tells_its_health_at_every_address_and_the_hosts_at_the_labs_own() -> None:
    """As upstream's; two labs share the host, and no node."""
    lab, paths = make(), Paths("lab")
    proxy, hostnet = components.proxy(lab, paths, lab.nodes[0]).settings, components.hostnet(lab, paths).settings
    assert proxy is not None and proxy["bind_address"] == "0.0.0.0"
    assert hostnet is not None and hostnet["proxy"]["bind_address"] == lab.gateway


def test_nodes_follow_connections_for_as_long_as_kube_proxy_has_them_follow_and_the_host_is_left_as_it_is() -> None:
    lab, paths = make(), Paths("lab")
    proxy, hostnet = components.proxy(lab, paths, lab.nodes[0]).settings, components.hostnet(lab, paths).settings
    assert proxy is not None and hostnet is not None and "conntrack" not in hostnet["proxy"]
    sysctls = Conntrack(**proxy["conntrack"]).sysctls(2)
    own = "net.netfilter.nf_conntrack_tcp_timeout_"
    assert sysctls == {own + "established": 86400, own + "close_wait": 3600}


def test_who_leads_alone_has_time_to_renew_asks_as_often_and_one_of_several_has_upstreams() -> None:
    def times(lab: spec.Spec) -> list[tuple[float, float]]:
        parts = components.control_plane(lab, Paths("lab"))
        settings = [part.settings or {} for part in parts]
        elections = [ElectionSettings(**own["election"]) for own in settings if "election" in own]
        return [(election.renew_deadline, election.retry_period) for election in elections]

    upstreams = ElectionSettings()
    # `up` waits for loops to which a server that is only starting has refused their lease once.
    assert times(make()) == [(60.0, upstreams.retry_period)] * 2
    several = dataclasses.replace(make(), store="etcd", control_planes=3)
    assert times(several) == [(upstreams.renew_deadline, upstreams.retry_period)] * 6


def test_only_node_processes_live_in_a_namespace() -> None:
    lab, paths = make(), Paths("lab")
    assert all(not part.process.namespace for part in components.control_plane(lab, paths))
    for part in components.node_components(lab, paths, lab.nodes[1]):
        assert part.process.command()[:5] == [
            "nsenter",
            "--net=/run/netns/wherry-lab-node2",
            "--mount=/run/wherry/lab/mounts/node2",
            "--uts=/run/wherry/lab/hostnames/node2",
            "--",
        ]


def test_one_node_or_all_change_their_mode() -> None:
    lab = make().with_proxy_mode("iptables", "node2")
    assert [lab.mode_of(node) for node in lab.nodes] == ["nftables", "iptables", "nftables"]
    told = [components.proxy(lab, Paths("lab"), lab.node(name)).settings or {} for name in ("node1", "node2")]
    assert [settings["mode"] for settings in told] == ["nftables", "iptables"]
    assert spec.from_dict(spec.to_dict(lab)) == lab
    assert lab.with_proxy_mode("nftables", "node2") == make()
    everywhere = lab.with_proxy_mode("iptables")
    grown, added = everywhere.with_node()
    assert {grown.mode_of(node) for node in (*grown.nodes, added)} == {"iptables"}
    assert everywhere.with_proxy_mode("nftables", "node1").with_proxy_mode("nftables") == make()


@pytest.mark.parametrize(
    ("count", "store", "message"),
    [
        (2, "sqlite", "need --store etcd"),
        (0, "etcd", "1 to 5"),
        (6, "etcd", "1 to 5"),
        (1, "zookeeper", "etcd or sqlite"),
    ],
)
def test_control_planes_that_cannot_be_are_refused(count: int, store: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec.check_control_planes(count, store)
    with pytest.raises(SpecError, match=message):
        spec.from_dict({**spec.to_dict(make()), "control_planes": count, "store": store})


def test_one_control_plane_listens_at_the_gateway_and_several_at_addresses_of_their_own() -> None:
    assert make().control_plane_addresses == (make().gateway,)
    several = dataclasses.replace(make(), store="etcd", control_planes=3)
    assert len({several.gateway, *several.control_plane_addresses}) == 4
    assert not {several.address(node) for node in several.nodes} & set(several.control_plane_addresses)
    told = [part.settings for part in components.control_plane(several, Paths("lab")) if part.settings]
    servers = [each for each in told if "etcd_servers" in each]
    assert len(servers) == 3 and len({each["bind_host"] for each in servers}) == 3
    assert {each["shared_host"] for each in servers} == {several.gateway}


def test_a_scheduler_s_configuration_is_judged_before_the_lab_is_made(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "docs/examples/scheduler.yaml"
    assert scheduling.checked(str(example)) == str(example)
    found = scheduling.scheduler_settings(str(example))
    assert [profile["schedulerName"] for profile in found["configuration"]["profiles"]] == [
        "default-scheduler",
        "packing",
    ]
    assert found["plugin_path"] == [str(example.parent)]
    assert (scheduling.checked(None), scheduling.scheduler_settings("")) == ("", {})
    # Which processes there are is told without a look at the file, which may be gone.
    several = dataclasses.replace(make(), store="etcd", control_planes=3, scheduler_config=str(tmp_path / "none.yaml"))
    parts = components.control_plane(several, Paths("lab"), found)
    told = [part.settings or {} for part in parts if part.process.name.startswith("scheduler")]
    assert [each["configuration"] for each in told] == [found["configuration"]] * 3
    (tmp_path / "own_quiet.py").write_text(
        "from controlplane.scheduler.framework import Plugin\n\n\nclass Quiet(Plugin):\n    name = 'Quiet'\n"
    )
    file = tmp_path / "own.yaml"
    for name, said in (("own_quiet:Quiet", ""), ("own_quiet:Loud", "AttributeError")):
        enabled = {"multiPoint": {"enabled": [{"name": name}]}}
        file.write_text(json.dumps({**found["configuration"], "profiles": [{"plugins": enabled}]}))
        if said:
            with pytest.raises(SpecError, match=said):
                scheduling.checked(str(file))
        else:
            assert scheduling.checked(str(file)) == str(file)
    with pytest.raises(SpecError, match="--scheduler-config: cannot read"):
        scheduling.checked(str(tmp_path / "none.yaml"))
