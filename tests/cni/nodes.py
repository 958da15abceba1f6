"""Nodes as namespaces on one switch, each with its own networking, fed by a fake informer; for the kernel tier."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any, cast

from apimachinery.informer import Handler, Informer
from apimachinery.kit import command, netns
from apimachinery.kit.netlink import End, Netlink, Route, links, routes
from apimachinery.objects import Obj
from cni import install, plugins, skel
from cni.host import Host, free_retired_now
from cni.node import plan, sysctls
from cni.node.model import ANNOTATION, KEY_ANNOTATION
from cni.node.network import NodeNetworking
from cni.node.watch import LostInterface
from cni.settings import Mode, Settings
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller
from tests.waiting import eventually

CLUSTER = ("10.244.0.0/16", "fd44::/48")


# A network that keeps track of connections, and lets nothing pass that it cannot place.
TRACKING = "table inet whttracking { chain forward { type filter hook forward priority 0; ct state invalid drop; }; }"


class FakeInformer:
    """Nodes set by the test, of the IP versions given; tells handlers as the real one does."""

    def __init__(self, versions: tuple[int, ...] = (4, 6)) -> None:
        self._versions = versions
        self._nodes: dict[str, Obj] = {}
        self._handlers: list[Handler] = []

    def add_handler(self, handler: Handler) -> None:
        self._handlers.append(handler)

    def items(self) -> list[Obj]:
        return list(self._nodes.values())

    async def wait_synced(self) -> None:
        return

    def put(self, name: str, number: int, last: int = 0) -> None:
        """`last`: of the node's addresses, where they are not its number."""
        last = last or number
        known = self._nodes.get(name) or {"metadata": {"name": name}}
        node = {
            "metadata": known["metadata"],
            "spec": {"podCIDRs": self._mine(f"10.244.{number}.0/24", f"fd44:0:0:{number}::/64")},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": a} for a in self._mine(f"10.99.0.{last}", f"fd99::{last:x}")
                ]
            },
        }
        old, self._nodes[name] = self._nodes.get(name), node
        for handler in self._handlers:
            handler(old, node)

    def _mine(self, four: str, six: str) -> list[str]:
        return [{4: four, 6: six}[version] for version in self._versions]

    def annotate(self, name: str, texts: dict[str, str]) -> None:
        """What the node with this name has announced, by annotation."""
        if (old := self._nodes.get(name)) is None:
            return
        annotations = dict(texts)
        node = self._nodes[name] = {**old, "metadata": {"name": name, "annotations": annotations}}
        for handler in self._handlers:
            handler(old, node)

    def remove(self, name: str) -> None:
        old = self._nodes.pop(name)
        for handler in self._handlers:
            handler(old, None)


@dataclass
class Node:
    number: int
    path: Path
    settings: Settings
    versions: tuple[int, ...] = (4, 6)
    pods: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.settings.node_name

    async def add(self, pod: Path) -> None:
        result = await self._caller().add(self._conflist(), Attachment(pod.name, str(pod)))
        self.pods.append((pod, result))

    async def remove(self, pod: Path) -> None:
        await self._caller().delete(self._conflist(), Attachment(pod.name, str(pod)))

    def add_here(self, pod: Path, capabilities: dict[str, Any]) -> None:
        """As `add`, without a program: for many pods in little time."""
        self.pods.append((pod, netns.call(self.path, partial(self._add_here, pod, capabilities))))

    def _add_here(self, pod: Path, capabilities: dict[str, Any]) -> dict[str, Any]:
        environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": pod.name, "CNI_NETNS": str(pod), "CNI_IFNAME": "eth0"}
        environment |= {"CNI_PATH": "/x"}
        network, result = self._conflist(), dict[str, Any]()
        with Netlink() as opened:
            host = Host(opened, partial(free_retired_now, opened), self.settings.run_dir)
            for config in network["plugins"]:
                wanted = {key: value for key, value in capabilities.items() if config["capabilities"].get(key)}
                given = {
                    **config,
                    "name": network["name"],
                    "cniVersion": network["cniVersion"],
                    "runtimeConfig": wanted,
                }
                given |= {"prevResult": result} if result else {}
                plugin = plugins.by_name(config["type"])
                assert plugin
                status, output = skel.answer(plugin, environment, json.dumps(given).encode(), host)
                assert status == 0, output
                result = json.loads(output)
        return result

    def _caller(self) -> Caller:
        return Caller([self.settings.bin_dir], ["nsenter", f"--net={self.path}"])

    def _conflist(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.settings.conf_dir / install.CONFLIST).read_text())
        return found


def track(switch: Path) -> None:
    """Have a switch look at connections."""
    for name in ("iptables", "ip6tables"):
        netns.write_sysctl(switch, f"net.bridge.bridge-nf-call-{name}", 1)
    asyncio.run(command.run(["nsenter", f"--net={switch}", "nft", TRACKING], timeout=60))


