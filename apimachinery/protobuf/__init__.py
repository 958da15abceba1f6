"""The protobuf form of API objects: `k8s\\0`, an envelope that names the kind, and the kind's own message.

Owns turning such bytes into the same dicts that JSON gives, and back. Table driven: what a message holds comes from
`data.wire_fields`. Must never know a kind by name and never default or validate; bytes that are no message raise
ProtobufError.

Reading order: `varint` (numbers on the wire), `special` (types whose JSON is not a plain object),
`decoding`, `encoding`, `envelope`.
"""

from apimachinery.protobuf.envelope import MAGIC, decode, encode, encode_item, encode_list, encode_raw, is_protobuf
from apimachinery.protobuf.varint import ProtobufError, UnknownKind

__all__ = [
    "MAGIC",
    "ProtobufError",
    "UnknownKind",
    "decode",
    "encode",
    "encode_item",
    "encode_list",
    "encode_raw",
    "is_protobuf",
]
