"""Services as upstream's conformance tests use them: written through the API, asked by name and with packets."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import netns
from apimachinery.objects import Obj
from tests.netproxy.dns.cluster import ask_bytes
from tests.netproxy.dns.test_kernel import DNS, HERE, Node, run
from tests.netproxy.rig import BRIEF, IN_KERNEL, NODE_IP, PODS
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SPACE, NODE_PORT = "default", 30090


async def make(client: Client, name: str, **spec: Any) -> Obj:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    return await client.create(SERVICE, body, namespace=SPACE)


async def endpoints(client: Client, service: str, number: int, ips: tuple[str, ...], *ports: tuple[str, str]) -> None:
    """A slice by hand: addresses, and (name, protocol) of ports that all lead to 8080."""
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-{number}", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        "ports": [{"name": name, "port": 8080, "protocol": protocol} for name, protocol in ports],
    }
    await client.create(ENDPOINT_SLICE, body, namespace=SPACE)


def by_datagram(where: Path, address: str, port: int) -> str:
    """Who answers a datagram; `refused` or `silence`."""
    with netns.open_socket(where, socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.settimeout(BRIEF)
        handle.connect((address, port))
        try:
            handle.send(b"x")
            return handle.recv(200).decode().partition(" ")[0]
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silence"


def told_of(node: Node, name: str, kind: str = "A") -> list[str]:
    """What the cluster's DNS answers."""
    # A datagram may be lost: it is asked again long before who waits for the answer gives up.
    return [str(rr.rdata).rstrip(".") for rr in node.ask(ask_bytes(name, kind), 1.0).rr]


async def one_port_of_two_protocols(node: Node, client: Client) -> None:
    ports = [{"name": p, "port": 80, "targetPort": 8080, "protocol": p.upper()} for p in ("tcp", "udp")]
    vip = (await make(client, "both", ports=ports))["spec"]["clusterIP"]
    await endpoints(client, "both", 1, (PODS[2],), ("tcp", "TCP"), ("udp", "UDP"))
    for where in (node.rig.client, node.pod, node.rig.node):
        await until(lambda where=where: set(node.rig.who(where, vip, 80)) == {PODS[2]}, what="TCP is answered")  # type: ignore[misc]
        await until(lambda where=where: by_datagram(where, vip, 80) == PODS[2], what="UDP is answered")  # type: ignore[misc]
    await client.patch(SERVICE, "both", {"spec": {"ports": ports[:1]}}, SPACE)
    await until(lambda: by_datagram(node.pod, vip, 80) in ("refused", "silence"), what="UDP is no port any more")
    assert set(node.rig.who(node.pod, vip, 80)) == {PODS[2]}
    await client.patch(SERVICE, "both", {"spec": {"ports": ports[1:]}}, SPACE)
    await until(lambda: by_datagram(node.pod, vip, 80) == PODS[2], what="UDP is answered again")
    await until(lambda: node.rig.outcome(node.pod, vip, 80, BRIEF) != "answered", what="TCP is no port any more")


async def affinity_is_switched(node: Node, client: Client) -> None:
    port = {"name": "p", "port": 80, "targetPort": 8080, "nodePort": NODE_PORT}
    made = await make(client, "sticky", type="NodePort", sessionAffinity="ClientIP", ports=[port])
    await endpoints(client, "sticky", 1, PODS, ("p", "TCP"))
    for affinity, enough in (("ClientIP", 1), ("None", 2), ("ClientIP", 1)):
        await client.patch(SERVICE, "sticky", {"spec": {"sessionAffinity": affinity}}, SPACE)
        for address, number in ((made["spec"]["clusterIP"], 80), (NODE_IP, NODE_PORT)):

            def as_asked(address: str = address, number: int = number, enough: int = enough) -> bool:
                found = len(node.rig.who(node.rig.client, address, number))
                return found == 1 if enough == 1 else found >= enough

            await until(as_asked, what=f"{address} answers by affinity {affinity}")


async def slices_of_ones_own_are_joined(node: Node, client: Client) -> None:
    ports = [{"name": name, "port": port} for name, port in (("one", 80), ("two", 81))]
    ips = (await make(client, "apart", ports=ports))["spec"]["clusterIP"]
    await endpoints(client, "apart", 1, (PODS[0],), ("one", "TCP"))
    await endpoints(client, "apart", 2, (PODS[1],), ("two", "TCP"))
    for port, ip in ((80, PODS[0]), (81, PODS[1])):
        await until(lambda port=port, ip=ip: set(node.rig.who(node.rig.node, ips, port)) == {ip}, what=f"port {port}")  # type: ignore[misc]
    shared = (await make(client, "shared", ports=ports))["spec"]["clusterIP"]
    await endpoints(client, "shared", 1, (PODS[2],), ("one", "TCP"))
    await endpoints(client, "shared", 2, (PODS[2],), ("two", "TCP"))
    for port in (80, 81):
        await until(lambda port=port: set(node.rig.who(node.pod, shared, port)) == {PODS[2]}, what=f"port {port}")  # type: ignore[misc]