@contextmanager
def new_ground(
    tmp_path: Path, count: int = 6, versions: tuple[int, ...] = (4, 6), tracking: bool = False
) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    """A switch namespace with three nodes and an outside machine on it, all at 10.99.0.0/24; `count` empty
    pods. `versions`: of the pod network and of the nodes' addresses that Node objects tell.
    `tracking`: whether the switch looks at connections.
    """
    with ExitStack() as stack:
        (switch,) = stack.enter_context(kernel.namespaces(1, "s"))
        paths = stack.enter_context(kernel.namespaces(4, "n"))
        pods = stack.enter_context(kernel.namespaces(count, "p"))
        with Netlink(switch) as wire:
            wire.do(links.add_bridge(End("sw0")))
            if tracking:
                track(switch)
            for number, path in enumerate(paths, 1):
                descriptor = path.open("rb")
                with descriptor, Netlink(path) as node:
                    near = End(f"port{number}", master=wire.index("sw0"))
                    wire.do(links.add_veth(near, End("eth0", namespace=descriptor.fileno())))
                    node.do(links.change("eth0", up=True))
                    eth0 = node.index("eth0")
                    for text in (f"10.99.0.{number}/24", f"fd99::{number}/64"):
                        node.do(routes.add_address(eth0, ip_interface(text)))
                    if number < 4:
                        node.do(routes.add_route(Route(ip_network("0.0.0.0/0"), ip_interface("10.99.0.4").ip, eth0)))
        nodes = []
        for number, path in enumerate(paths[:3], 1):
            base = tmp_path / f"n{number}"
            ranges = tuple(text for text in CLUSTER if ip_network(text).version in versions)
            run, conf, bins, data = (base / name for name in ("run", "conf", "bin", "data"))
            given = Settings(f"node{number}", run, conf, bins, data, cluster_cidr=ranges)
            install.install_executables(given.bin_dir)
            nodes.append(Node(number, path, given, versions))
        yield paths[3], nodes, pods


def all_pairs(nodes: list[Node]) -> None:
    """Every pod sees every pod's own address: no translation inside the cluster, and a pod reaches itself."""
    everyone = [(pod, result) for node in nodes for pod, result in node.pods]
    for pod, result in everyone:
        with kernel.echo(pod):
            for version in (4, 6):
                target = kernel.address_of(result, version)
                for other, seen in everyone:
                    own, shown = kernel.address_of(seen, version), kernel.ask(other, target)
                    assert shown == own, f"{target} of {pod.name} sees {own} of {other.name} as {shown!r}"
                for node in nodes:
                    assert kernel.ask(node.path, target)


def until(what: Callable[[], bool]) -> float:
    """Seconds until `what` holds."""
    began = time.monotonic()
    eventually(what, pause=0.002)
    return time.monotonic() - began


TellAll = Callable[[str, str, str | None], None]
"""Of a node's name, an annotation and its value."""


class Running:
    """One node's networking in a thread inside its namespace."""

    def __init__(self, node: Node, tell_all: TellAll = lambda _name, _annotation, _text: None) -> None:
        """`tell_all`: what the node announces reaches whoever follows Node objects."""
        self.node = node
        self._tell_all = tell_all
        self.informer = FakeInformer(node.versions)
        self.lost: list[LostInterface] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._networking: NodeNetworking | None = None

    def main(self) -> None:
        netns.call(self.node.path, lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        sysctls.keep(sysctls.names(node=True))
        informer = cast(Informer, self.informer)
        networking = NodeNetworking(self.node.settings, informer, self.lost.append, self._announce)
        self._networking = networking
        task = asyncio.ensure_future(networking.run())
        await self._stop.wait()
        task.cancel()
        await networking.close()

    async def _announce(self, annotation: str, text: str | None) -> None:
        self._tell_all(self.node.name, annotation, text)

    def tell(self, what: Callable[[FakeInformer], None]) -> None:
        until(lambda: self._loop is not None)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(what, self.informer)

    def missing(self, sandboxes: frozenset[str]) -> list[LostInterface]:
        until(lambda: self._networking is not None)
        assert self._loop is not None and self._networking is not None
        return asyncio.run_coroutine_threadsafe(self._networking.missing(sandboxes), self._loop).result(10)

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def our_routes(self) -> dict[str, str]:
        with Netlink(self.node.path) as node:
            found = node.routes(protocol=plan.PROTOCOL)
        return {str(r.destination): str(r.gateway) if r.kind == "unicast" else r.kind for r in found}


class Cluster:
    """Three nodes whose networking can be started and stopped, one by one, in any mode."""

    def __init__(self, nodes: list[Node], threads: ThreadPoolExecutor) -> None:
        self.nodes = nodes
        self._threads = threads
        self._futures: dict[str, Future[None]] = {}
        self.running: dict[str, Running] = {}
        self.announced: dict[str, dict[str, str]] = {}

    def start(self, node: Node, mode: Mode) -> Running:
        node.settings = replace(node.settings, mode=mode)
        one = self.running[node.name] = Running(node, self._tell_all)
        for other in self.nodes:
            one.informer.put(other.name, other.number)
            one.informer.annotate(other.name, self.announced.get(other.name, {}))
        self._futures[node.name] = self._threads.submit(one.main)
        return one

    def start_all(self, mode: Mode) -> None:
        """Until all have their routes and pods can be added."""
        for node in self.nodes:
            self.start(node, mode)
        for node in self.nodes:
            until(partial(self._is_joined, node))
            until((node.settings.conf_dir / install.CONFLIST).exists)

    def _is_joined(self, node: Node) -> bool:
        return len(self.running[node.name].our_routes()) == 3 * len(node.versions)

    def stop(self, name: str) -> None:
        self.running.pop(name).stop()
        self._futures.pop(name).result(20)

    def change(self, node: Node, mode: Mode) -> None:
        """As a new agent with other settings does it."""
        self.stop(node.name)
        self.start(node, mode)
        wanted = {Mode.VXLAN: {ANNOTATION}, Mode.WIREGUARD: {KEY_ANNOTATION}}.get(mode, set())
        until(lambda: self.announced.get(node.name, {}).keys() == wanted)

    def _tell_all(self, name: str, annotation: str, text: str | None) -> None:
        before = {k: v for k, v in self.announced.get(name, {}).items() if k != annotation}
        texts = self.announced[name] = before | ({annotation: text} if text is not None else {})
        for one in list(self.running.values()):
            one.tell(partial(FakeInformer.annotate, name=name, texts=texts))
