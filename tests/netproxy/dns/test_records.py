"""The Kubernetes DNS specification, line by line, and what it leaves to CoreDNS."""

from __future__ import annotations

import pytest

from netproxy.dns import records
from netproxy.dns.directory import Directory, Key
from netproxy.dns.records import AAAA, ANY, CNAME, NOERROR, NS, NXDOMAIN, PTR, SERVFAIL, SOA, SRV, TXT, A, Answer
from tests.netproxy.dns.cluster import ZONE, directory, endpoint, endpoint_slice, service

Said = tuple[int, list[object]]
HERE = ".default.svc.cluster.local"
KNOWN = directory()


def ask(name: str, kind: int = A, known: Directory = KNOWN) -> Answer | None:
    return records.answer(name, kind, known, ZONE)


def said(answer: Answer | None) -> Said:
    assert answer is not None
    return answer.rcode, [record.value for record in answer.records]


NODATA: Said = (NOERROR, [])
NO_NAME: Said = (NXDOMAIN, [])
TABLE: list[tuple[str, int, Said]] = [
    # 2.2 schema version
    ("dns-version.cluster.local", TXT, (NOERROR, ["1.1.0"])),
    ("dns-version.cluster.local", A, NODATA),
    # 2.3 Services with a cluster IP
    ("web" + HERE, A, (NOERROR, ["10.96.0.20"])),
    ("web" + HERE, AAAA, NODATA),
    ("web" + HERE, TXT, NODATA),
    ("dual" + HERE, A, (NOERROR, ["10.96.0.21"])),
    ("dual" + HERE, AAAA, (NOERROR, ["fd00:96::21"])),
    ("dual" + HERE, ANY, (NOERROR, ["10.96.0.21", "fd00:96::21"])),
    ("six" + HERE, A, NODATA),
    ("six" + HERE, AAAA, (NOERROR, ["fd00:96::22"])),
    ("_https._tcp.kubernetes" + HERE, SRV, (NOERROR, [(0, 100, 443, "kubernetes" + HERE)])),
    ("_http._tcp.web" + HERE, SRV, (NOERROR, [(0, 100, 80, "web" + HERE)])),
    ("_dns._udp.web" + HERE, SRV, (NOERROR, [(0, 100, 53, "web" + HERE)])),
    ("_dns._tcp.web" + HERE, SRV, NO_NAME),
    ("_none._tcp.web" + HERE, SRV, NO_NAME),
    ("http.tcp.web" + HERE, SRV, NO_NAME),
    ("_http._tcp.web" + HERE, A, (NOERROR, ["10.96.0.20"])),
    ("web" + HERE, SRV, (NOERROR, [(0, 50, 80, "web" + HERE), (0, 50, 53, "web" + HERE)])),
    ("plain" + HERE, SRV, (NOERROR, [(0, 100, 8080, "plain" + HERE)])),
    ("20.0.96.10.in-addr.arpa", PTR, (NOERROR, ["web" + HERE])),
    ("20.0.96.10.in-addr.arpa", A, NODATA),
    # an endpoint of a Service with a cluster IP has a name, too
    ("10-244-1-9.web" + HERE, A, (NOERROR, ["10.244.1.9"])),
    ("10-244-1-10.web" + HERE, A, NO_NAME),
    # 2.4 headless Services
    ("pets" + HERE, A, (NOERROR, ["10.244.1.5", "10.244.1.6", "10.244.2.5"])),
    ("pets" + HERE, AAAA, NODATA),
    ("rex.pets" + HERE, A, (NOERROR, ["10.244.1.5", "10.244.2.5"])),
    ("10-244-1-6.pets" + HERE, A, (NOERROR, ["10.244.1.6"])),
    ("10-244-1-7.pets" + HERE, A, NO_NAME),
    ("empty" + HERE, A, NO_NAME),
    ("portless" + HERE, A, (NOERROR, ["10.244.1.8"])),
    ("portless" + HERE, SRV, NODATA),
    ("pods6" + HERE, AAAA, (NOERROR, ["fd00:244::5"])),
    ("fd00-244--5.pods6" + HERE, AAAA, (NOERROR, ["fd00:244::5"])),
    (
        "_http._tcp.pets" + HERE,
        SRV,
        (NOERROR, [(0, 50, 80, "rex.pets" + HERE), (0, 50, 80, "10-244-1-6.pets" + HERE)]),
    ),
    ("_http._udp.pets" + HERE, SRV, NO_NAME),
    ("5.1.244.10.in-addr.arpa", PTR, (NOERROR, ["rex.pets" + HERE])),
    ("6.1.244.10.in-addr.arpa", PTR, (NOERROR, ["10-244-1-6.pets" + HERE])),
    ("9.1.244.10.in-addr.arpa", PTR, NO_NAME),  # an endpoint, but of no headless Service
    ("7.1.244.10.in-addr.arpa", PTR, NO_NAME),
    # 2.5 aliases
    ("outside" + HERE, CNAME, (NOERROR, ["www.example.com"])),
    ("alias" + HERE, A, (NOERROR, ["web" + HERE, "10.96.0.20"])),
    ("alias" + HERE, AAAA, (NOERROR, ["web" + HERE])),
    ("number" + HERE, A, NO_NAME),
    ("x.outside" + HERE, A, NO_NAME),
    # 2.6 pods
    ("10-244-1-5.default.pod.cluster.local", A, (NOERROR, ["10.244.1.5"])),
    ("10-244-1-5.default.pod.cluster.local", AAAA, NODATA),
    ("fd00-244--5.default.pod.cluster.local", AAAA, (NOERROR, ["fd00-244--5".replace("-", ":")])),
    ("10-244-1-555.default.pod.cluster.local", A, NO_NAME),
    ("web.default.pod.cluster.local", A, NO_NAME),
    ("x.10-244-1-5.default.pod.cluster.local", A, NO_NAME),
    # the tree between
    ("cluster.local", SOA, (NOERROR, ["ns.dns.cluster.local"])),
    ("cluster.local", NS, (NOERROR, ["ns.dns.cluster.local"])),
    ("cluster.local", A, NODATA),
    ("ns.dns.cluster.local", A, (NOERROR, ["10.96.0.10"])),
    ("dns.cluster.local", A, NODATA),
    ("svc.cluster.local", A, NODATA),
    ("default.svc.cluster.local", A, NODATA),
    ("pod.cluster.local", A, NODATA),
    ("default.pod.cluster.local", A, NODATA),
    ("nothing.cluster.local", A, NO_NAME),
    ("nothing" + HERE, A, NO_NAME),
    ("web.other.svc.cluster.local", A, NO_NAME),
    ("a.b.c.web" + HERE, A, NO_NAME),
    # what the resolver's search list makes of other names
    ("www.example.com" + HERE, A, NO_NAME),
    ("www.example.com.svc.cluster.local", A, NO_NAME),
    ("www.example.com.cluster.local", A, NO_NAME),
    ("1.200.96.10.in-addr.arpa", PTR, NO_NAME),
]


