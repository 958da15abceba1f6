"""Messages of protobuf's own making, for the other side of a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_NUMBER, _TEXT, _BOOL, _MESSAGE = 5, 9, 8, 11


def messages(shapes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Classes by name. Shapes are fields in order: a text, `*` repeated, `:X` a message, `#` a bool, `%` a number,
    `{X}` a map of texts to messages, `{}` to texts.
    """
    file = descriptor_pb2.FileDescriptorProto(name="wht.proto", package="wht", syntax="proto3")
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for number, shape in enumerate(fields, 1):
            kind, _, called = shape.rpartition(" ")
            field = message.field.add(number=number, name=called.lstrip("*#%"), label=3 if shape[0] in "*{" else 1)
            wire: Any = _MESSAGE if kind else {"#": _BOOL, "%": _NUMBER}.get(shape.lstrip("*")[0], _TEXT)
            field.type = wire
            if kind.startswith("{"):
                entry = message.nested_type.add(name=f"{called.capitalize()}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=9)
                value = entry.field.add(name="value", number=2, label=1, type=9)
                if kind != "{}":
                    wire = _MESSAGE
                    value.type, value.type_name = wire, f".wht.{kind[1:-1]}"
                field.type_name = f".wht.{name}.{called.capitalize()}Entry"
            elif kind:
                field.type_name = f".wht.{kind.lstrip('*:')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"wht.{name}")) for name in shapes}
