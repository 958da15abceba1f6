"""What a list or watch asks for, and the pages of a list: resourceVersion rules, limits and continue
tokens.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from apimachinery import errors
from apimachinery.errors import FieldError
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.request import Request
from controlplane.apiserver.router import is_true

_GONE_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
    "list."
)
_MATCHES = ("Exact", "NotOlderThan")
_INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)


@dataclass(frozen=True)
class ListOptions:
    """revision None: not given. match "" | Exact | NotOlderThan."""

    revision: int | None
    match: str
    limit: int
    token: str
    timeout: int
    bookmarks: bool
    initial_events: bool | None


def parse(request: Request, watch: bool) -> ListOptions:
    """Raises BadRequest, Invalid."""
    revision_text, match = request.param("resourceVersion"), request.param("resourceVersionMatch")
    initial = is_true(request.query, "sendInitialEvents") if "sendInitialEvents" in request.query else None
    limit, timeout = _integer(request, "limit"), _integer(request, "timeoutSeconds")
    token = request.param("continue")
    problems = _problems(revision_text, match, initial, watch, is_true(request.query, "allowWatchBookmarks"))
    if problems:
        raise errors.invalid_object("ListOptions", "", problems, "meta.k8s.io")
    return ListOptions(
        revision=revision(revision_text) if revision_text else None,
        match=match,
        limit=limit,
        token=token,
        timeout=timeout,
        bookmarks=is_true(request.query, "allowWatchBookmarks"),
        initial_events=initial,
    )


def _integer(request: Request, key: str) -> int:
    text = request.param(key)
    if not text:
        return 0
    if not _INTEGER.match(text):
        raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def revision(text: str) -> int:
    """A resourceVersion parameter. Raises BadRequest."""
    why = ""
    if not text.isascii() or not text.isdigit():
        why = "invalid syntax"
    elif int(text) >= 1 << 64:
        why = "value out of range"
    if why:
        raise errors.BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": {why}'
        )
    return int(text)


def _problems(given: str, match: str, initial: bool | None, watch: bool, bookmarks: bool) -> list[FieldError]:
    found: list[FieldError] = []
    field = "resourceVersionMatch"
    if watch and match and initial is None:
        return [errors.field_forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided")]
    if initial is not None and not watch:
        return [errors.field_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if initial is not None:
        if match != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            found.append(errors.field_forbidden(field, text))
        if initial and not bookmarks:
            return found
        return found
    if not match:
        return found
    if not given:
        found.append(errors.field_forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if match not in _MATCHES:
        found.append(errors.not_supported(field, match, (*_MATCHES, "")))
    elif match == "Exact" and given == "0":
        found.append(errors.field_forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    return found


# --- continue tokens ---


@dataclass(frozen=True)
class Continue:
    """Where a list goes on: revision -1 means at whatever is current."""

    revision: int
    start: str


def encode_token(at: int, last: Entry, namespace: str) -> str:
    """The token of the page after last; keys are relative to the listed scope, as upstream's."""
    start = (last.name if namespace or not last.namespace else f"{last.namespace}/{last.name}") + "\0"
    body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": at, "start": start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_token(token: str) -> Continue:
    """Raises BadRequest."""
    try:
        padded = token + "=" * (-len(token) % 4)
        value = orjson.loads(base64.urlsafe_b64decode(padded.encode()))
        version, at, start = value["v"], value.get("rv", 0), value["start"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.BadRequest(f"continue key is not valid: {error}") from error
    if version != "meta.k8s.io/v1" or not isinstance(at, int) or not isinstance(start, str):
        raise errors.BadRequest("continue key is not valid: incorrect encoded object version")
    if at == 0:
        raise errors.BadRequest(
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        )
    return Continue(at, start)


def expired_token(token: Continue) -> errors.ApiError:
    """410 with a token for an inconsistent continuation."""
    body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": -1, "start": token.start})
    error = errors.Expired(_GONE_TOKEN)
    error.continue_token = base64.urlsafe_b64encode(body).rstrip(b"=").decode()  # type: ignore[attr-defined]
    return error


def rest(entries: Sequence[Entry], start: str, namespace: str) -> Sequence[Entry]:
    """The entries from a token's start on."""
    for index, entry in enumerate(entries):
        key = entry.name if namespace or not entry.namespace else f"{entry.namespace}/{entry.name}"
        if key >= start:
            return entries[index:]
    return ()
