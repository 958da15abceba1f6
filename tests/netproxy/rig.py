"""A small world of network namespaces: a node, pods behind it, and a client outside the cluster.

    client 10.20.0.1 ── node 10.20.0.11 ── pods 10.244.1.5, .6 (this node's) and 10.244.2.5 (as if another's)
    fd00:20::1          fd00:20::11        fd00:244:1::5, ::6                    fd00:244:2::5

Nothing here has a route to the machine's own network. Servers are threads whose sockets live in the pods'
namespaces; each answers with its own address and the address it saw.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from apimachinery.kit import command, netns
from netproxy import modes
from tests.conftest import SLOWNESS
from tests.waiting import SECONDS

MODULES = Path("/lib/modules") / os.uname().release
KERNEL_HAS_IPVS = Path("/proc/net/ip_vs").exists() or (MODULES / "kernel/net/netfilter/ipvs").is_dir()
"""tests/vm runs what needs it on a kernel that has"""
MODES = tuple(name for name in modes.mode_names() if name != "ipvs" or KERNEL_HAS_IPVS)
"""those that this kernel can do"""
IN_KERNEL = tuple(name for name in MODES if name != "userspace")
NODE_IP, CLIENT_IP = "10.20.0.11", "10.20.0.1"
PODS = ("10.244.1.5", "10.244.1.6", "10.244.2.5")
NODE_IP6, CLIENT_IP6 = "fd00:20::11", "fd00:20::1"
PODS6 = ("fd00:244:1::5", "fd00:244:1::6", "fd00:244:2::5")
_GATEWAY, _GATEWAY6 = "169.254.1.1", "fe80::1"
# Seconds that show silence; an answer, which takes a millisecond, is waited for longer: machines stall.
BRIEF, PATIENT = 0.5 * SLOWNESS, SECONDS * SLOWNESS

# Seconds from a client's connection to its next: an emulated machine's one processor is the change's, too.
_BETWEEN = 0.01 * (SLOWNESS - 1)


class Rig:
    """Namespaces by role: node, client, and pods by address."""

    def __init__(self, prefix: str) -> None:
        self.node = netns.create(prefix + "n")
        self.client = netns.create(prefix + "c")
        self.pods = {ip: netns.create(f"{prefix}p{i}") for i, ip in enumerate(PODS)}
        self._sockets: list[socket.socket] = []

    async def wire(self) -> None:
        """Links, addresses, routes and servers."""
        node, client = self.node, self.client
        await self.ip(None, f"link add n0 netns {node.name} type veth peer name c0 netns {client.name}")
        await self.ip(node, "link set lo up", *_addresses("n0", f"{NODE_IP}/24", f"{NODE_IP6}/64"), "link set n0 up")
        await self.ip(client, "link set lo up", *_addresses("c0", f"{CLIENT_IP}/24", f"{CLIENT_IP6}/64"))
        ways = [f"route add {network} via {NODE_IP}" for network in ("10.96.0.0/16", "203.0.113.0/24")]
        ways += [f"route add {network} via {NODE_IP6}" for network in ("fd00:96::/112", "fd00:203::/64")]
        await self.ip(client, "link set c0 up", *ways)
        # A way out that swallows everything, so that a packet no rule caught is lost and not sent back.
        await self.ip(node, "link add w0 type veth peer name w1", *_addresses("w0", "192.0.2.2/24", "fd00:192::2/64"))
        await self.ip(node, "link set w0 up", "link set w1 up")
        await self.ip(node, "route add default via 192.0.2.1", "route add ::/0 via fd00:192::1")
        netns.write_sysctl(node, "net.ipv4.ip_forward", 1)
        netns.write_sysctl(node, "net.ipv6.conf.all.forwarding", 1)
        for index, (ip, pod) in enumerate(self.pods.items()):
            link = f"v{index}"
            await self.ip(None, f"link add {link} netns {node.name} type veth peer name e0 netns {pod.name}")
            ip6 = PODS6[index]
            await self.ip(node, *_addresses(link, f"{_GATEWAY}/32", f"{_GATEWAY6}/64"), f"link set {link} up")
            await self.ip(node, f"route add {ip}/32 dev {link}", f"route add {ip6}/128 dev {link}")
            await self.ip(pod, "link set lo up", *_addresses("e0", f"{ip}/32", f"{ip6}/128"), "link set e0 up")
            ways = [f"route add default via {_GATEWAY} dev e0 onlink", f"route add ::/0 via {_GATEWAY6} dev e0"]
            await self.ip(pod, *ways)
            for name in (ip, ip6):
                self._serve(pod, name, 8080)

    async def ip(self, where: Path | None, *lines: str) -> None:
        """Commands of ip(8), in the namespace `where`."""
        enter = ["nsenter", f"--net={where}"] if where else []
        await command.run([*enter, "ip", "-batch", "-"], stdin="\n".join(lines).encode(), timeout=60)

    def ask(self, where: Path, address: str, port: int, timeout: float = PATIENT) -> tuple[str, str]:
        """One TCP connection: (who answered, the source it saw). Raises OSError."""
        with netns.open_socket(where, family_of(address), socket.SOCK_STREAM) as handle:
            handle.settimeout(timeout)
            handle.connect((address, port))
            text = handle.recv(200).decode()
        who, _, seen = text.partition(" ")
        return who, seen

    def who(self, where: Path, address: str, port: int, times: int = 20) -> Counter[str]:
        """Who answers how often."""
        return Counter(self.ask(where, address, port)[0] for _ in range(times))

    def outcome(self, where: Path, address: str, port: int, timeout: float = PATIENT) -> str:
        """`answered`, `refused` or `silence`; BRIEF is enough where silence is expected."""
        try:
            self.ask(where, address, port, timeout)
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silence"
        return "answered"

    @contextlib.contextmanager
    def loaded(self, *fronts: tuple[str, int]) -> Iterator[tuple[list[str], list[str]]]:
        """A client outside for each (address, port), all the time: who answered, and what failed."""
        done, answers, failures = threading.Event(), list[str](), list[str]()

        def ask(address: str, port: int) -> None:
            while not done.wait(_BETWEEN):
                try:
                    answers.append(self.ask(self.client, address, port)[0])
                except OSError as error:
                    failures.append(f"{address}: {error}")

        threads = [threading.Thread(target=ask, args=front) for front in fronts]
        for thread in threads:
            thread.start()
        try:
            yield answers, failures
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENT)

    def udp(self, where: Path, family: int = socket.AF_INET) -> socket.socket:
        """A client's UDP socket."""
        handle = netns.open_socket(where, family, socket.SOCK_DGRAM)
        handle.settimeout(60)
        self._sockets.append(handle)
        return handle

    def close(self) -> None:
        """Remove everything."""
        for handle in self._sockets:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()
        for path in (self.node, self.client, *self.pods.values()):
            netns.delete(path.name)

    def _serve(self, pod: Path, name: str, port: int) -> None:
        family = family_of(name)
        for kind, answer in ((socket.SOCK_STREAM, _answer_tcp), (socket.SOCK_DGRAM, _answer_udp)):
            handle = netns.open_socket(pod, family, kind)
            if family == socket.AF_INET6:
                handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_STREAM:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            handle.bind(("", port))
            if kind == socket.SOCK_STREAM:
                handle.listen(256)
            self._sockets.append(handle)
            threading.Thread(target=answer, args=(handle, name), daemon=True).start()


def family_of(address: str) -> int:
    """Of a socket for it."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _addresses(link: str, *addresses: str) -> list[str]:
    """Lines for ip(8); an IPv6 address is of use at once."""
    return [f"addr add {one} dev {link}{' nodad' if ':' in one else ''}" for one in addresses]


def _answer_tcp(listener: socket.socket, name: str) -> None:
    while True:
        try:
            handle, peer = listener.accept()
        except OSError:
            return
        with handle, contextlib.suppress(OSError):
            handle.settimeout(60)
            handle.sendall(f"{name} {peer[0]}".encode())
            # The client closes first: a port in TIME_WAIT on this side could refuse the next translated client.
            handle.recv(1)


def _answer_udp(listener: socket.socket, name: str) -> None:
    while True:
        try:
            data, peer = listener.recvfrom(2000)
            if not data:
                return
            listener.sendto(f"{name} {peer[0]}".encode(), peer)
        except OSError:
            return


@contextlib.contextmanager
def new_rig() -> Iterator[Rig]:
    """A rig with nothing wired yet; gone at the end whatever happens."""
    rig = Rig(f"wht{os.getpid():x}{secrets.token_hex(2)}")
    try:
        yield rig
    finally:
        rig.close()