async def a_name_leads_where_its_service_says(node: Node, client: Client) -> None:
    """ExternalName, another one, a cluster IP, a node port, and back."""
    await make(client, "outside", type="ExternalName", externalName="one.example.com")
    name = "outside" + HERE
    await until(lambda: told_of(node, name) == ["one.example.com"], what="the alias")
    await client.patch(SERVICE, "outside", {"spec": {"externalName": "two.example.com"}}, SPACE)
    await until(lambda: told_of(node, name) == ["two.example.com"], what="the other alias")
    ports = [{"name": "p", "port": 80, "targetPort": 8080}]
    changed = {"spec": {"type": "ClusterIP", "externalName": None, "ports": ports}}
    vip = (await client.patch(SERVICE, "outside", changed, SPACE))["spec"]["clusterIP"]
    await endpoints(client, "outside", 1, (PODS[1],), ("p", "TCP"))
    await until(lambda: told_of(node, name) == [vip], what="the cluster IP")
    await until(lambda: set(node.rig.who(node.pod, vip, 80)) == {PODS[1]}, what="it answers")
    changed = {"spec": {"type": "NodePort"}}
    number = (await client.patch(SERVICE, "outside", changed, SPACE))["spec"]["ports"][0]["nodePort"]
    await until(lambda: set(node.rig.who(node.rig.client, NODE_IP, number)) == {PODS[1]}, what="the node port answers")
    back = {"type": "ExternalName", "externalName": "one.example.com", "clusterIP": None, "clusterIPs": None}
    await client.patch(SERVICE, "outside", {"spec": back}, SPACE)
    await until(lambda: told_of(node, name) == ["one.example.com"], what="the alias again")
    outside = node.rig.client
    await until(lambda: node.rig.outcome(outside, NODE_IP, number, BRIEF) != "answered", what="the node port is closed")


async def every_name_of_a_service_is_known(node: Node, client: Client) -> None:
    """Of one with a cluster IP and of a headless one: addresses, its port by datagram and by connection, and back."""
    ports = [{"name": "web", "port": 80, "targetPort": 8080}]
    usual = (await make(client, "usual", ports=ports))["spec"]["clusterIP"]
    await make(client, "headless", clusterIP="None", ports=ports)
    for name in ("usual", "headless"):
        await endpoints(client, name, 1, (PODS[1], PODS[2]), ("web", "TCP"))
    resolver = f"nameserver {DNS}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    inside = f"mount -t tmpfs none /mnt && printf '{resolver}' > /mnt/r && mount --bind /mnt/r /etc/resolv.conf && "

    async def addresses(name: str) -> list[str]:
        told = await node.shell(f'unshare -m sh -c "{inside} getent ahostsv4 {name}"')
        return sorted({line.split()[0] for line in told.splitlines()})

    for name, wanted in (("usual", [usual]), ("headless", sorted(PODS[1:]))):
        for written in (name, f"{name}.default", f"{name}.default.svc", name + HERE):

            async def found(written: str = written, wanted: list[str] = wanted) -> bool:
                return await addresses(written) == wanted

            await until(found, what=f"{written} is known")
        ports_told = ["80"] if name == "usual" else ["8080", "8080"]
        await until(partial(_is_served, node, name, ports_told), what=f"the port of {name}")
    back = ".".join(reversed(usual.split("."))) + ".in-addr.arpa"
    await until(lambda: told_of(node, back, "PTR") == ["usual" + HERE], what="the way back")


def _is_served(node: Node, service: str, ports: list[str]) -> bool:
    told = [line.split() for line in told_of(node, f"_web._tcp.{service}{HERE}", "SRV")]
    return [port for _, _, port, _ in told] == ports and all(end.endswith(service + HERE) for *_, end in told)


async def an_alias_leads_on_to_a_service(node: Node, client: Client) -> None:
    """As upstream's tests of ExternalName have it: the name is another Service's, whose address is told with it."""
    ports = [{"name": "p", "port": 80, "targetPort": 8080}]
    vip = (await make(client, "meant", ports=ports))["spec"]["clusterIP"]
    await endpoints(client, "meant", 1, (PODS[1],), ("p", "TCP"))
    before = (await make(client, "changing", ports=ports))["spec"]["clusterIP"]
    name = "changing" + HERE

    await until(lambda: told_of(node, name) == [before], what="its own address")
    external = {"type": "ExternalName", "externalName": "meant" + HERE, "clusterIP": None, "clusterIPs": None}
    spec = (await client.patch(SERVICE, "changing", {"spec": external}, SPACE))["spec"]
    assert not spec.get("clusterIP")
    await until(lambda: told_of(node, name) == ["meant" + HERE, vip], what="the other's name and address")
    await until(lambda: set(node.rig.who(node.pod, vip, 80)) == {PODS[1]}, what="it answers")


@pytest.mark.parametrize("mode", IN_KERNEL)
def test_services_do_what_upstreams_conformance_tests_ask(mode: str) -> None:
    async def body(node: Node, client: Client) -> None:
        for flow in (
            one_port_of_two_protocols,
            affinity_is_switched,
            slices_of_ones_own_are_joined,
            a_name_leads_where_its_service_says,
            every_name_of_a_service_is_known,
            an_alias_leads_on_to_a_service,
        ):
            await flow(node, client)

    run(mode, body)
