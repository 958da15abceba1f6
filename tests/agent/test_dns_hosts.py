"""resolv.conf, host names and /etc/hosts of pods."""

from typing import Any

import pytest

from agent.dns import (
    HostnameError,
    Resolver,
    missing_cluster_dns,
    parse_resolv_conf,
    plan_dns,
    plan_hostname,
    truncate_hostname,
)
from agent.hosts import hosts_file

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
    assert plan.warnings == (("MissingClusterDNS", f'pod: "p_default(u)". {missing_cluster_dns()}'),)


def test_limits_cut_the_line_and_say_so() -> None:
    many = {"nameservers": [f"10.0.0.{i}" for i in range(4)], "searches": [f"s{i}.test" for i in range(40)]}
    plan = plan_dns(pod(dnsPolicy="None", dnsConfig=many), HOST, (), "")
    assert len(plan.resolver.servers) == 3
    assert len(plan.resolver.searches) == 32
    assert [reason for reason, _ in plan.warnings] == ["DNSConfigForming", "DNSConfigForming"]
    assert plan.warnings[1][1].endswith("10.0.0.0 10.0.0.1 10.0.0.2")


def test_search_line_is_cut_to_2048_characters() -> None:
    searches = [f"{i:02d}{'x' * 100}.test" for i in range(30)]
    plan = plan_dns(pod(dnsPolicy="None", dnsConfig={"searches": searches}), HOST, (), "")
    assert len(" ".join(plan.resolver.searches)) <= 2048 < len(" ".join(searches))


def test_resolv_conf_is_read_as_the_resolver_reads_it() -> None:
    text = "# c\nnameserver 1.2.3.4\nsearch old\nsearch a. b\noptions ndots:2\n;x\noptions rotate\n\nnameserver\n"
    assert parse_resolv_conf(text) == Resolver(("1.2.3.4",), ("a", "b"), ("ndots:2", "rotate"))


def test_host_names() -> None:
    assert plan_hostname(pod(), "c.l").kernel == "p"
    named = plan_hostname(pod(hostname="h1", subdomain="sub"), "c.l")
    assert (named.short, named.domain, named.kernel) == ("h1", "sub.default.svc.c.l", "h1")
    full = plan_hostname(pod(hostname="h1", subdomain="sub", setHostnameAsFQDN=True), "c.l")
    assert full.kernel == "h1.sub.default.svc.c.l"
    with pytest.raises(HostnameError):
        plan_hostname(pod(hostname="h" * 60, subdomain="sub", setHostnameAsFQDN=True), "c.l")
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
