import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import jsontext

REFUSED = [
    (b"", "unexpected end of JSON input"),
    (b"{", "unexpected end of JSON input"),
    (b'{"a":}', "invalid character '}' looking for beginning of value"),
    (b"not json", "invalid character 'o' in literal null (expecting 'u')"),
    (b"{} trailing", "invalid character 't' after top-level value"),
    (b"\xff\xfe{", "invalid character 'ÿ' looking for beginning of value"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 2}', "invalid character '2' after object key:value pair"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b'"a\nb"', "invalid character '\\n' in string literal"),
    (b'"\\q"', "invalid character 'q' in string escape code"),
    (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
    (b"01", "invalid character '1' after top-level value"),
    (b"-x", "invalid character 'x' in numeric literal"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1ex", "invalid character 'x' in exponent of numeric literal"),
    (b"'a'", "invalid character '\\'' looking for beginning of value"),
    (b"NaN", "invalid character 'N' looking for beginning of value"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_refused(body: bytes, message: str) -> None:
    with pytest.raises(jsontext.JsonError) as raised:
        jsontext.loads(body)
    assert str(raised.value) == message


def test_forgiven() -> None:
    assert jsontext.loads(b'{"a":"\xff"}') == {"a": "\ufffd"}
    assert jsontext.loads(b'{"a":"\\ud800x"}') == {"a": "\ufffdx"}


def test_depth_is_bounded() -> None:
    assert jsontext.loads(b"[" * 200 + b"]" * 200)
    assert len(jsontext.loads(b"[" + b"{}," * 5000 + b"{}]")) == 5001
    for depth in (300, 2000, 20000):
        with pytest.raises(jsontext.JsonError, match="exceeded max depth"):
            jsontext.loads(b"[" * depth + b"]" * depth)


def test_types() -> None:
    named: dict[str, Any] = {"null": None, "bool": True, "string": "", "array": [], "object": {}}
    assert {jsontext.type_of(value): value for value in named.values()} == named
    assert jsontext.type_of(1) == jsontext.type_of(1.5) == "number"


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values, st.integers(0, 40))
def test_cut_texts_never_pass_silently(value: Any, cut: int) -> None:
    text = json.dumps(value)
    assert jsontext.loads(text.encode()) == value
    part = text[:cut]
    try:
        expected = json.loads(part)
    except ValueError:
        with pytest.raises(jsontext.JsonError):
            jsontext.loads(part.encode())
    else:
        assert jsontext.loads(part.encode()) == expected


@given(st.binary(max_size=12))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    try:
        jsontext.loads(body)
    except jsontext.JsonError as error:
        assert str(error)
