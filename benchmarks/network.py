"""Pods' packets: throughput and latency on a node, by routes and by vxlan, each beside the bare path of the kernel,
and beside the same path in a kernel that tracks connections, as it must wherever something is translated.

    pod ── bridge ── node ══ node ── bridge ── pod      ours, by routes and by vxlan
    end ───────────── node ══ node ───────────── end    the same without bridges: veths, routes, one vxlan device

Server and client are processes of their own in the two ends' namespaces: one TCP stream in large pieces for throughput,
one byte there and back for latency. The ways take turns, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, FarEnd, Netlink, Route, Tunnel, links, routes, vxlan
from apimachinery.kit.nft import Nft
from benchmarks.figures import head, row
from cni.bridge import plugin as bridge
from cni.host import Host
from cni.node import overlay, plan, sysctls
from cni.node.between import Between
from cni.node.flows import Flows
from cni.node.masquerade import Masquerade
from cni.node.model import NodeNetwork
from cni.node.routes import apply
from cni.settings import Mode, Settings
from cni.skel import Request

Echo = Callable[[str], None]
CLUSTER = IPv4Network("10.244.0.0/16")
_SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 5001)) as s:
    print(flush=True)
    c, _ = s.accept()
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    b = bytearray(1 << 20)
    if sys.argv[2] == "stream":
        n = 0
        while k := c.recv_into(b): n += k
        print(n)
    else:
        while d := c.recv(1): c.sendall(d)
"""
_CLIENT = """
import socket, sys, time
c = socket.create_connection((sys.argv[1], 5001), 10)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if sys.argv[2] == "stream":
    b, n, t = bytes(1 << 20), 0, time.perf_counter()
    while (u := time.perf_counter() - t) < float(sys.argv[3]): c.sendall(b); n += len(b)
    print(n / u)
else:
    for _ in range(int(sys.argv[3])):
        t = time.perf_counter(); c.sendall(b"x"); c.recv(1); print(time.perf_counter() - t)
"""


@dataclass(frozen=True)
class Way:
    """Two namespaces, and the address of the second as the first reaches it."""

    label: str
    client: Path
    server: Path
    address: str


