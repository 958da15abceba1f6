"""ConfigMaps and Secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from apimachinery import errors, jsontext
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import NO_PATH, config_key, each
from controlplane.apiserver.rules.words import changed, hook, immutable

_LIMIT = 1 << 20
_REDACTED = "<secret contents redacted>"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"
_ACCOUNT = "kubernetes.io/service-account.name"
# What a Secret of a type must hold.
_NEEDED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _size(encoded: str | None) -> int:
    """The bytes that a base64 text stands for."""
    text = encoded or ""
    return len(text) // 4 * 3 - text[-2:].count("=")


def _config(obj: Obj, at: Place) -> Iterator[FieldError]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key in sorted(data):
        yield from each(f"data[{key}]", key, config_key(key))
        if key in binary:
            yield errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in sorted(binary):
        yield from each(f"binaryData[{key}]", key, config_key(key))
    size = sum(len((text or "").encode()) for text in data.values()) + sum(map(_size, binary.values()))
    if size > _LIMIT:
        yield errors.too_long(NO_PATH, _LIMIT)


def _frozen(obj: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if not before.get("immutable"):
        return
    if not obj.get("immutable"):
        yield errors.field_forbidden("immutable", _WHEN_IMMUTABLE)
    for field in ("data", "binaryData"):
        if (obj.get(field) or {}) != (before.get(field) or {}):
            yield errors.field_forbidden(field, _WHEN_IMMUTABLE)


def _secret(obj: Obj, at: Place) -> Iterator[FieldError]:
    data, kind = obj.get("data") or {}, obj.get("type")
    for key in sorted(data):
        yield from each(f"data[{key}]", key, config_key(key))
    if sum(map(_size, data.values())) > _LIMIT:
        yield errors.too_long("data", _LIMIT)
    if kind == "kubernetes.io/service-account-token":
        if not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
            yield errors.required(f"metadata.annotations[{_ACCOUNT}]")
    elif kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield errors.required("data[username]")
        yield errors.required("data[password]")
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        yield errors.required("data[ssh-privatekey]")
    for key in _NEEDED.get(str(kind), ()):
        if key not in data:
            yield errors.required(f"data[{key}]")
        elif key.startswith(".docker"):
            yield from _json(f"data[{key}]", data[key])


def _json(path: str, text: str) -> Iterator[FieldError]:
    try:
        found = jsontext.loads(base64.b64decode(text))
    except jsontext.JsonError as error:
        yield errors.invalid(path, _REDACTED, str(error))
        return
    if found is not None and not isinstance(found, dict):
        told = f"json: cannot unmarshal {jsontext.type_of(found)} into Go value of type map[string]interface {{}}"
        yield errors.invalid(path, _REDACTED, told)


RULES: dict[str, Row] = {
    "core.v1.ConfigMap": (changed(_frozen), hook(_config)),
    "core.v1.Secret": (immutable("type"), changed(_frozen), hook(_secret)),
}
