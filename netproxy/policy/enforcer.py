"""Brings the kernel's tables in line with the tracker, as little at a time as differs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from apimachinery.timestamps import parse_time
from netproxy import metrics
from netproxy.ground import Ground
from netproxy.ledger import Ledger
from netproxy.model import Family
from netproxy.nftables.plan import Key, Value
from netproxy.nftables.table import OwnTables
from netproxy.policy import base
from netproxy.policy.plan import Facts, plan_hold, plan_pod, plan_policy
from netproxy.policy.tracker import Changes, PolicyTracker

Owner = tuple[int, float, str]
"""kind, rank, name: the smallest has what several claim"""
_HOLD: Owner = (0, 0.0, "")


class Claims:
    """Who claims which pieces of both families' tables. Without kernel; the enforcer's memory."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self.ledgers = {family: Ledger[Key, Value]() for family in families}
        self._pods: dict[str, Owner] = {}

    def take(self, changes: Changes) -> None:
        """Claim what changed."""
        for key, facts in changes.pods.items():
            self._take_pod(key, facts)
        for family, ledger in self.ledgers.items():
            ledger.claim(_HOLD, plan_hold(changes.ranges, family))
            for key, policy in changes.policies.items():
                ledger.claim((1, 0.0, key), plan_policy(policy, family) if policy else ())

    def _take_pod(self, key: str, facts: Facts | None) -> None:
        old, new = self._pods.pop(key, None), _owner(key, facts) if facts else None
        if new:
            self._pods[key] = new
        for family, ledger in self.ledgers.items():
            if old and old != new:
                ledger.claim(old, ())
            if new and facts:
                ledger.claim(new, plan_pod(facts, family))


def _owner(key: str, facts: Facts) -> Owner:
    """An address that was given away again belongs to the younger pod."""
    born = parse_time(facts.pod.born).timestamp() if facts.pod.born else 0.0
    return 2, -born, key


class Enforcer:
    """`sync` is called by one runner, never twice at once. While there is no policy there is no table."""

    def __init__(self, tracker: PolicyTracker, grounds: tuple[Ground, ...], netns: Path | None = None) -> None:
        self._tracker = tracker
        self._layouts = {ground.family: base.layout(ground) for ground in grounds}
        self._tables = OwnTables(netns)
        self._claims: Claims | None = None
        self._doubted = True

    async def open(self) -> None:
        """Raises NftError where the kernel has no nftables."""
        await self._tables.open()

    async def sync(self) -> None:
        """Write what differs; raises what the kernel refused, and the next sync writes everything."""
        began = time.perf_counter()
        changes = self._tracker.drain()
        doubted, self._doubted = self._doubted, False
        try:
            if not self._tracker.policies:
                if doubted or self._claims:
                    await self.remove()
            elif self._claims is None or doubted:
                await self._rebuild()
            else:
                await self._change(self._claims, changes)
        except BaseException:
            self._doubted = True
            metrics.POLICY_FAILURES.inc()
            raise
        metrics.POLICIES.set(len(self._tracker.policies))
        metrics.POLICY_SYNC.observe(time.perf_counter() - began)

    def doubt(self) -> None:
        """The kernel's rules may not be ours any more: the next sync writes all of them."""
        self._doubted = True

    async def watch(self, on_lost: Callable[[], None]) -> None:
        """See OwnTables.watch."""
        await self._tables.watch({layout.name for layout in self._layouts.values()}, on_lost)

    async def remove(self) -> None:
        """Nothing is judged any more."""
        self._claims = None
        await self._tables.remove(self._layouts.values())

    def close(self) -> None:
        """Give up the handle; rules stay."""
        self._tables.close()

    async def _rebuild(self) -> None:
        claims = Claims(tuple(self._layouts))
        claims.take(Changes(self._tracker.policies, self._tracker.facts, self._tracker.held))
        for family, ledger in claims.ledgers.items():
            layout = self._layouts[family]
            await self._tables.rebuild(layout, tuple(ledger.items()), await self._tables.present(layout))
            ledger.commit()
        self._claims = claims

    async def _change(self, claims: Claims, changes: Changes) -> None:
        claims.take(changes)
        for family, ledger in claims.ledgers.items():
            await self._tables.change(self._layouts[family], ledger.delta())
            ledger.commit()
