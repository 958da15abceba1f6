"""A small world of network namespaces: a node, pods behind it, and a client outside the cluster.

    client 10.20.0.1 ── node 10.20.0.11 ── pods 10.244.1.5, .6 (this node's) and 10.244.2.5 (as if another's)

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

MODULES = Path("/lib/modules") / os.uname().release
KERNEL_HAS_IPVS = Path("/proc/net/ip_vs").exists() or (MODULES / "kernel/net/netfilter/ipvs").is_dir()
"""tests/vm runs what needs it on a kernel that has"""
MODES = tuple(name for name in modes.mode_names() if name != "ipvs" or KERNEL_HAS_IPVS)
"""those that this kernel can do"""
IN_KERNEL = tuple(name for name in MODES if name != "userspace")
NODE_IP, CLIENT_IP = "10.20.0.11", "10.20.0.1"
PODS = ("10.244.1.5", "10.244.1.6", "10.244.2.5")
_GATEWAY = "169.254.1.1"
# Seconds that show silence; an answer, which takes a millisecond, is waited for longer: machines stall.
BRIEF, PATIENT = 0.5 * SLOWNESS, 10.0 * SLOWNESS


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
        await self.ip(node, "link set lo up", f"addr add {NODE_IP}/24 dev n0", "link set n0 up")
        await self.ip(client, "link set lo up", f"addr add {CLIENT_IP}/24 dev c0", "link set c0 up")
        for network in ("10.96.0.0/16", "203.0.113.0/24"):
            await self.ip(client, f"route add {network} via {NODE_IP}")
        # A way out that swallows everything, so that a packet no rule caught is lost and not sent back.
        await self.ip(node, "link add w0 type veth peer name w1", "addr add 192.0.2.2/24 dev w0")
        await self.ip(node, "link set w0 up", "link set w1 up", "route add default via 192.0.2.1")
        netns.write_sysctl(node, "net.ipv4.ip_forward", 1)
        for index, (ip, pod) in enumerate(self.pods.items()):
            link = f"v{index}"
            await self.ip(None, f"link add {link} netns {node.name} type veth peer name e0 netns {pod.name}")
            await self.ip(node, f"addr add {_GATEWAY}/32 dev {link}", f"link set {link} up")
            await self.ip(node, f"route add {ip}/32 dev {link}")
            await self.ip(pod, "link set lo up", f"addr add {ip}/32 dev e0", "link set e0 up")
            await self.ip(pod, f"route add default via {_GATEWAY} dev e0 onlink")
            self._serve(pod, ip, 8080)

    async def ip(self, where: Path | None, *lines: str) -> None:
        """Commands of ip(8), in the namespace `where`."""
        enter = ["nsenter", f"--net={where}"] if where else []
        await command.run([*enter, "ip", "-batch", "-"], stdin="\n".join(lines).encode(), timeout=10)

    def ask(self, where: Path, address: str, port: int, timeout: float = 5.0 * SLOWNESS) -> tuple[str, str]:
        """One TCP connection: (who answered, the source it saw). Raises OSError."""
        with netns.open_socket(where, socket.AF_INET, socket.SOCK_STREAM) as handle:
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

    def udp(self, where: Path) -> socket.socket:
        """A client's UDP socket."""
        handle = netns.open_socket(where, socket.AF_INET, socket.SOCK_DGRAM)
        handle.settimeout(5)
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
        tcp = netns.open_socket(pod, socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("", port))
        tcp.listen(256)
        udp = netns.open_socket(pod, socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", port))
        self._sockets += [tcp, udp]
        threading.Thread(target=_answer_tcp, args=(tcp, name), daemon=True).start()
        threading.Thread(target=_answer_udp, args=(udp, name), daemon=True).start()


def _answer_tcp(listener: socket.socket, name: str) -> None:
    while True:
        try:
            handle, peer = listener.accept()
        except OSError:
            return
        with handle, contextlib.suppress(OSError):
            handle.settimeout(5)
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
