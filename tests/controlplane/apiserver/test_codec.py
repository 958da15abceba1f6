import pytest

from apimachinery import errors, protobuf
from controlplane.apiserver import codec, unstructured
from controlplane.apiserver.formats.media import PROTOBUF


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "expected prefix"),
        (protobuf.encode_raw("v1", "ConfigMap", b"\x0a\x05ab"), "unexpected EOF"),
        (protobuf.encode_raw("v1", "Nope", b""), 'no kind "Nope" is registered'),
    ],
)
def test_bytes_that_are_no_message_are_a_bad_request(body: bytes, why: str) -> None:
    with pytest.raises(errors.BadRequest, match=why):
        codec._parse(PROTOBUF, body, "ConfigMap")


def test_a_refusal_for_many_long_names_is_short() -> None:
    told = codec._strict([f'unknown field "{index}{"x" * 40_000}"' for index in range(100)])
    assert len(told) < 200_000 and told.endswith(", and 98 more")
    assert len(codec._strict([f'unknown field "{"x" * 3_000_000}"'])) < 200_000
    assert len(unstructured.no_kind(b"x" * 3_000_000)) < 200_000
    assert codec._strict(["a", "b"]) == "strict decoding error: a, b"
