"""JSON patch (RFC 6902), with the leniencies of upstream's implementation.

They are: a missing `value` is null; replacing or copying a missing member works; testing a missing member
against null succeeds; negative list indices count from the end (of the grown list, when adding); whatever
stands before the first "/" of a path is ignored; 1 and 1.0 differ.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors, jsontext
from apimachinery.objects import same

__all__ = ["Untrue", "json_patch"]

# Upstream's limit on what the copies of one patch add up to, as JSON.
MAX_COPIED = 3 * 1024 * 1024
# Items of lists that insertions and removals may move, all in all: some tenths of a second.
MAX_MOVED = 100_000_000

REJECTED = "the server rejected our request due to an error in our request"


class Untrue(errors.Invalid):
    """An operation that tests a value found another one."""


class _Failed(Exception):
    """An operation does not apply."""


class _Unequal(_Failed):
    """A value is not what an operation says it is."""


def json_patch(obj: Any, operations: list[dict[str, Any]]) -> Any:
    """The patched copy of `obj`; raises Invalid (422) when an operation fails, as upstream words it."""
    document = jsontext.copied(obj)
    work = _Work()
    try:
        for operation in operations:
            document = _apply(document, operation, work)
        # What is nested too deeply to be written fails here, not later.
        orjson.dumps(document)
    except _Unequal:
        raise Untrue(REJECTED, details={}) from None
    except (_Failed, orjson.JSONEncodeError):
        raise errors.Invalid(REJECTED, details={}) from None
    return document


class _Work:
    """What a patch may do in all: a small one must not make a large object, or work for long."""

    def __init__(self) -> None:
        self._copied = 0
        self._moved = 0

    def copy(self, value: Any) -> Any:
        """A private copy. Raises _Failed when the copies of the patch get too large."""
        raw = orjson.dumps(value)
        self._copied += len(raw)
        if self._copied > MAX_COPIED:
            raise _Failed
        return jsontext.loads(raw)

    def move(self, container: Any) -> None:
        """The items of a list are moved, at worst all of them."""
        self._moved += len(container) if isinstance(container, list) else 0
        if self._moved > MAX_MOVED:
            raise _Failed


def _apply(document: Any, operation: dict[str, Any], work: _Work) -> Any:
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise _Failed
    if path == "" and name in ("replace", "test"):
        return _root(document, name, operation)
    parent, key = _find(document, path)
    if name in ("add", "remove") and key != "-":
        work.move(parent)
    if name == "add":
        _add(parent, key, _fresh(operation.get("value")))
    elif name == "remove":
        _take(parent, key)
    elif name == "replace":
        _get(parent, key)
        _put(parent, key, _fresh(operation.get("value")))
    elif name in ("move", "copy"):
        source, source_key = _find(document, operation.get("from"))
        value = _take(source, source_key) if name == "move" else work.copy(_get(source, source_key))
        parent, key = _find(document, path)
        work.move(source)
        work.move(parent)
        _add(parent, key, value)
    elif name == "test":
        if "value" not in operation or not same(_get(parent, key), operation["value"]):
            raise _Unequal
    else:
        raise _Failed
    return document


def _root(document: Any, name: str, operation: dict[str, Any]) -> Any:
    if name == "replace":
        # A document is an object or a list; what the latter is refused for is for its reader to say.
        if not isinstance(operation.get("value"), dict | list):
            raise _Failed
        return _fresh(operation["value"])
    if not same(document, operation.get("value")):
        raise _Unequal
    return document


def _fresh(value: Any) -> Any:
    return jsontext.copied(value) if isinstance(value, dict | list) else value


def _find(document: Any, path: Any) -> tuple[Any, str]:
    """The container that a path's last step is in, and that step."""
    if not isinstance(path, str) or "/" not in path:
        raise _Failed
    *steps, last = (part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
    for step in steps:
        document = _get(document, step)
    if not isinstance(document, dict | list):
        raise _Failed
    return document, last


def _get(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    if isinstance(container, list):
        return container[_index(key, len(container))]
    raise _Failed


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    else:
        container[_index(key, len(container))] = value


def _add(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_index(key, len(container), inserting=True), value)


def _take(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        if key not in container:
            raise _Failed
        return container.pop(key)
    return container.pop(_index(key, len(container)))


def _index(key: str, length: int, inserting: bool = False) -> int:
    digits = key[1:] if key[:1] in ("-", "+") else key
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise _Failed
    index, places = int(key), length + 1 if inserting else length
    if index < -places or index >= places:
        raise _Failed
    return index + places if index < 0 else index
