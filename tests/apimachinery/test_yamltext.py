import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import manifests, yamltext

# What a reader of YAML 1.1, of 1.2 or of Kubernetes takes for a number, a time, a boolean or nothing.
AMBIGUOUS = (
    "y", "N", "yes", "No", "on", "OFF", "true", "False", "null", "Null", "~", "", "1", "-1", "1e3", "0x1F",
    "0o17", "1_000",
    "12:30:45", "2024-01-01", "2024-01-01T00:00:00Z", ".5", ".inf", "-.INF", ".nan", "=", "<<", "+1", "1.36.2",
)  # fmt: skip


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_looks_like_something_else_is_quoted(text):
    written = yamltext.dumps({"k": text}).decode().strip().removeprefix("k: ")
    assert written[0] in "\"'" and manifests.load_value(f"k: {written}") == {"k": text}


def test_several_lines_are_a_block_and_long_ones_are_not_folded():
    assert yamltext.dumps({"a": "x: 1\ny\n"}) == b"a: |\n  x: 1\n  y\n"
    long = "word " * 100 + "end"
    assert yamltext.dumps({"a": long}).decode() == f"a: {long}\n"


def test_lists_are_not_indented_and_keys_are_in_order():
    assert yamltext.dumps({"b": [{"c": 1, "a": None}], "a": {}, "c": []}) == b"a: {}\nb:\n- a: null\n  c: 1\nc: []\n"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_is_read_back(value):
    assert yaml.safe_load(yamltext.dumps({"v": value})) == {"v": value}
