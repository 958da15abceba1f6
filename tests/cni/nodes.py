"""Nodes as namespaces on one switch, each with its own networking, fed by a fake informer; for the kernel tier."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any, cast

from apimachinery.informer import Handler, Informer
from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, Route, links, routes
from apimachinery.objects import Obj
from cni import install
from cni.node import plan, sysctls
from cni.node.model import ANNOTATION
from cni.node.network import NodeNetworking
from cni.node.watch import LostInterface
from cni.settings import Settings
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller
from tests.waiting import eventually

CLUSTER = ("10.244.0.0/16", "fd44::/48")


class FakeInformer:
    """Nodes set by the test; tells handlers as the real one does."""

    def __init__(self) -> None:
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
            "spec": {"podCIDRs": [f"10.244.{number}.0/24", f"fd44:0:0:{number}::/64"]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": a} for a in (f"10.99.0.{last}", f"fd99::{last:x}")]
            },
        }
        old, self._nodes[name] = self._nodes.get(name), node
        for handler in self._handlers:
            handler(old, node)

    def annotate(self, name: str, text: str | None) -> None:
        """What the node with this name has announced."""
        if (old := self._nodes.get(name)) is None:
            return
        annotations = {ANNOTATION: text} if text is not None else {}
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
    pods: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.settings.node_name

    async def add(self, pod: Path) -> None:
        result = await self._caller().add(self._conflist(), Attachment(pod.name, str(pod)))
        self.pods.append((pod, result))

    async def remove(self, pod: Path) -> None:
        await self._caller().delete(self._conflist(), Attachment(pod.name, str(pod)))

    def _caller(self) -> Caller:
        return Caller([self.settings.bin_dir], ["nsenter", f"--net={self.path}"])

    def _conflist(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.settings.conf_dir / install.CONFLIST).read_text())
        return found


@contextmanager
def new_ground(tmp_path: Path) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    """A switch namespace with three nodes and an outside machine on it, all at 10.99.0.0/24; six empty
    pods.
    """
    with ExitStack() as stack:
        (switch,) = stack.enter_context(kernel.namespaces(1, "s"))
        paths = stack.enter_context(kernel.namespaces(4, "n"))
        pods = stack.enter_context(kernel.namespaces(6, "p"))
        with Netlink(switch) as wire:
            wire.do(links.add_bridge(End("sw0")))
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
            given = Settings(
                f"node{number}", base / "run", base / "conf", base / "bin", base / "data", cluster_cidr=CLUSTER
            )
            install.install_executables(given.bin_dir)
            nodes.append(Node(number, path, given))
        yield paths[3], nodes, pods


def all_pairs(nodes: list[Node]) -> None:
    """Every pod sees every pod's own address: no translation inside the cluster, and a pod reaches itself."""
    everyone = [(pod, result) for node in nodes for pod, result in node.pods]
    for pod, result in everyone:
        with kernel.echo(pod):
            for version in (4, 6):
                target = kernel.address_of(result, version)
                for other, seen in everyone:
                    assert kernel.ask(other, target) == kernel.address_of(seen, version)
                for node in nodes:
                    assert kernel.ask(node.path, target)


def until(what: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until `what` holds."""
    began = time.monotonic()
    eventually(what, seconds, pause=0.002)
    return time.monotonic() - began


class Running:
    """One node's networking in a thread inside its namespace."""

    def __init__(self, node: Node, tell_all: Callable[[str, str | None], None] = lambda _name, _text: None) -> None:
        """`tell_all`: what the node announces reaches whoever follows Node objects."""
        self.node = node
        self._tell_all = tell_all
        self.informer = FakeInformer()
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

    async def _announce(self, text: str | None) -> None:
        self._tell_all(self.node.name, text)

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
