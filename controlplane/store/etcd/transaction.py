"""Transactions in etcd's words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.model import Delete, Op, Put

_MOD, _EQUAL = rpc.Compare.MOD, rpc.Compare.EQUAL


def parts(ops: Sequence[Op]) -> Iterator[Sequence[Op]]:
    """What can be one transaction: etcd refuses a key twice, so what comes to a key again is one that follows, as
    upstream marks an object and then removes it.
    """
    begin, keys = 0, set[str]()
    for at, op in enumerate(ops):
        if op.key in keys:
            yield ops[begin:at]
            begin, keys = at, set()
        keys.add(op.key)
    yield ops[begin:]


def following(ops: Sequence[Op], written: Mapping[str, int]) -> Sequence[Op]:
    """A part after others; written: the revisions at which these left their keys, 0 for removed. An op that expected
    nothing is meant for just that.
    """
    if not written:
        return ops
    return [replace(op, expect=written.get(op.key)) if op.expect is None else op for op in ops]


def request(
    ops: Sequence[Op], places: Sequence[bytes], values: Sequence[bytes], leases: Sequence[int]
) -> rpc.TxnRequest:
    """All or nothing. The answer says of each key that may have been there when it was written first; where an
    expectation does not hold, each key's revision. values and leases: of each op, b"" and 0 for deletions.
    """
    made = rpc.TxnRequest()
    for op, place, value, lease in zip(ops, places, values, leases, strict=True):
        if op.expect is not None:
            made.compare.add(key=place, target=_MOD, result=_EQUAL, mod_revision=op.expect)
        elif isinstance(op, Delete) and not op.lenient:
            made.compare.add(key=place, target=_MOD, result=rpc.Compare.GREATER)
        if isinstance(op, Put):
            _put(made, place, value, lease)
            if op.expect != 0:
                _ask(made.success.add(), place)
        else:
            made.success.add().delete_range.key = place
        _ask(made.failure.add(), place)
    return made


def created(ops: Sequence[Op], answer: rpc.TxnResponse) -> list[int]:
    """Of each op of a transaction that was taken, when its key was written first; 0 of a deletion."""
    responses, found = iter(answer.responses), list[int]()
    for op in ops:
        next(responses)
        if isinstance(op, Put):
            at = answer.header.revision if op.expect == 0 else next(responses).range.kvs[0].create_revision
            found.append(at)
        else:
            found.append(0)
    return found


def _put(made: rpc.TxnRequest, place: bytes, value: bytes, lease: int = 0) -> None:
    # In place: what is made apart is copied, with its value, once for each message around it.
    put = made.success.add().put
    put.key, put.value, put.lease = place, value, lease


def _ask(made: rpc.RequestOp, place: bytes) -> None:
    """The key's revisions."""
    made.range.key, made.range.keys_only = place, True


def mark(made: rpc.TxnRequest, place: bytes, value: bytes) -> None:
    """Have it leave a value by which it is known when the watch tells of it."""
    _put(made, place, value)


def fence(made: rpc.TxnRequest, place: bytes) -> None:
    """Have it done only while a key stands at a revision, which `stand` says."""
    made.compare.add(key=place, target=_MOD, result=_EQUAL)
    _ask(made.failure.add(), place)


def stand(made: rpc.TxnRequest, revision: int) -> None:
    """The revision of the fence behind which it is sent; 0: it was never moved."""
    made.compare[-1].mod_revision = revision


def is_outside(made: rpc.TxnRequest, answer: rpc.TxnResponse) -> bool:
    """Whether it was refused for where the fence stands."""
    return made.compare[-1].mod_revision != fence_of(answer)


def fence_of(answer: rpc.TxnResponse) -> int:
    """Where the fence stood when a transaction behind it was refused."""
    return _revision(answer.responses[-1])


def _revision(found: rpc.ResponseOp) -> int:
    return found.range.kvs[0].mod_revision if found.range.kvs else 0


def refusal(ops: Sequence[Op], answer: rpc.TxnResponse) -> tuple[Op, int]:
    """The first op whose expectation did not hold, and the revision at which its key stands (0: not there)."""
    # What follows is the fence's.
    for op, found in zip(ops, answer.responses, strict=False):
        current = _revision(found)
        wrong = op.expect != current if op.expect is not None else isinstance(op, Delete) and not current
        if wrong and not (isinstance(op, Delete) and op.lenient):
            return op, current
    return ops[0], 0
