"""resolv.conf, host names and /etc/hosts of pods."""

from typing import Any

import pytest

from agent.host.dns import (
    MISSING_CLUSTER_DNS,
    HostnameError,
    Resolver,
    ResolverError,
    parse_resolv_conf,
    plan_dns,
    plan_hostname,
    resolv_conf_complaint,
    truncate_hostname,
)
from agent.host.hosts import hosts_file

HOST = Resolver(("192.0.2.53",), ("example.test",))
CLUSTER = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.test")


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Resolver(("10.96.0.10",), CLUSTER, ("ndots:5",))),
        ({"dnsPolicy": "Default"}, HOST),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirst"}, HOST),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            Resolver(("10.96.0.10",), CLUSTER, ("ndots:5",)),
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["9.9.9.9"],
                    "searches": ["q.r"],
                    "options": [{"name": "ndots", "value": "1"}],
                }
            },
            Resolver(("10.96.0.10", "9.9.9.9"), (*CLUSTER, "q.r"), ("ndots:1",)),
        ),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "edns0"}]}},
            Resolver(("1.1.1.1",), (), ("edns0",)),
        ),
    ],
)
def test_resolver_by_policy(spec: dict[str, Any], expected: Resolver) -> None:
    plan = plan_dns(pod(**spec), HOST, ("10.96.0.10",), "cluster.local")
    assert (plan.resolver, plan.warnings) == (expected, ())


def test_without_cluster_dns_the_host_resolver_is_used_and_the_user_told() -> None:
    plan = plan_dns(pod(), HOST, (), "cluster.local")
    assert plan.resolver == HOST
    assert plan.warnings == (("MissingClusterDNS", f'pod: "p_default(u)". {MISSING_CLUSTER_DNS}'),)
    assert plan.missing
    for policy in ("Default", "None"):
        quiet = plan_dns(pod(dnsPolicy=policy), HOST, (), "cluster.local")
        assert not quiet.warnings and not quiet.missing
    assert not plan_dns(pod(hostNetwork=True), HOST, (), "cluster.local").missing
    assert plan_dns(pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"), HOST, (), "cluster.local").missing


def test_where_the_nodes_resolver_is_not_handed_on() -> None:
    assert plan_dns(pod(dnsPolicy="Default"), None, ("10.96.0.10",), "c.l").resolver == Resolver(("127.0.0.1",), (".",))
    clustered = plan_dns(pod(), None, ("10.96.0.10",), "c.l").resolver
    assert clustered.searches == ("default.svc.c.l", "svc.c.l", "c.l")
    assert plan_dns(pod(), HOST, ("10.96.0.10",), "").resolver.searches == HOST.searches


def test_limits_cut_the_line_and_say_so() -> None:
    many = {"nameservers": [f"10.0.0.{i}" for i in range(4)], "searches": [f"s{i}.test" for i in range(40)]}
    plan = plan_dns(pod(dnsPolicy="None", dnsConfig=many), HOST, (), "")
    assert len(plan.resolver.servers) == 3
    assert len(plan.resolver.searches) == 32
    assert [reason for reason, _ in plan.warnings] == ["DNSConfigForming", "DNSConfigForming"]
    assert plan.warnings[0][1] == (
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "10.0.0.0 10.0.0.1 10.0.0.2"
    )
    assert plan.warnings[1][1].startswith(
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: s0.test s1"
    )


def test_a_search_path_that_resolvers_choke_on_is_left_out() -> None:
    searches = ["a.test", "x" * 254, "b.test"]
    plan = plan_dns(pod(dnsPolicy="None", dnsConfig={"searches": searches}), HOST, (), "")
    assert plan.resolver.searches == ("a.test", "b.test")
    assert [reason for reason, _ in plan.warnings] == ["DNSConfigForming"]


def test_repeated_entries_count_once_and_the_pods_options_win() -> None:
    host = Resolver(("1.1.1.1",), ("a.test",), ("ndots:2", "rotate"))
    options = [{"name": "ndots"}, {"name": "x", "value": ""}]
    own = {"nameservers": ["1.1.1.1", "2.2.2.2"], "searches": ["a.test"], "options": options}
    plan = plan_dns(pod(dnsPolicy="Default", dnsConfig=own), host, (), "")
    assert plan.resolver == Resolver(("1.1.1.1", "2.2.2.2"), ("a.test",), ("ndots", "rotate", "x"))


@pytest.mark.parametrize(
    ("searches", "complaint"),
    [
        (["a.test"] * 29, ""),
        (["a.test"] * 30, "Resolv.conf file '/r' contains search line consisting of more than 29 domains!"),
        (["x" * 254], 'Resolv.conf file "/r" contains a search path which length is more than allowed 253 chars!'),
        (["x" * 250] * 9, "Resolv.conf file '/r' contains search line which length is more than allowed 2048 chars!"),
    ],
)
def test_what_of_the_nodes_resolver_pods_cannot_be_given(searches: list[str], complaint: str) -> None:
    assert resolv_conf_complaint("/r", Resolver((), tuple(searches)), "cluster.local") == complaint


def test_search_line_is_cut_to_2048_characters() -> None:
    searches = [f"{i:02d}{'x' * 100}.test" for i in range(30)]
    plan = plan_dns(pod(dnsPolicy="None", dnsConfig={"searches": searches}), HOST, (), "")
    assert len(" ".join(plan.resolver.searches)) <= 2048 < len(" ".join(searches))


def test_resolv_conf_is_read_as_the_resolver_reads_it() -> None:
    lines = ("# c", "nameserver 1.2.3.4", "search old", "search a. . b", "options ndots:2", ";x", "domain d", "")
    text = "\n".join((*lines, "options rotate ndots:3"))
    assert parse_resolv_conf(text) == Resolver(("1.2.3.4",), ("a", "b"), ("ndots:3", "rotate"))
    with pytest.raises(ResolverError, match="nameserver list is empty"):
        parse_resolv_conf("nameserver\n")


def test_host_names() -> None:
    assert plan_hostname(pod(), "c.l").kernel == "p"
    named = plan_hostname(pod(hostname="h1", subdomain="sub"), "c.l")
    assert (named.short, named.domain, named.kernel) == ("h1", "sub.default.svc.c.l", "h1")
    full = plan_hostname(pod(hostname="h1", subdomain="sub", setHostnameAsFQDN=True), "c.l")
    assert full.kernel == "h1.sub.default.svc.c.l"
    # sub.default.svc.c.l and a dot are 20 characters.
    longest = plan_hostname(pod(hostname="h" * 44, subdomain="sub", setHostnameAsFQDN=True), "c.l")
    assert len(longest.kernel) == 64
    with pytest.raises(HostnameError, match=r"too long \(64 characters is the max, 65 characters requested\)"):
        plan_hostname(pod(hostname="h" * 45, subdomain="sub", setHostnameAsFQDN=True), "c.l")
    assert truncate_hostname("a" * 62 + "-.b") == "a" * 62


def test_hosts_file_of_a_pod() -> None:
    text = hosts_file(
        pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]),
        ("10.1.2.3",),
        "h1",
        "sub.ns.svc.c.l",
        "ignored",
    )
    lines = text.split("\n")
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert lines[1] == "127.0.0.1\tlocalhost"
    assert lines[7] == "10.1.2.3\th1.sub.ns.svc.c.l\th1"
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_host_network_pods_get_the_nodes_file() -> None:
    text = hosts_file(pod(hostNetwork=True), ("10.1.2.3",), "n", "", "127.0.0.1 localhost\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
