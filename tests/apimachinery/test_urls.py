"""What a query says, as upstream's language reads it."""

import pytest

from apimachinery import urls


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", {}),
        ("&&a=1&a=&b", {"a": ["1", ""], "b": [""]}),
        ("a=b=c&d%3D=%26+", {"a": ["b=c"], "d=": ["& "]}),
        ("a=1;b=2&c=3", {"c": ["3"]}),
        ("a=%zz&b%=1&c=%4&d=%41", {"d": ["A"]}),
    ],
)
def test_what_cannot_be_read_is_passed_over(query: str, wanted: dict[str, list[str]]) -> None:
    assert urls.parameters(query) == wanted
