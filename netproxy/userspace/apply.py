"""Takes Services' addresses, listens at them and relays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from apimachinery.kit.netlink import Netlink, events
from apimachinery.kit.netlink.events import Group
from netproxy import model
from netproxy.addresses import host_addresses
from netproxy.ground import Ground
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey
from netproxy.userspace import tcp, udp
from netproxy.userspace.choice import Bindings, candidates
from netproxy.userspace.plan import Key, Listener, Own, Relay, Target, Value, is_inside, plan
from netproxy.userspace.ways import Ways

log = logging.getLogger(__name__)
_SETTLE_SECONDS, _AGAIN_SECONDS = 0.05, 5.0


class UserspaceMode:
    """See modes.Mode."""

    name = "userspace"
    min_sync_seconds = 0.02

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None) -> None:
        """Raises ValueError for any `netns`: connections are relayed where this process is."""
        if netns is not None:
            raise ValueError("userspace mode works in this process's network namespace alone")
        self._grounds = {ground.family: ground for ground in grounds}
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}
        self._relays: dict[Listener, Relay] = {}
        self._open: dict[Listener, asyncio.Server | udp.Relayed] = {}
        self._bindings = Bindings()
        self._node: frozenset[str] = frozenset()
        self._own: set[str] = set()
        self._ways = Ways(self._grounds)
        self._at_work = asyncio.Lock()

    async def open(self) -> None:
        """There are no handles."""

    async def prepare(self) -> None:
        """Every kernel has what this needs; what it does not need, see Ways, is made with the first rules."""

    async def rebuild(self, routes: Mapping[PortKey, model.Route]) -> None:
        async with self._at_work:
            self._node = await asyncio.to_thread(self._node_addresses)
            ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
            self._claim(ledgers, routes)
            await asyncio.to_thread(self._ways.prepare)
            pieces = dict(piece for ledger in ledgers.values() for piece in ledger.items())
            wanted = {key.address for key in pieces if isinstance(key, Own)}
            await asyncio.to_thread(self._ways.keep_only, wanted)
            taken = await asyncio.to_thread(self._ways.held)
            self._relays, self._own = {}, wanted
            await self._exchange(_relays(pieces), self._open.keys() - pieces.keys(), wanted - taken, taken - wanted)
            self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, model.Route | None]) -> None:
        async with self._at_work:
            self._claim(self._ledgers, routes)
            come: dict[Key, Value] = {}
            gone: set[Key] = set()
            for ledger in self._ledgers.values():
                delta = ledger.delta()
                come.update(delta.added)
                gone.update(delta.removed.keys() - delta.added.keys())
            take, give_up = ({key.address for key in keys if isinstance(key, Own)} for keys in (come, gone))
            self._own |= take
            self._own -= give_up
            await self._exchange(_relays(come), {key for key in gone if isinstance(key, Listener)}, take, give_up)
            self._commit(self._ledgers)
            for key in (key for key, route in routes.items() if route is None):
                self._bindings.forget(key)

    async def watch(self, on_lost: Callable[[], None], _on_mended: Callable[[], None]) -> None:
        """Routes of ours that somebody took, addresses of this host that came or went, listeners that could not be."""
        groups = (Group.IPV4_ADDRESS, Group.IPV6_ADDRESS, Group.IPV4_ROUTE, Group.IPV6_ROUTE)
        with contextlib.closing(events.subscribe(0, groups)) as told:
            waiting = asyncio.ensure_future(events.readable(told))
            try:
                while True:
                    await asyncio.wait((waiting,), timeout=_AGAIN_SECONDS)
                    if waiting.done():
                        await asyncio.sleep(_SETTLE_SECONDS)
                        events.discard(told)
                        waiting = asyncio.ensure_future(events.readable(told))
                    async with self._at_work:
                        lost = bool(self._ledgers) and await asyncio.to_thread(self._is_lost)
                    if lost or self._relays.keys() - self._open.keys():
                        on_lost()
            finally:
                waiting.cancel()

    async def cleanup(self, patience: float = 0.0) -> None:
        async with self._at_work:
            self._ledgers, self._relays, self._own = {}, {}, set()
            self._shut(list(self._open))
            await asyncio.to_thread(self._ways.remove)

    async def tidy(self) -> None:
        """There has been only one way."""

    def close(self) -> None:
        """Without this process nobody answers: who comes now waits for its successor, and is not refused or sent
        elsewhere. So packets are swallowed first, and only then nobody listens."""
        self._ways.close()
        self._shut(list(self._open))

    async def _exchange(
        self,
        come: Mapping[Listener, Relay],
        gone: Collection[Listener],
        take: Collection[str],
        give_up: Collection[str],
    ) -> None:
        """Listeners and addresses, those that come and change and those that go; of all others nothing is looked at."""
        self._relays.update(come)
        for listener in gone:
            self._relays.pop(listener, None)
        for listener in [listener for listener in come if listener not in self._open]:
            await self._listen(listener)
        if take:
            await asyncio.to_thread(self._ways.take, take)
        self._shut(gone)
        if give_up:
            await asyncio.to_thread(self._ways.give_up, give_up)
        for listener, relay in come.items():
            if isinstance(opened := self._open.get(listener), udp.Relayed):
                opened.only({*relay.inside, *relay.outside})

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers

    async def _listen(self, listener: Listener) -> None:
        def choose(client: str) -> tuple[Target, ...]:
            return self._choose(listener, client)

        try:
            if listener.protocol == "TCP":
                self._open[listener] = await tcp.serve(listener, choose)
            else:
                self._open[listener] = await udp.serve(listener, choose)
        except OSError as error:
            where = f"{listener.address} port {listener.port}"
            log.error("cannot listen at %s (%s): %s", where, listener.protocol, error.strerror)

    def _choose(self, listener: Listener, client: str) -> tuple[Target, ...]:
        relay = self._relays.get(listener)
        if relay is None:
            return ()
        now = time.monotonic()
        inside = is_inside(client, self._grounds[relay.service.family], self._node, self._own)
        targets = candidates(relay, client, inside, self._bindings, now, random.random())
        if targets and relay.affinity_seconds:
            self._bindings.bind(relay.service, client, targets[0], now)
        return targets

    def _shut(self, listeners: Collection[Listener]) -> None:
        for listener in list(listeners):
            # What could not be listened at is not open.
            if opened := self._open.pop(listener, None):
                opened.close()

    def _claim(
        self, ledgers: Mapping[Family, Ledger[Key, Value]], changed: Mapping[PortKey, model.Route | None]
    ) -> None:
        for key, route in changed.items():
            if key.family not in ledgers:
                continue
            if key.protocol == "SCTP":
                log.warning("%s: userspace mode relays no SCTP", key.title)
                continue
            pieces = plan(route, self._grounds[key.family], self._node) if route else ()
            ledgers[key.family].claim(key, pieces)

    def _is_lost(self) -> bool:
        return self._ways.held() != self._own or self._node_addresses() != self._node

    def _node_addresses(self) -> frozenset[str]:
        with Netlink() as kernel:
            return frozenset(ip for ip, _ in host_addresses(kernel, self._grounds))


def _relays(pieces: Mapping[Key, Value]) -> dict[Listener, Relay]:
    return {key: value for key, value in pieces.items() if isinstance(key, Listener) and isinstance(value, Relay)}
