"""Names that are not the cluster's: asked of others in order, and remembered as long as they say, 30 s at most."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from netproxy import metrics
from netproxy.dns import records, upstream
from netproxy.dns.upstream import Address
from netproxy.dns.wire import Malformed, Response

log = logging.getLogger(__name__)
_REST_SECONDS = 5.0
"""a server that did not answer is asked last for so long"""
_CACHE_SECONDS, _CACHE_SIZE = 30, 10_000
_LOOK_SECONDS = 5.0
"""between two looks at resolv.conf's time stamp"""
_MAX_UNDER_WAY = 1000
"""questions to others at once; more are refused, so that silent servers take no memory without bound"""
Key = tuple[str, int, bool]


class NoAnswer(Exception):
    """Nobody could be asked, or nobody answered; `rcode` is what the asker is told."""

    def __init__(self, rcode: int, text: str) -> None:
        super().__init__(text)
        self.rcode = rcode


class Forwarder:
    """`own`: addresses where this very server answers, which are never asked."""

    def __init__(
        self,
        servers: tuple[Address, ...],
        resolv_conf: Path,
        stub_domains: Mapping[str, tuple[Address, ...]],
        own: frozenset[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = servers
        self._resolv_conf = resolv_conf
        self._stubs = {domain.strip(".").lower(): found for domain, found in stub_domains.items()}
        self._own = own
        self._clock = clock
        self._cache: OrderedDict[Key, tuple[float, Response]] = OrderedDict()
        self._under_way: dict[Key, asyncio.Task[Response]] = {}
        self._rest_until: dict[Address, float] = {}
        self._looked, self._stamp = float("-inf"), 0.0
        self._servers: tuple[Address, ...] = ()
        self._probes: dict[str, Address] = {}
        self.loops: set[Address] = set()
        """servers that ask us what we ask them"""

    async def resolve(self, name: str, kind: int, dnssec: bool = False) -> tuple[Response, int]:
        """The answer, and the seconds it has lain here. Raises NoAnswer."""
        key = (name.lower(), kind, dnssec)
        now = self._clock()
        known = self._cache.get(key)
        if known and now < known[0] + _lifetime(known[1]):
            self._cache.move_to_end(key)
            metrics.DNS_CACHE.labels("hit").inc()
            return known[1], int(now - known[0])
        metrics.DNS_CACHE.labels("miss").inc()
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= _MAX_UNDER_WAY:
                raise NoAnswer(records.SERVFAIL, f"{_MAX_UNDER_WAY} questions are under way already")
            task = self._under_way[key] = asyncio.ensure_future(self._ask(key))
            task.add_done_callback(lambda done: self._finish(key, done))
        # Shielded: others may wait for the same answer.
        return await asyncio.shield(task), 0

    def _finish(self, key: Key, task: asyncio.Task[Response]) -> None:
        del self._under_way[key]
        if task.cancelled() or task.exception() is not None:
            return
        if _lifetime(task.result()) > 0:
            self._cache[key] = (self._clock(), task.result())
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)

    async def _ask(self, key: Key) -> Response:
        name, kind, dnssec = key
        servers = self._servers_for(name)
        if not servers:
            raise NoAnswer(records.REFUSED, "there is no server to ask")
        now, last = self._clock(), None
        for server in sorted(servers, key=lambda each: self._rest_until.get(each, 0.0) > now):
            try:
                answer = await upstream.ask(server, name, kind, dnssec)
            except (OSError, Malformed) as error:
                metrics.DNS_FORWARDED.labels("failed").inc()
                self._rest_until[server] = self._clock() + _REST_SECONDS
                log.debug("%s was asked for %s: %s", server[0], name, error)
                continue
            self._rest_until.pop(server, None)
            metrics.DNS_FORWARDED.labels("answered").inc()
            if answer.rcode in (records.NOERROR, records.NXDOMAIN):
                return answer
            last = answer
        if last is not None:
            return last
        raise NoAnswer(records.SERVFAIL, f"none of {', '.join(server[0] for server in servers)} answers")

    def _servers_for(self, name: str) -> list[Address]:
        labels = name.split(".")
        for start in range(len(labels)):
            stub = self._stubs.get(".".join(labels[start:]))
            if stub is not None:
                return [server for server in stub if server not in self.loops]
        return [server for server in self.servers() if server not in self.loops]

    def servers(self) -> tuple[Address, ...]:
        """Those of the settings, else those of resolv.conf as it now is."""
        if self._fixed:
            return self._fixed
        now = self._clock()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._read_resolv_conf()
        return self._servers

    def _read_resolv_conf(self) -> None:
        try:
            stamp = self._resolv_conf.stat().st_mtime
            if stamp == self._stamp:
                return
            text = self._resolv_conf.read_text(errors="replace")
        except OSError as error:
            log.warning("%s cannot be read, names outside the cluster are refused: %s", self._resolv_conf, error)
            self._servers, self._stamp = (), 0.0
            return
        self._stamp = stamp
        self._servers = tuple((ip, 53) for ip in nameservers(text) if ip not in self._own)
        self.loops.clear()

    async def probe(self) -> None:
        """Ask each server for a name that only we know. One that brings the question back to us (`returned`) is a loop:
        it would carry each question round for ever, and is asked no more."""
        everyone = {*self.servers(), *(server for stub in self._stubs.values() for server in stub)}
        for server in everyone:
            name = f"{secrets.token_hex(8)}.{secrets.token_hex(8)}"
            self._probes[name] = server
            try:
                await upstream.ask(server, name, records.HINFO, False)
            except (OSError, Malformed) as error:
                log.debug("probe of %s: %s", server[0], error)
            finally:
                self._probes.pop(name, None)

    def returned(self, name: str) -> bool:
        """Whether this question is a probe of ours that came back."""
        server = self._probes.get(name)
        if server is None:
            return False
        if server not in self.loops:
            self.loops.add(server)
            log.error(
                "%s sends questions back to this server: a loop. It is asked no more; "
                "name other servers in dns.upstreams, or another file in dns.resolv_conf",
                server[0],
            )
        return True


def nameservers(text: str) -> list[str]:
    """The servers of a resolv.conf, in its order, without a scope that another host would not know. Pure."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1])
            except ValueError:
                continue
            found.append(words[1])
    return found


def _lifetime(response: Response) -> int:
    if response.rcode not in (records.NOERROR, records.NXDOMAIN):
        return 0
    return min(response.lifetime or 0, _CACHE_SECONDS)
