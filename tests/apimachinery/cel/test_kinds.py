"""Values that know of the schema they are of."""

from __future__ import annotations

from apimachinery.cel.values.kinds import PartMap, SetList, joined


def _uncounted(_steps: int) -> None:
    return None


def test_sets_are_added_by_what_their_items_are() -> None:
    items = [1, "1", {"a": [1]}, PartMap({"a": 1}, {"b": 1}), [1]]
    more = [True, 1, {"a": [True]}, {"a": [1]}, PartMap({"a": 1}, {"b": 2}), PartMap({"a": 1}, {"b": 1}), [1], [1], [2]]
    assert joined(_uncounted, SetList(items), more) == [*items, True, {"a": [True]}, PartMap({"a": 1}, {"b": 2}), [2]]


def test_adding_large_sets_takes_one_pass() -> None:
    many = 100_000
    assert joined(_uncounted, SetList(range(many)), [*range(many // 2, 2 * many)]) == list(range(2 * many))
