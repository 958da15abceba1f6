"""Transactions, each done once at most, however often it has to be sent.

What expects a revision can replace it only once. What expects none (a creation, a removal of whatever is there) could
be taken long after it was given up, from where it was stuck on its way: by then somebody may have written and removed
the same key. So it is sent behind a fence, a key whose revision it expects; who does not know whether his was taken
moves the fence, after which it never will be, and looks what the watch has told until then.

A full etcd takes only what puts nothing: neither a fence that moves, nor what a deletion leaves. So deletions are sent
to it without, once, and whether one was taken whose answer is lost is not known.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd import transaction
from controlplane.store.etcd.calls import ATTEMPT, DEADLINE, PAUSE, Calls
from controlplane.store.etcd.doubt import Doubt, Doubts
from controlplane.store.etcd.feed import Told
from controlplane.store.etcd.leases import Leases
from controlplane.store.etcd.places import Places
from controlplane.store.etcd.shared import Shared
from controlplane.store.model import Change, Delete, Full, Mismatch, Op, Put, StoreError, Unavailable


class Reach(Protocol):
    """Waits until everything up to a revision is told. ours: it is known to lie below the prefix."""

    async def __call__(self, revision: int, *, ours: bool = False) -> None: ...


Wrote = Callable[[int, Sequence[Told]], None]
"""Is told what a transaction did."""


class Writing:
    def __init__(self, calls: Calls, places: Places, doubts: Doubts, reach: Reach, wrote: Wrote) -> None:
        self._calls, self._places, self._doubts, self._reach, self._wrote = calls, places, doubts, reach, wrote
        self._leases = Leases(self._granted)
        self._fence = 0
        self._moving = Shared(self._move)
        self._marks = (f"{secrets.token_hex(8)}-{number}".encode() for number in itertools.count())
        self.full = ""
        """Why etcd takes nothing; "" while it does."""

    async def transact(self, ops: Sequence[Op]) -> int:
        """The revision of all of it, once followers were told of it. Raises Mismatch, Full, Unavailable, StoreError."""
        removing = all(isinstance(op, Delete) for op in ops)
        if not (self.full and removing):
            try:
                return await self._done(ops, marked=True)
            except Full:
                if not removing:
                    raise
        return await self._done(ops, marked=False)

    async def _done(self, ops: Sequence[Op], marked: bool) -> int:
        """marked: a deletion leaves a value by which it is known."""
        places = [self._places.of(op.key) for op in ops]
        values = [self._places.outward(op.key, op.value) if isinstance(op, Put) else b"" for op in ops]
        leases = [await self._leases.of(op.ttl) if isinstance(op, Put) and op.ttl else 0 for op in ops]
        request = transaction.request(ops, places, values, leases)
        place, value, expect = places[0], values[0], ops[0].expect or 0
        if isinstance(ops[0], Delete):
            # A deletion leaves nothing that would tell it from somebody else's.
            place, value, expect = self._places.removal, next(self._marks), 0
            if marked:
                transaction.mark(request, place, value)
        fenced = not any(op.expect for op in ops)
        if fenced:
            transaction.fence(request, self._places.fence)
        with self._doubts.about(place, value, expect) as doubt:
            at, answer = await self._committed(request, ops, doubt, fenced, marked)
            # Where one need not exist that is removed, it is not known whether it did.
            if answer is not None and not any(isinstance(op, Delete) and op.lenient for op in ops):
                self._wrote(at, self._told(answer, ops, places, values))
            # Where there is nothing to delete and no mark, that is whoever wrote last.
            await self._reach(at, ours=marked)
        return at

    def _told(
        self, answer: rpc.TxnResponse, ops: Sequence[Op], places: Sequence[bytes], values: Sequence[bytes]
    ) -> Sequence[Told]:
        """What a transaction did that was taken."""
        told: list[Told] = []
        created = transaction.created(ops, answer)
        for op, place, value, first in zip(ops, places, values, created, strict=True):
            change = Change(answer.header.revision, op.key, op.value if isinstance(op, Put) else None, first)
            lies = value if isinstance(op, Put) else None
            told.append((place, lies, change if self._places.tells(place) else None))
        return told

    async def _committed(
        self, request: rpc.TxnRequest, ops: Sequence[Op], doubt: Doubt, fenced: bool, marked: bool
    ) -> tuple[int, rpc.TxnResponse | None]:
        """Its revision, and what etcd answered; None where that is lost, and the watch has told of it."""
        end, unsure = _now() + DEADLINE, False
        while True:
            try:
                if unsure and fenced:
                    await self._reach(await self._moving.result(), ours=True)
                    if doubt.at:
                        return doubt.at, None
                    unsure = False
                if fenced:
                    transaction.stand(request, self._fence)
                answer = await self._calls.members.call("KV/Txn", request, rpc.TxnResponse, ATTEMPT)
            except Unavailable as error:
                unsure = unsure or error.unsure
                if unsure and doubt.at:
                    return doubt.at, None
                if _now() > end or (unsure and not marked):
                    raise Unavailable(f"{error}; {_told(unsure)}", unsure) from error
                await asyncio.sleep(PAUSE)
                continue
            except StoreError as error:
                raise self._failure(error, unsure) from error
            if answer.succeeded:
                return answer.header.revision, answer
            # Whoever looks why finds what it was refused for.
            await self._reach(answer.header.revision)
            if unsure and doubt.at:
                return doubt.at, None
            if fenced and transaction.is_outside(request, answer):
                # Somebody moved it; who is in doubt all the time would be without an answer himself.
                self._fence = transaction.fence_of(answer)
                if _now() < end:
                    continue
                raise Unavailable(f"etcd's fence is moved again and again; {_told(False)}")
            op, current = transaction.refusal(ops, answer)
            raise Mismatch(op.key, current)

    def _failure(self, error: StoreError, unsure: bool) -> StoreError:
        """What is told of an error that asking again does not change; unsure: an attempt before it may be taken."""
        if isinstance(error, Full):
            self.full = str(error)
        elif "lease not found" in str(error):
            self._leases.forget()
            return Unavailable(f"{error}; {_told(unsure)}", unsure)
        return Unavailable(f"{error}; {_told(unsure)}", unsure) if unsure else error

    async def _move(self) -> int:
        put = rpc.RequestOp(put=rpc.PutRequest(key=self._places.fence))
        answer = await self._calls.members.call("KV/Txn", rpc.TxnRequest(success=[put]), rpc.TxnResponse, ATTEMPT)
        self._fence = answer.header.revision
        return self._fence

    async def _granted(self, ttl: int) -> int:
        answer = await self._calls.ask("Lease/LeaseGrant", rpc.LeaseGrantRequest(ttl=ttl), rpc.LeaseGrantResponse)
        return answer.id


def _told(unsure: bool) -> str:
    return "it is not known whether it was written" if unsure else "nothing was written"


def _now() -> float:
    return asyncio.get_running_loop().time()
