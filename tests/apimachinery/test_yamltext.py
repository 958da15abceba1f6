import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import manifests, yamltext

# What Kubernetes' reader takes for a number, a time, a boolean or nothing, and what looks like it and is a string.
AMBIGUOUS = (
    "y", "N", "yes", "No", "on", "OFF", "true", "False", "null", "Null", "~", "", "1", "-1", "1e3", "0x1F",
    "0o17", "017", "08", "1_000", "+1.", "12:30:45", "2024-01-01", "2024-1-1", "2024-01-01T00:00:00Z",
    "2024-01-01 1:2:3.5", ".5", ".inf", "-.INF", ".nan", "+1", "18446744073709551616", "0b11",
)  # fmt: skip
PLAIN = (
    "1.36.2", "1e2feb89-414c-443c-9027-c4d1c386bbc4", "<<", "nULL", "yEs", "10Gi", "0x", "2024-13-01", "24-1-1",
    "a-1", ".", "..", "+", "1e999", "10.0.0.0/8", "100m", "5%", "2024-01-01T00:00", "=", ".inF", "12:60",
)  # fmt: skip


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_looks_like_something_else_is_quoted(text):
    written = yamltext.dumps({"k": text}).decode().strip().removeprefix("k: ")
    assert written[0] in "\"'" and manifests.load_value(f"k: {written}") == {"k": text}


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_taken_for_a_string_is_plain(text):
    assert yamltext.dumps({"k": text}).decode() == f"k: {text}\n"


def test_keys_are_in_the_order_of_their_numbers_and_letters_come_last():
    keys = ["1", "01", "2", "10", "_", "-", "a10", "a2", "a02", "A", "ab", "a", "a-b", "a.b", "a100b", "a99b"]
    told = [line.split(":")[0].strip("\"'") for line in yamltext.dumps(dict.fromkeys(keys, 1)).decode().splitlines()]
    assert told == [
        "-", "_", "1", "01", "2", "10", "A", "a", "a-b", "a.b", "a2", "a02", "a10", "a99b", "a100b", "ab",
    ]  # fmt: skip


def test_keys_may_be_numbers_of_any_length():
    keys = ["2" + "0" * 5000, "1" + "0" * 5000, "3"]
    assert list(manifests.load_value(yamltext.dumps(dict.fromkeys(keys, 1)).decode())) == [keys[2], keys[1], keys[0]]


def test_numbers_are_spelled_as_go_spells_them():
    numbers = {3.0: "3", -2.5: "-2.5", 123456.7: "123456.7", 1e6: "1e+06", 1234567.5: "1.2345675e+06", 1e-5: "1e-05"}
    numbers |= {1e20: "1e+20", 0.0001: "0.0001", 1e300: "1e+300", 12345678: "12345678"}
    for number, text in numbers.items():
        assert yamltext.dumps([number]).decode() == f"- {text}\n"


def test_several_lines_are_a_block_and_long_ones_are_folded():
    assert yamltext.dumps({"a": "x: 1\ny\n"}) == b"a: |\n  x: 1\n  y\n"
    assert yamltext.dumps({"a": "\n b"}) == b"a: |2-\n\n   b\n"
    told = 'This FlowSchema references the PriorityLevelConfiguration object named "p" but there is no such object'
    folded = told.replace(" but", "\n  but")
    assert yamltext.dumps({"message": told}).decode() == f"message: {folded}\n"
    assert yamltext.dumps({"a": "x" * 200}).decode() == f"a: {'x' * 200}\n"


def test_lists_are_not_indented_and_keys_are_in_order():
    assert yamltext.dumps({"b": [{"c": 1, "a": None}], "a": {}, "c": []}) == b"a: {}\nb:\n- a: null\n  c: 1\nc: []\n"


# A merge key is one wherever it stands, as in Kubernetes' own texts.
keys = st.text(max_size=8).filter("<<".__ne__)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_is_read_back(value):
    assert manifests.load_value(yamltext.dumps({"v": value}).decode()) == {"v": value}