def measure(rounds: int, seconds: float, echo: Echo) -> None:
    """Needs root; everything is in namespaces made for it."""
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wherry-bench-")))
        new = stack.enter_context(_namespaces())
        ours = [*_pods(new, Mode.HOST_GW, base), *_pods(new, Mode.VXLAN, base)]
        bare = itertools.product((False, True), (False, True))
        ways = [*ours, *(_bare(new, by_vxlan, tracked) for by_vxlan, tracked in bare)]
        speeds: dict[str, list[float]] = {way.label: [] for way in ways}
        delays: dict[str, list[float]] = {way.label: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                speeds[way.label] += _ask(way, "stream", str(seconds))
                delays[way.label] += _ask(way, "echo", "2000")
    echo(head("Gbit/s (p99, min: of the rounds)"))
    for label, values in speeds.items():
        echo(row(label, values, scale=8e-9))
    echo(head("µs there and back"))
    for label, values in delays.items():
        echo(row(label, values, scale=1e6))


def _ask(way: Way, what: str, much: str) -> list[float]:
    enter = ["nsenter", f"--net={way.server}", sys.executable, "-c", _SERVER, way.address, what]
    with subprocess.Popen(enter, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            argv = ["nsenter", f"--net={way.client}", sys.executable, "-c", _CLIENT, way.address, what, much]
            done = subprocess.run(argv, capture_output=True, timeout=120, check=True)
        finally:
            server.terminate()
    return [float(line) for line in done.stdout.split()]


@contextlib.contextmanager
def _namespaces() -> Iterator[Callable[[], Path]]:
    made: list[Path] = []

    def new() -> Path:
        made.append(netns.create(f"whbench{os.getpid()}w{len(made)}"))
        with Netlink(made[-1]) as kernel:
            kernel.do(links.change("lo", up=True))
        return made[-1]

    try:
        yield new
    finally:
        for path in made:
            netns.delete(path.name)


def _joined(near: Path, far: Path, ends: tuple[str, str], addresses: tuple[str, str]) -> None:
    """A veth between two namespaces, both ends up and addressed."""
    with far.open("rb") as other, Netlink(near) as here, Netlink(far) as there:
        here.do(links.add_veth(End(ends[0]), End(ends[1], namespace=other.fileno())))
        for kernel, name, address in ((here, ends[0], addresses[0]), (there, ends[1], addresses[1])):
            kernel.do(links.change(name, up=True))
            kernel.do(routes.add_address(kernel.index(name), IPv4Interface(address)))


def _pods(new: Callable[[], Path], mode: Mode, base: Path) -> list[Way]:
    """Two nodes as ours are; two pods on the first, one on the second."""
    paths = [new(), new()]
    _joined(paths[0], paths[1], ("eth0", "eth0"), ("10.99.0.1/24", "10.99.0.2/24"))
    tunnel, nodes = Settings().vxlan, []
    for n in (1, 2):
        mac, cidrs = overlay.mac_of(f"node{n}"), (IPv4Network(f"10.244.{n}.0/24"),)
        nodes.append(NodeNetwork(f"node{n}", cidrs, (IPv4Address(f"10.99.0.{n}"),), tunnel.number, tunnel.port, mac))
    pods = [new(), new(), new()]
    near = netns.call(paths[0], partial(_node, mode, nodes[0], nodes, pods[:2], base / mode.value))
    far = netns.call(paths[1], partial(_node, mode, nodes[1], nodes, pods[2:], base / mode.value))
    by = "routes" if mode is Mode.HOST_GW else "vxlan"
    ways = [Way(f"pod to pod by {by}", pods[0], pods[2], far[0])]
    return [Way("pod to pod on a node", pods[0], pods[1], near[1]), *ways] if mode is Mode.HOST_GW else ways


def _node(mode: Mode, own: NodeNetwork, nodes: list[NodeNetwork], pods: list[Path], data: Path) -> list[str]:
    """In the node's namespace: what its daemon would do, and its pods; returns their addresses."""
    sysctls.keep(sysctls.names(node=True))
    found = []
    with Netlink() as kernel:
        between = Between(Settings(own.name, mode=mode), kernel)
        ranges = [[{"subnet": str(own.cidrs[0])}]]
        ipam = {"type": "host-local", "dataDir": str(data / own.name), "ranges": ranges}
        config = {"name": "bench", "isDefaultGateway": True, "mtu": between.mtu(own), "ipam": ipam}
        for number, pod in enumerate(pods):
            request = Request("ADD", f"c{number}", str(pod), "eth0", config=config)
            result = bridge.add(request, Host(kernel, lambda: None))
            found.append(str(result["ips"][0]["address"]).partition("/")[0])
        between.prepare(own, nodes)
        apply(kernel, own.name, plan.wanted(own.name, nodes, (CLUSTER,), between.route), (CLUSTER,))
        asyncio.run(_rules(own, nodes, between, kernel))
    return found


async def _rules(own: NodeNetwork, nodes: list[NodeNetwork], between: Between, kernel: Netlink) -> None:
    masquerade, flows = Masquerade("cni0"), Flows("cni0")
    addresses, steered = [a for n in nodes for a in n.addresses], bool(between.links)
    port, here = between.tunnel_port, own.addresses
    await masquerade.translate(own.cidrs, (CLUSTER,), addresses, port, steered, here, between.sources)
    present, bridge = kernel.links(), kernel.index("cni0")
    # Between nodes of one way alone: by a device nothing of pods goes out at the link below it.
    by = between.links or {kernel.index("eth0")}
    ways = {link.index: link.name for link in present if link.index in {bridge, *by}}
    await flows.shorten((CLUSTER,), ways, {link.index: link.name for link in present if link.master == bridge})
    masquerade.close()
    flows.close()


def _bare(new: Callable[[], Path], by_vxlan: bool, tracked: bool) -> Way:
    """The same path without bridges: two nodes, an end at each."""
    paths, ends = [new(), new()], [new(), new()]
    _joined(paths[0], paths[1], ("eth0", "eth0"), ("10.99.0.1/24", "10.99.0.2/24"))
    for number, (path, end) in enumerate(zip(paths, ends, strict=True), 1):
        _joined(path, end, ("end", "eth0"), (f"10.91.{number}.1/24", f"10.91.{number}.2/24"))
        netns.write_sysctl(path, "net.ipv4.ip_forward", 1)
        other = 3 - number
        far, hop = IPv4Network(f"10.91.{other}.0/24"), IPv4Address(f"10.99.0.{other}")
        with Netlink(path) as kernel, Netlink(end) as inside:
            inside.do(routes.add_route(Route(IPv4Network("0.0.0.0/0"), IPv4Address(f"10.91.{number}.1"))))
            route = Route(far, hop)
            if by_vxlan:
                mtu = 1500 - vxlan.OVERHEAD[4]
                kernel.do(vxlan.add(End("vx", mac=f"02:00:00:00:00:0{number}", mtu=mtu), _tunnel(number)))
                link, mac = kernel.index("vx"), f"02:00:00:00:00:0{other}"
                kernel.do(vxlan.set_far_end(link, FarEnd(mac, hop)), routes.set_neighbour(link, far[0], mac))
                inside.do(links.change("eth0", mtu=mtu))
                route = Route(far, far[0], link, onlink=True)
            kernel.do(routes.add_route(route))
        if tracked:
            netns.call(path, lambda: asyncio.run(_track()))
    label = "bare vxlan device" if by_vxlan else "bare routed veth"
    return Way(f"{label}, tracked" if tracked else label, ends[0], ends[1], "10.91.2.2")


async def _track() -> None:
    """A rule that asks for connections, for which the kernel tracks them all (a chain of type nat is not enough)."""
    nft = Nft()
    await nft.open()
    await nft.run(
        "table inet tracked { chain f { type filter hook forward priority filter; ct state invalid drop; }; }"
    )
    nft.close()


def _tunnel(number: int) -> Tunnel:
    return Tunnel(9, vxlan.PORT, IPv4Address(f"10.99.0.{number}"))
