"""ControllerRevisions' data as upstream's loops write it: its bytes are what they, kubectl and tests compare. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.jsontext import spelled_as_go
from apimachinery.objects import Obj
from controlplane.controllers.context import ALPHABET

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def data(template: Obj) -> Obj:
    """The patch that puts a template back in place, its members in the order of Go's encoder: by name."""
    patch = {"spec": {"template": {**template, "$patch": "replace"}}}
    ordered: Obj = orjson.loads(orjson.dumps(patch, option=orjson.OPT_SORT_KEYS))
    return ordered


def raw(data: Any) -> bytes:
    """The bytes that a client of the API finds as `data.raw`."""
    return spelled_as_go(orjson.dumps(data))


def revision_hash(raw: bytes, probe: int | None) -> str:
    """The hash in a StatefulSet's revision names and labels: FNV-1 of the bytes and, in decimals, of the number of
    collisions so far, spelled without vowels.
    """
    value = _FNV_OFFSET
    for byte in raw + (b"" if probe is None else str(probe).encode()):
        value = (value * _FNV_PRIME & 0xFFFFFFFF) ^ byte
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))
