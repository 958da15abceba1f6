"""A small cluster to ask about, as API objects, and a client that reads answers with another's eyes (the library's)."""

from __future__ import annotations

import ipaddress
from typing import Any

import dnslib

from netproxy.dns.directory import Directory
from netproxy.dns.records import Zone

ZONE = Zone(
    "cluster.local",
    ("10.96.0.10",),
    (
        ipaddress.ip_network("10.96.0.0/16"),
        ipaddress.ip_network("10.244.0.0/16"),
        ipaddress.ip_network("fd00:96::/112"),
    ),
)
HTTP, DNS = {"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}


def service(name: str, *ips: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    addresses = {"clusterIP": ips[0], "clusterIPs": list(ips)} if ips else {}
    spec = {"ports": [HTTP], **addresses, **spec}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def endpoint(*addresses: str, ready: bool | None = True, hostname: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"addresses": list(addresses), "conditions": {} if ready is None else {"ready": ready}}
    return {**made, "hostname": hostname} if hostname else made


def endpoint_slice(
    owner: str, *endpoints: dict[str, Any], name: str = "", kind: str = "IPv4", ports: list[Any] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": name or f"{owner}-1",
            "labels": {"kubernetes.io/service-name": owner, "service.kubernetes.io/headless": ""},
        },
        "addressType": kind,
        "ports": [HTTP] if ports is None else ports,
        "endpoints": list(endpoints),
    }


def directory() -> Directory:
    """Every kind of Service."""
    made = Directory()
    for obj in (
        service("web", "10.96.0.20", ports=[HTTP, DNS]),
        service("dual", "10.96.0.21", "fd00:96::21"),
        service("six", "fd00:96::22"),
        service("plain", "10.96.0.23", ports=[{"port": 8080}]),
        service("pets", "None", clusterIP="None"),
        service("empty", "None"),
        service("portless", "None", ports=[]),
        service("pods6", "None"),
        service("outside", type="ExternalName", externalName="www.example.com"),
        service("alias", type="ExternalName", externalName="web.default.svc.cluster.local."),
        service("round", type="ExternalName", externalName="round.default.svc.cluster.local"),
        service("twice", type="ExternalName", externalName="outside.default.svc.cluster.local"),
        service("number", type="ExternalName", externalName="192.0.2.7"),
        service("kubernetes", "10.96.0.1", ports=[{"name": "https", "port": 443, "protocol": "TCP"}]),
    ):
        made.service_changed(None, obj)
    pets = (endpoint("10.244.1.5", hostname="Rex"), endpoint("10.244.1.6"), endpoint("10.244.1.7", ready=False))
    made.slice_changed(None, endpoint_slice("pets", *pets))
    made.slice_changed(None, endpoint_slice("pets", endpoint("10.244.2.5", hostname="rex", ready=None), name="pets-2"))
    made.slice_changed(None, endpoint_slice("portless", endpoint("10.244.1.8"), ports=[]))
    made.slice_changed(None, endpoint_slice("pods6", endpoint("fd00:244::0005"), kind="IPv6"))
    made.slice_changed(None, endpoint_slice("web", endpoint("10.244.1.9")))
    made.slice_changed(None, endpoint_slice("outside", endpoint("x.example"), kind="FQDN"))
    return made


def read(data: bytes) -> Any:
    """A whole message."""
    return dnslib.DNSRecord.parse(data)


def ask_bytes(name: str, kind: str = "A", number: int = 7, edns: int = 0, tail: Any = None) -> bytes:
    """A query as clients send it."""
    message = dnslib.DNSRecord(
        dnslib.DNSHeader(id=number, rd=1), q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, kind))
    )
    if edns:
        message.add_ar(dnslib.EDNS0(udp_len=edns, opts=[tail] if tail else []))
    return bytes(message.pack())