@pytest.mark.parametrize(("name", "kind", "wanted"), TABLE)
def test_the_specification(name: str, kind: int, wanted: Said) -> None:
    assert said(ask(name, kind)) == wanted


@pytest.mark.parametrize(
    "name", ["www.example.com", "local", "notcluster.local", "9.8.8.8.in-addr.arpa", "96.10.in-addr.arpa", "x.ip6.arpa"]
)
def test_other_names_are_somebody_elses(name: str) -> None:
    assert ask(name, PTR if "arpa" in name else A) is None


def test_an_alias_out_of_the_cluster_is_completed_by_somebody_else() -> None:
    for name in ("outside", "twice"):
        found = ask(name + HERE)
        assert found is not None and found.alias == "www.example.com"
        assert found.records[-1].value == "www.example.com"
    assert said(ask("round" + HERE))[0] == SERVFAIL


def test_service_records_come_with_their_addresses() -> None:
    found = ask("_http._tcp.pets" + HERE, SRV)
    assert found is not None
    assert {(record.name, record.value) for record in found.extra} == {
        ("rex.pets" + HERE, "10.244.1.5"),
        ("rex.pets" + HERE, "10.244.2.5"),
        ("10-244-1-6.pets" + HERE, "10.244.1.6"),
    }


def test_the_reverse_of_ipv6() -> None:
    name = ".".join(reversed("fd000096000000000000000000000021")) + ".ip6.arpa"
    assert said(ask(name, PTR)) == (NOERROR, ["dual" + HERE])


def test_names_follow_their_objects() -> None:
    changes: list[Key] = []
    known = Directory(changes.append)
    web = service("web", "10.96.0.30")
    known.service_changed(None, web)
    known.service_changed(web, web)
    assert changes == [("default", "web")], "what says the same changes nothing"
    headless = service("web", "None")
    known.service_changed(web, headless)
    assert said(ask("30.0.96.10.in-addr.arpa", PTR, known)) == NO_NAME
    first = endpoint_slice("web", endpoint("10.244.1.5"))
    known.slice_changed(None, first)
    assert said(ask("web" + HERE, A, known)) == (NOERROR, ["10.244.1.5"])
    moved = endpoint_slice("other", endpoint("10.244.1.5"), name="web-1")
    known.slice_changed(first, moved)
    assert said(ask("web" + HERE, A, known)) == NO_NAME
    assert said(ask("5.1.244.10.in-addr.arpa", PTR, known)) == NO_NAME
    known.slice_changed(moved, None)
    known.service_changed(headless, None)
    assert not known._by_ip and not known._slices and not known._entries


def test_unready_endpoints_are_named_when_their_slice_says_ready() -> None:
    known = Directory()
    known.service_changed(None, service("web", "None", publishNotReadyAddresses=True))
    unready = {"addresses": ["10.244.1.5"], "conditions": {"ready": True, "serving": False}}
    known.slice_changed(None, endpoint_slice("web", unready))
    assert said(ask("web" + HERE, A, known)) == (NOERROR, ["10.244.1.5"])
