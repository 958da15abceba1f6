"""Who may take a lease and what is written then."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.objects import Obj
from controlplane.election import Election, ElectionSettings, Move, judge, renewed
from tests.controlplane.controllers.build import T0


def lease(holder: str) -> Obj:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "x", "leaseTransitions": 3}
    return {"metadata": {"name": "l"}, "spec": spec}


@pytest.mark.parametrize(
    ("held", "age", "move"),
    [
        (None, 0, Move.CREATE),
        (lease("me"), 100, Move.RENEW),
        (lease("you"), 14, Move.WAIT),
        (lease("you"), 15, Move.TAKE),
        (lease(""), 0, Move.TAKE),
    ],
)
def test_moves(held: Obj | None, age: float, move: Move) -> None:
    assert judge(held, "me", age) is move


def test_a_change_of_holder_is_a_transition_and_a_renewal_is_none() -> None:
    taken = renewed(lease("you"), "me", 15, T0)["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("me", 4)
    assert taken["acquireTime"] == taken["renewTime"] == "2026-01-01T00:00:00.000000Z"
    again = renewed({"metadata": {}, "spec": taken}, "me", 15, T0 + timedelta(seconds=2))["spec"]
    assert (again["leaseTransitions"], again["acquireTime"]) == (4, taken["acquireTime"])
    assert again["renewTime"] == "2026-01-01T00:00:02.000000Z"
    first = renewed({"metadata": {}}, "me", 15, T0)["spec"]
    assert first["leaseTransitions"] == 0


class Leases:
    """One lease, written under its resourceVersion."""

    def __init__(self) -> None:
        self.lease: Obj | None = None
        self.version = 0
        self.deaf = asyncio.Event()
        self.silent = False

    async def get(self, kind: Any, name: str, namespace: str) -> Obj:
        if self.lease is None:
            raise errors.not_found("leases", name)
        return self.lease

    async def create(self, kind: Any, lease: Obj) -> Obj:
        return await self._store(lease)

    async def update(self, kind: Any, lease: Obj) -> Obj:
        if lease["metadata"]["resourceVersion"] != str(self.version):
            raise errors.Conflict("the object has been modified")
        return await self._store(lease)

    async def _store(self, lease: Obj) -> Obj:
        self.version += 1
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        if self.silent:
            self.deaf.set()
            await asyncio.Event().wait()
        return self.lease


def test_a_lease_is_given_back_also_when_a_renewal_was_cut_short() -> None:
    async def scenario() -> Obj | None:
        leases = Leases()
        election = Election(cast(Client, leases), "l", ElectionSettings(identity="me", retry_period=0.001))

        async def work() -> None:
            await asyncio.Event().wait()

        leading = asyncio.ensure_future(election.lead(work))
        while not election.leading:
            await asyncio.sleep(0)
        leases.silent = True
        # The renewal is written, its answer never comes.
        await leases.deaf.wait()
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        leases.silent = False
        await election.release()
        return leases.lease

    held = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert held is not None
    assert held["spec"]["holderIdentity"] == ""
