from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery import errors, protobuf
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver import codec, unstructured
from controlplane.apiserver.formats.media import JSON, PROTOBUF


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "expected prefix"),
        (protobuf.encode_raw("v1", "ConfigMap", b"\x0a\x05ab"), "unexpected EOF"),
        (protobuf.encode_raw("", "ConfigMap", b""), 'no kind "ConfigMap" is registered'),
    ],
)
def test_bytes_that_are_no_message_are_a_bad_request(body: bytes, why: str) -> None:
    with pytest.raises(errors.BadRequest, match=why):
        codec._parse(PROTOBUF, body, "ConfigMap")


def test_a_message_of_another_type_is_told_like_any_other() -> None:
    sent = codec._parse(PROTOBUF, protobuf.encode_raw("v1", "Nope", b""), "ConfigMap", "v1")
    assert sent == codec._parse(JSON, b'{"apiVersion":"v1","kind":"Nope"}', "ConfigMap", "v1")


def test_a_type_is_told_as_upstream_quotes_it() -> None:
    nobody: Any = SimpleNamespace(find=lambda version, kind: None)
    told = codec._no_conversion('v"1', "C\tm", CONFIG_MAP, nobody)
    assert told.startswith(r'no kind "C\tm" is registered for version "v\"1" in scheme')


def test_a_message_need_not_say_what_is_expected() -> None:
    (obj, _) = codec._parse(PROTOBUF, protobuf.encode_raw("", "", b"\x12\x06\x0a\x01k\x12\x01v"), "ConfigMap", "v1")
    assert obj["kind"] == "ConfigMap" and obj["data"] == {"k": "v"}


def test_a_refusal_for_many_long_names_is_short() -> None:
    told = codec._strict([f'unknown field "{index}{"x" * 40_000}"' for index in range(100)])
    assert len(told) < 200_000 and told.endswith(", and 98 more")
    assert len(codec._strict([f'unknown field "{"x" * 3_000_000}"'])) < 200_000
    assert len(unstructured.no_kind(b"x" * 3_000_000)) < 200_000
    assert codec._strict(["a", "b"]) == "strict decoding error: a, b"
