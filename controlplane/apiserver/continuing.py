"""Continue tokens: where the next page of a list begins, and the rest of a list from there."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import errors, jsontext
from apimachinery.numerals import INT64
from controlplane.apiserver.cache.entry import Entry

_VERSION = "meta.k8s.io/v1"
_FIELDS = {"v": "string", "rv": "int64", "start": "string"}
_GONE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
    "list."
)


@dataclass(frozen=True)
class Continue:
    """Where a list goes on: revision -1 means at whatever is current. start is a key below the listed scope."""

    revision: int
    start: str


def encode(at: int, last: Entry, namespace: str) -> str:
    """The token of the page after last; keys are relative to the listed scope, as upstream's."""
    return _written(at, _key(last, namespace) + "\0")


def decode(token: str) -> Continue:
    """Raises BadRequest."""
    fields = _fields(_json(token))
    version, at, start = fields.get("v", ""), fields.get("rv", 0), fields.get("start", "")
    if version != _VERSION:
        raise _invalid(f": server does not recognize this encoded version {version}")
    if at == 0:
        raise _invalid(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not start:
        raise _invalid(f": encoded start key empty (version {_VERSION})")
    rooted = start if start.startswith("/") else f"/{start}"
    # A key that leads out of the listed scope would show what is not the client's to see.
    if start.startswith("//") or posixpath.normpath(rooted) != rooted:
        raise _invalid(f": {start}")
    return Continue(at, rooted[1:])


def expired(token: Continue) -> errors.ApiError:
    """410 with a token for an inconsistent continuation."""
    error = errors.Expired(_GONE)
    error.continue_token = _written(-1, token.start)  # type: ignore[attr-defined]
    return error


def rest(entries: Sequence[Entry], start: str, namespace: str) -> Sequence[Entry]:
    """The entries from a token's start on."""
    for index, entry in enumerate(entries):
        if _key(entry, namespace) >= start:
            return entries[index:]
    return ()


def _key(entry: Entry, namespace: str) -> str:
    return entry.name if namespace or not entry.namespace else f"{entry.namespace}/{entry.name}"


def _written(at: int, start: str) -> str:
    body = orjson.dumps({"v": _VERSION, "rv": at, "start": start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _json(token: str) -> Any:
    try:
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        # A last character alone is no byte, and is what is wrong.
        end = len(token) - (len(token) % 4 == 1)
        at = next((at for at, c in enumerate(token) if not (c.isascii() and (c.isalnum() or c in "-_"))), end)
        raise _invalid(f": illegal base64 data at input byte {at}") from None
    try:
        return jsontext.loads(body)
    except jsontext.JsonError as error:
        raise _invalid(f": {error}") from None


def _fields(value: Any) -> dict[str, Any]:
    """What a token says, as Go reads it: keys in any case, and null is nothing."""
    if not isinstance(value, dict | None):
        raise _invalid(
            f": json: cannot unmarshal {jsontext.type_of(value)} into Go value of type storage.continueToken"
        )
    found = {}
    for key, given in (value or {}).items():
        name = key.lower()
        wanted = _FIELDS.get(name)
        if wanted is None or given is None:
            continue
        if not _fits(given, wanted):
            shown = jsontext.type_of(given)
            shown += f" {given}" if shown == "number" and wanted == "int64" else ""
            where = f"Go struct field continueToken.{name} of type {wanted}"
            raise _invalid(f": json: cannot unmarshal {shown} into {where}")
        found[name] = given
    return found


def _fits(given: Any, wanted: str) -> bool:
    return isinstance(given, str) if wanted == "string" else type(given) is int and -INT64 <= given < INT64


def _invalid(why: str) -> errors.BadRequest:
    return errors.BadRequest(f"invalid continue token: continue key is not valid{why}")
