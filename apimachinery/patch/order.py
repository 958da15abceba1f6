"""The order of a merged list: what the patch names follows the patch, the rest keeps its place among what it knew.

Upstream's design: "preserve order in strategic merge patch".
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import orjson

from apimachinery.objects import same
from apimachinery.patch.directives import DIRECTIVE, failure, go_text

__all__ = ["check_order", "exactly", "identity", "ordered"]


# Go's sort inserts so many one by one. It takes time in proportion to their square.
_INSERTED = 12


def exactly(value: Any) -> Hashable:
    """A value as what sets and dicts know: equal for those that are the same (objects.same)."""
    if isinstance(value, dict | list):
        return (type(value), orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return (type(value), value)


def identity(item: Any, merge_key: str) -> Any:
    """What tells an item apart: the merge key's value, or the item itself in a list of scalars."""
    if not merge_key:
        return item
    if not isinstance(item, dict):
        failure(f"expected a map[string]interface {{}}, but received a {_go_type(item)}")
    if merge_key not in item:
        failure(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def ordered(merged: list[Any], wanted: list[Any], known: list[Any], merge_key: str) -> list[Any]:
    """`merged` with the items of `wanted` in its order, and the others in the order of `known` among them."""
    rank = _ranks(wanted, merge_key)
    place = _ranks(known, merge_key)
    named: list[tuple[int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        token = exactly(identity(item, merge_key))
        where = rank.get(token)
        if where is None:
            others.append((place.get(token, -1), item))
        else:
            named.append((where, item))
    return _weave(_by_rank(others), _by_rank(named), place, merge_key)


def _by_rank(ranked: list[tuple[int, Any]]) -> list[Any]:
    """The items by rank, equal ones in the order they came in. Upstream's sort says of an item without a rank (-1) that
    it comes before whatever it is compared with, and where such items land follows from the steps of Go's sort, which
    inserts them one by one where they are few. More of them come first.
    """
    if len(ranked) > _INSERTED or all(rank >= 0 for rank, _ in ranked):
        return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]
    done = list(ranked)
    for end in range(1, len(done)):
        at = end
        while at and (min(done[at][0], done[at - 1][0]) < 0 or done[at][0] < done[at - 1][0]):
            done[at - 1], done[at] = done[at], done[at - 1]
            at -= 1
    return [item for _, item in done]


def _weave(left: list[Any], right: list[Any], place: dict[Hashable, int], merge_key: str) -> list[Any]:
    woven: list[Any] = []
    i = j = 0
    while i < len(left) and j < len(right):
        before = place.get(exactly(identity(left[i], merge_key)), -1)
        after = place.get(exactly(identity(right[j], merge_key)), -1)
        if before >= 0 and after >= 0 and before < after:
            woven.append(left[i])
            i += 1
        else:
            woven.append(right[j])
            j += 1
    return woven + left[i:] + right[j:]


def _ranks(items: list[Any], merge_key: str) -> dict[Hashable, int]:
    ranks: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        if merge_key and (not isinstance(item, dict) or merge_key not in item):
            continue
        ranks.setdefault(exactly(item[merge_key] if merge_key else item), index)
    return ranks


def check_order(patch: list[Any], wanted: list[Any], merge_key: str) -> None:
    """Refuse a patch list whose items are not in `wanted`, in its order; items with a directive do not count, and an
    empty order says nothing.
    """
    if not wanted:
        return
    kept = [item for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)] if merge_key else patch
    at = 0
    for item in wanted:
        if at < len(kept) and same(identity(kept[at], merge_key), identity(item, merge_key)):
            at += 1
    if at < len(kept):
        failure(
            f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(wanted)}\n"
        )


def _go_type(value: Any) -> str:
    if isinstance(value, list):
        return "[]interface {}"
    if isinstance(value, dict):
        return "map[string]interface {}"
    named = {str: "string", bool: "bool", int: "int64", float: "float64"}
    return named.get(type(value), "nil")
