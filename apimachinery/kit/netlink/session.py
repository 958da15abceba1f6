"""A netlink socket in one namespace: requests out, acknowledgements and dumps in.

Synchronous on purpose: a request is answered before `sendto` returns to us, in tens of microseconds, so a
thread hop would cost more than the call. The exceptions are deletions, which can wait for the kernel's
readers for milliseconds: from a coroutine run those by `asyncio.to_thread`. A session may be shared by
threads; each call holds it for itself.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from apimachinery.kit import netns
from apimachinery.kit.netlink import links, routes, rules, vxlan, wire
from apimachinery.kit.netlink.links import Link, LinkRef
from apimachinery.kit.netlink.routes import LinkAddress, Neighbour, Network, Route
from apimachinery.kit.netlink.rules import Rule
from apimachinery.kit.netlink.vxlan import FarEnd
from apimachinery.kit.netlink.wire import NetlinkError, Reply, Request

T = TypeVar("T")
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
# Acknowledgements of one send pile up in the receive buffer, each accounted as about 1 KB of the default 208
# KB.
BATCH = 64
RECEIVE = 1 << 17
DUMP_ATTEMPTS = 5


class Netlink:
    """Route netlink in the current namespace, or in `namespace` (a path or descriptor). Close it, or use it in a
    `with`.

    `timeout` (seconds) bounds every wait for the kernel's answer; TimeoutError beyond it. `protocol`: another of
    netlink's families (NETLINK_*), for which `do`, `ask` and `dump` work the same.
    """

    def __init__(
        self,
        namespace: netns.Namespace | None = None,
        timeout: float = 10.0,
        protocol: int = socket.NETLINK_ROUTE,
    ) -> None:
        arguments = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket = netns.open_socket(namespace, *arguments) if namespace is not None else socket.socket(*arguments)
        self._lock = threading.Lock()
        self._sequence = 0
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        # SO_RCVTIMEO instead of settimeout: the latter makes every receive a poll and a read.
        whole, part = divmod(timeout, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(whole), int(part * 1e6)))
        self._socket.bind((0, 0))

    @property
    def port(self) -> int:
        """What the kernel calls this session in what it tells others of its doing."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def do(self, *requests: Request) -> None:
        """Send the requests, in order, few system calls. All are carried out; then the first refusal is
        raised.
        """
        refused: NetlinkError | None = None
        for start in range(0, len(requests), BATCH):
            failure = self._do(requests[start : start + BATCH])
            refused = refused or failure
        if refused:
            raise refused

    def transact(self, begin: Request, requests: Sequence[Request], end: Request) -> None:
        """One transaction of nfnetlink: requests between its marks, all of them or none. Raises the first refusal."""
        *before, last = requests
        # Refusals are told unasked, and in order: the last one's acknowledgement is everybody's.
        told = Request(last.type, last.flags | wire.NLM_F_ACK, last.payload, last.asked)
        sent = [begin, *before, told, end]
        with self._lock:
            first = self._send(sent, 0)
            for reply in self._receive(last.asked):
                if reply.type == wire.NLMSG_ERROR and first <= reply.sequence:
                    code, detail = wire.error_of(reply)
                    if code:
                        raise NetlinkError(code, sent[reply.sequence - first].asked, detail)
                    return

    def ask(self, request: Request, parse: Callable[[Reply], T]) -> T:
        """The one answer to a request such as `links.get`."""
        with self._lock:
            sequence = self._send([request], 0)
            for reply in self._receive(request.asked):
                if reply.sequence != sequence:
                    continue
                if reply.type == wire.NLMSG_ERROR:
                    raise NetlinkError(wire.error_of(reply)[0], request.asked, wire.error_of(reply)[1])
                return parse(reply)
        raise NetlinkError(errno.EPROTO, request.asked)

    def dump(self, request: Request, parse: Callable[[Reply], T]) -> list[T]:
        """Every answer to a listing. Asked again when the kernel says the table changed under the dump."""
        for attempt in range(DUMP_ATTEMPTS):
            found, torn = self._dump(request, parse)
            if not torn or attempt == DUMP_ATTEMPTS - 1:
                break
        return found

    def links(self) -> list[Link]:
        return self.dump(links.dump(), links.parse)

    def link(self, ref: LinkRef) -> Link | None:
        """The link of that name or index, None when there is none."""
        try:
            return self.ask(links.get(ref), links.parse)
        except NetlinkError as refused:
            if refused.errno in (errno.ENODEV, errno.ENOENT):
                return None
            raise

    def index(self, name: str) -> int:
        """The index of a link that must exist; NetlinkError(ENODEV) otherwise."""
        return self.ask(links.get(name), links.parse).index

    def addresses(self, link: int = 0) -> list[LinkAddress]:
        found = self.dump(routes.dump_addresses(), lambda reply: routes.parse_address(reply, link))
        return [a for a in found if a is not None]

    def routes(self, version: int = 0, protocol: int | None = None, table: int = routes.MAIN_TABLE) -> list[Route]:
        """Routes of one table, of one IP version (0: both), and of one protocol number when given."""
        found = self.dump(routes.dump_routes(version), routes.parse_route)
        return [r for r in found if r and r.table == table and protocol in (None, r.protocol)]

    def route_to(self, destination: Network) -> Route | None:
        """The main table's entry for exactly this destination with the lowest metric."""
        same = [r for r in self.routes(destination.version) if r.destination == destination]
        return min(same, key=lambda r: r.metric, default=None)

    def neighbours(self) -> list[Neighbour]:
        return [n for n in self.dump(routes.dump_neighbours(), routes.parse_neighbour) if n]

    def far_ends(self, link: int) -> list[FarEnd]:
        """Where a VXLAN device sends which frames."""
        found = self.dump(vxlan.dump_far_ends(), lambda reply: vxlan.parse_far_end(reply, link))
        return [end for end in found if end is not None]

    def rules(self, protocol: int) -> list[Rule]:
        """Routing rules by source that carry this protocol number."""
        return [r for r in self.dump(rules.dump(), rules.parse) if r and r.protocol == protocol]

    def _do(self, requests: Sequence[Request]) -> NetlinkError | None:
        refused: NetlinkError | None = None
        with self._lock:
            first = self._send(requests, wire.NLM_F_ACK)
            waiting = len(requests)
            for reply in self._receive(requests[0].asked):
                place = reply.sequence - first
                if reply.type != wire.NLMSG_ERROR or not 0 <= place < len(requests):
                    continue
                code, detail = wire.error_of(reply)
                if code and code not in requests[place].ignore and refused is None:
                    refused = NetlinkError(code, requests[place].asked, detail)
                waiting -= 1
                if not waiting:
                    break
        return refused

    def _dump(self, request: Request, parse: Callable[[Reply], T]) -> tuple[list[T], bool]:
        found: list[T] = []
        torn = False
        with self._lock:
            sequence = self._send([request], 0)
            for reply in self._receive(request.asked):
                if reply.sequence != sequence:
                    continue
                torn = torn or bool(reply.flags & wire.NLM_F_DUMP_INTR)
                if reply.type == wire.NLMSG_ERROR:
                    raise NetlinkError(wire.error_of(reply)[0], request.asked, wire.error_of(reply)[1])
                if reply.type == wire.NLMSG_DONE:
                    break
                found.append(parse(reply))
        return found, torn

    def _send(self, requests: Sequence[Request], extra: int) -> int:
        first = self._sequence + 1
        self._sequence += len(requests)
        data = b"".join(wire.message(r, first + place, extra) for place, r in enumerate(requests))
        self._socket.sendto(data, (0, 0))
        return first

    def _receive(self, asked: str) -> Iterator[Reply]:
        """Replies for ever; the caller stops when it has its answer."""
        while True:
            try:
                data = self._socket.recv(RECEIVE)
            except BlockingIOError as late:
                raise TimeoutError(f"{asked}: no answer from the kernel in time") from late
            yield from wire.replies(data)
