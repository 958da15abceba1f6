import pytest

from apimachinery import errors, protobuf
from controlplane.apiserver import codec


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
        codec._parse(codec.PROTOBUF, body, "ConfigMap")
