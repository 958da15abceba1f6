"""The whole program on a node: pods ask by the tools that people and C libraries use."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink, routes
from benchmarks.plane import daemons
from tests.forked import forked
from tests.netproxy.dns.cluster import ask_bytes, read
from tests.netproxy.rig import IN_KERNEL, PODS, Rig, new_rig
from tests.netproxy.test_daemon import World
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
both = pytest.mark.parametrize("mode", IN_KERNEL)
DNS, HERE = "10.96.0.10", ".default.svc.cluster.local"


class Node(World):
    """A node whose proxy answers for the cluster's DNS address, and asks nobody else."""

    def __init__(self, rig: Rig, processes: Any, mode: str) -> None:
        super().__init__(rig, processes, mode)
        # Nothing about a test may be asked of the machine's own DNS.
        self.settings["dns"] = {"addresses": [DNS], "resolv_conf": "/dev/null"}
        self.pod = rig.pods[PODS[0]]

    async def shell(self, words: str, where: Path | None = None, check: bool = False) -> str:
        argv = ["nsenter", f"--net={where or self.pod}", "sh", "-c", words]
        return (await command.run(argv, timeout=60, check=check)).stdout.decode()

    async def until_named(self, name: str, *ips: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                seen = await asyncio.to_thread(self.ask, ask_bytes(name), 1.0)
                if sorted(str(rr.rdata) for rr in seen.rr) == sorted(ips):
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, self.processes.log("proxy")[-2000:]
            await asyncio.sleep(0.02)

    def ask(self, query: bytes, timeout: float = 60.0, where: Path | None = None) -> Any:
        with netns.open_socket(where or self.pod, socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.settimeout(timeout)
            handle.connect((DNS, 53))
            handle.send(query)
            return read(handle.recv(65535))


def run(mode: str, body: Callable[[Node, Client], Coroutine[Any, Any, None]]) -> None:
    with new_rig() as rig, daemons(rig.node, forked) as processes:

        async def main() -> None:
            await rig.wire()
            processes.start_api()
            await processes.until_serving()
            node = Node(rig, processes, mode)
            node.start_proxy()
            client = Client.from_kubeconfig(processes.kubeconfig, "test")
            try:
                await node.create_service(client)
                await node.until_named("web" + HERE, node.vip)
                await asyncio.wait_for(body(node, client), 120)
            finally:
                await client.close()

        netns.call(rig.node, lambda: asyncio.run(main()))


async def headless(client: Client, name: str, count: int) -> None:
    made = {"metadata": {"name": name}, "spec": {"clusterIP": "None", "ports": [{"name": "p", "port": 80}]}}
    await client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", **made}, namespace="default")
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        found = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{start}",
                "labels": {"kubernetes.io/service-name": name, "service.kubernetes.io/headless": ""},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [f"10.244.{n // 250}.{n % 250 + 1}"], "conditions": {}} for n in numbers],
            "ports": [{"name": "p", "port": 80, "protocol": "TCP"}],
        }
        await client.create(ENDPOINT_SLICE, found, namespace="default")


@both
def test_the_tools_of_pods_find_names(mode: str, tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(
        f"nameserver {DNS}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
    inside = f"unshare -m sh -c 'mount --bind {resolv} /etc/resolv.conf && exec \"$@\"' sh "

    async def body(node: Node, client: Client) -> None:
        await headless(client, "pets", 3)
        await headless(client, "many", 400)
        await node.until_named("pets" + HERE, "10.244.0.1", "10.244.0.2", "10.244.0.3")
        assert (await node.shell(inside + "getent ahostsv4 web")).split()[0] == node.vip
        assert "10.244.0.2" in await node.shell(inside + "getent ahostsv4 pets")
        assert "web" + HERE in await node.shell(inside + f"getent hosts {node.vip}")
        assert await node.shell(inside + "getent ahostsv4 nothing") == ""
        # More than fits a datagram, so the C library has to come again over TCP.
        assert (
            len({line.split()[0] for line in (await node.shell(inside + "getent ahostsv4 many")).splitlines()}) == 400
        )
        busybox = await node.shell(f"busybox nslookup web{HERE} {DNS}")
        assert f"Address: {node.vip}" in busybox and "NXDOMAIN" not in busybox
        if shutil.which("dig"):
            assert (await node.shell(f"dig +short @{DNS} web{HERE}")).strip() == node.vip
            assert (await node.shell(f"dig +short +tcp @{DNS} web{HERE}")).strip() == node.vip
            assert (await node.shell(f"dig +short @{DNS} SRV _p._tcp.web{HERE}")).strip() == f"0 100 80 web{HERE}."
            assert (await node.shell(f"dig +short @{DNS} -x {node.vip}")).strip() == f"web{HERE}."
            assert len((await node.shell(f"dig +short @{DNS} many{HERE}")).split()) == 400
            assert "status: NXDOMAIN" in await node.shell(f"dig @{DNS} no{HERE}")
            assert "status: REFUSED" in await node.shell(f"dig @{DNS} www.example.com")

    run(mode, body)


@both
def test_a_service_with_the_dns_address_leads_nobody_away(mode: str) -> None:
    async def body(node: Node, client: Client) -> None:
        ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "metrics", "port": 9153, "targetPort": 8080}]
        made = {"metadata": {"name": "kube-dns"}, "spec": {"clusterIP": DNS, "ports": ports}}
        await client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", **made}, namespace="kube-system")
        elsewhere = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "kube-dns-1", "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [PODS[2]], "conditions": {"ready": True}}],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "metrics", "port": 8080}],
        }
        await client.create(ENDPOINT_SLICE, elsewhere, namespace="kube-system")
        await node.until_named("kube-dns.kube-system.svc.cluster.local", DNS)
        deadline = time.monotonic() + 60
        while await asyncio.to_thread(node.rig.outcome, node.pod, DNS, 9153, 1.0) != "answered":
            assert time.monotonic() < deadline, "its other ports are led as any Service's"
        for where in (node.pod, node.rig.client, node.rig.node):
            for _ in range(5):
                seen = await asyncio.to_thread(node.ask, ask_bytes("web" + HERE), 5.0, where)
                assert [str(rr.rdata) for rr in seen.rr] == [node.vip]

    run(mode, body)


