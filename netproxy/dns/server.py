"""Queries in, answers out, over UDP and TCP. What is known is answered in the same turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from apimachinery.kit.tasks import within
from netproxy import metrics
from netproxy.dns import records, wire
from netproxy.dns.directory import Directory, Key
from netproxy.dns.forward import Forwarder, NoAnswer
from netproxy.dns.plain import Question
from netproxy.dns.records import Answer, Zone
from netproxy.dns.replies import Replies, orders
from netproxy.dns.wire import Malformed

log = logging.getLogger(__name__)
_REPLIES = 10_000
_TCP_IDLE_SECONDS, _TCP_CONNECTIONS = 10.0, 1000
_FOR_US = 1
"""class IN"""
_TRANSFERS = frozenset({251, 252})
_AT_ONCE, _TURN_SECONDS = 64, 0.001
"""datagrams answered in one turn of the loop, and how long those that have to be worked out may take together"""
_MAX_WAITING = 5000
"""queries that wait for somebody else's answer"""
Send = Callable[[bytes], None]


class Resolver:
    """Answers queries, wherever they come from."""

    def __init__(self, directory: Directory, zone: Zone, forwarder: Forwarder) -> None:
        self._directory = directory
        self._zone = zone
        self._forwarder = forwarder
        self._replies = {"udp": Replies(_REPLIES), "tcp": Replies(_REPLIES)}
        self._waiting: set[asyncio.Task[None]] = set()
        self.complete = False
        """whether the directory holds the whole cluster; until then questions about it are left unanswered"""

    def changed(self, service: Key) -> None:
        """Answers about this Service may be others now."""
        for replies in self._replies.values():
            replies.forget(service)

    def known(self, data: bytes, protocol: str) -> bytes | None:
        """The answer to a query that was answered before, if nothing has changed since."""
        return self._replies[protocol].get(data)

    def handle(self, data: bytes, protocol: str, send: Send) -> None:
        """Work out the answer to one query, now or when others have answered. `protocol` is udp or tcp. Queries are
        counted by who reads them."""
        try:
            question = wire.parse(data)
        except Malformed as problem:
            log.debug("malformed query: %s", problem)
            if refusal := wire.refuse(data):
                metrics.dns_answered(_RCODES[refusal[3] & 0xF])
                send(refusal)
            return
        limit = question.form.size if protocol == "udp" else wire.TCP_SIZE
        answer = self._local(question)
        if answer is not None and not self.complete and question.form.opcode == 0:
            # To say that a name does not exist would be wrong, to say that we do not know would end the search: who
            # hears nothing asks again in a few seconds.
            return
        if answer is not None and not answer.alias:
            self._send_local(data, question, answer, protocol, limit, send)
        elif len(self._waiting) >= _MAX_WAITING:
            send(wire.replies(question, Answer(records.SERVFAIL), self._zone, limit)[0])
        else:
            task = asyncio.ensure_future(self._forward(question, answer or Answer(), limit, send))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    def _local(self, question: Question) -> Answer | None:
        """What can be said without asking anybody; None for others' names."""
        if question.form.opcode != 0:
            return Answer(records.NOTIMP)
        if question.form.edns and question.form.edns_version:
            return Answer(wire.BADVERS)
        if question.form.cls != _FOR_US or question.form.type in _TRANSFERS:
            return Answer(records.REFUSED)
        if question.form.type == records.HINFO and self._forwarder.returned(question.key):
            return Answer(records.SERVFAIL)
        return records.answer(question.key, question.form.type, self._directory, self._zone)

    def _send_local(
        self, data: bytes, question: Question, answer: Answer, protocol: str, limit: int, send: Send
    ) -> None:
        replies = wire.replies(question, answer, self._zone, limit, orders(_addresses(answer)))
        if not question.form.has_options:
            # A cookie differs with each client, and would fill the memory with one answer.
            owner = records.decided_by(question.key, answer, self._zone)
            self._replies[protocol].put(data, replies, owner)
        metrics.dns_answered(_RCODES.get(answer.rcode, "other"))
        send(replies[0])

    async def _forward(self, question: Question, known: Answer, limit: int, send: Send) -> None:
        started = time.perf_counter()
        try:
            response, age = await self._forwarder.resolve(
                known.alias or question.key, question.form.type, question.form.dnssec
            )
            rcode, sections = response.rcode, response.aged(age)
        except NoAnswer as problem:
            log.debug("%s: %s", question.name, problem)
            rcode, sections = problem.rcode, ()
            # An alias is true whether or not somebody knows where it leads.
            rcode = records.SERVFAIL if known.alias else rcode
        metrics.dns_answered(_RCODES.get(rcode, "other"))
        metrics.DNS_FORWARD_SECONDS.observe(time.perf_counter() - started)
        send(wire.relay(question, sections, rcode, limit, known.records))


def _addresses(answer: Answer) -> int:
    """How many records may change places: addresses only, and only when there is nothing else."""
    if len(answer.records) < 2:
        return 1
    kinds = {record.type for record in answer.records}
    return len(answer.records) if kinds in ({records.A}, {records.AAAA}) else 1


_RCODES = {
    records.NOERROR: "noerror",
    records.FORMERR: "formerr",
    records.SERVFAIL: "servfail",
    records.NXDOMAIN: "nxdomain",
    records.NOTIMP: "notimp",
    records.REFUSED: "refused",
}


class UdpServer:
    """One socket. What waits there is answered in one go, since to be woken costs as much as several answers; but no
    more than `_AT_ONCE`, nor beyond `_TURN_SECONDS`, since others use the loop, too."""

    def __init__(self, resolver: Resolver, handle: socket.socket) -> None:
        """`handle`: bound, and not blocking; it is closed by `close`."""
        self._resolver = resolver
        self._handle = handle

    def open(self) -> None:
        """Answer from now on, in the running loop."""
        asyncio.get_running_loop().add_reader(self._handle, self._readable)

    def close(self) -> None:
        """Answer no more."""
        asyncio.get_running_loop().remove_reader(self._handle)
        self._handle.close()

    def _readable(self) -> None:
        known, read, count = self._resolver.known, self._handle.recvfrom, 0
        until = time.perf_counter() + _TURN_SECONDS
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                data, address = read(wire.LARGEST_QUERY)
                answer = known(data, "udp")
                count += 1
                if answer is not None:
                    self._send(answer, address)
                    continue
                self._resolver.handle(data, "udp", partial(self._send, address=address))
                if time.perf_counter() > until:
                    break
        metrics.dns_asked("udp", count)

    def _send(self, answer: bytes, address: Any) -> None:
        try:
            self._handle.sendto(answer, address)
        except OSError as problem:
            # A full buffer loses it, as the network may; who hears nothing asks again.
            log.debug("an answer to %s is lost: %s", address, problem)


class TcpServer:
    """Several queries on a connection, answered as they are ready (RFC 7766)."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is closed or silent."""
        if self._open >= _TCP_CONNECTIONS:
            writer.close()
            return
        self._open += 1

        def send(answer: bytes) -> None:
            if not writer.is_closing():
                writer.write(len(answer).to_bytes(2, "big") + answer)

        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                while True:
                    query = await within(_message(reader), _TCP_IDLE_SECONDS)
                    known = self._resolver.known(query, "tcp")
                    metrics.dns_asked("tcp")
                    if known is not None:
                        send(known)
                    else:
                        self._resolver.handle(query, "tcp", send)
                    # Who does not read its answers is asked for no more questions.
                    await within(writer.drain(), _TCP_IDLE_SECONDS)
        finally:
            self._open -= 1
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(size)
