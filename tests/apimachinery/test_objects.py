"""Values of JSON, held against each other."""

from __future__ import annotations

from apimachinery.objects import alike, unlike
from tests.counted import calls


def test_a_truth_is_not_like_the_number_that_it_is_to_python() -> None:
    left, right = {"a": [1, {"b": 1}], "c": 1}, {"a": [1.0, {"b": True}], "c": 1.0}
    assert left == right and not alike(left, right)
    a, b = left["a"], right["a"]
    assert isinstance(a, list) and isinstance(b, list)
    odd = [(left, right), (a, b), (a[1], b[1]), (a[1]["b"], b[1]["b"])]
    assert unlike(left, right) == {(id(one), id(other)) for one, other in odd}
    assert alike({"a": [1, True]}, {"a": [1.0, True]})


def test_a_value_is_like_itself_without_being_looked_through() -> None:
    value = [{"a": number} for number in range(1000)]
    assert calls(lambda: alike(value, value)) < 20