def refuses(node: Node, port: int) -> bool:
    """Whether who asks where nobody listens at the DNS address is told so."""
    with netns.open_socket(node.pod, socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.connect((DNS, port))
        handle.settimeout(0.5)
        handle.send(b"x")
        try:
            handle.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        raise AssertionError(f"somebody answers at port {port}")


@both
def test_who_asks_during_a_restart_is_kept_waiting_and_not_sent_away(mode: str) -> None:
    async def body(node: Node, client: Client) -> None:
        # Names are told before the first rules stand.
        await until(lambda: asyncio.to_thread(lambda: not refuses(node, 54)))
        node.processes.end("proxy", signal.SIGKILL)
        with netns.open_socket(node.pod, socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.connect((DNS, 53))
            handle.settimeout(0.5)
            for _ in range(3):
                handle.send(ask_bytes("web" + HERE))
                with pytest.raises(TimeoutError):
                    handle.recv(1000)
        node.start_proxy()
        await node.until_named("web" + HERE, node.vip)

    run(mode, body)


def test_the_address_comes_back_when_somebody_takes_it() -> None:
    async def body(node: Node, client: Client) -> None:
        with Netlink(node.rig.node) as kernel:
            (own,) = [a for a in kernel.addresses(kernel.index("lo")) if str(a.interface.ip) == DNS]
            kernel.do(routes.delete_address(own.index, own.interface))
        await node.until_named("web" + HERE, node.vip)
        # What leaves by a device without an address of its own must not be given this one, which leads to each node.
        shown = await node.shell("ip -4 -o address show dev lo", node.rig.node, check=True)
        assert "scope link" in next(line for line in shown.splitlines() if DNS in line)
        node.processes.end("proxy")
        config = node.processes.folder / "proxy.yaml"
        await node.shell(f"{sys.executable} -m netproxy --cleanup --config {config}", node.rig.node, check=True)
        with Netlink(node.rig.node) as kernel:
            assert DNS not in {str(a.interface.ip) for a in kernel.addresses(kernel.index("lo"))}

    run("nftables", body)


def test_twenty_thousand_questions_and_no_answer_missing(tmp_path: Path) -> None:
    names = ["web" + HERE, "no" + HERE, "default.svc.cluster.local", "kubernetes" + HERE]

    async def body(node: Node, client: Client) -> None:
        def blast() -> int:
            answered = 0
            with netns.open_socket(node.pod, socket.AF_INET, socket.SOCK_DGRAM) as handle:
                handle.connect((DNS, 53))
                handle.settimeout(60)
                handle.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
                for start in range(0, 20_000, 500):
                    wanted = set(range(start, start + 500))
                    for number in wanted:
                        handle.send(ask_bytes(names[number % 4], number=number))
                    while wanted:
                        wanted.discard(int.from_bytes(handle.recv(2000)[:2], "big"))
                        answered += 1
            return answered

        assert await asyncio.to_thread(blast) == 20_000
        if shutil.which("dnsperf"):
            asked = tmp_path / "asked"
            asked.write_text("".join(f"{name} A\n" for name in names))
            seen = await node.shell(f"dnsperf -s {DNS} -d {asked} -n 5000 -q 100 -t 10", check=True)
            assert re.search(r"Queries completed:\s+20000 \(100.00%\)", seen) and re.search(r"lost:\s+0 ", seen), seen

    run("nftables", body)
