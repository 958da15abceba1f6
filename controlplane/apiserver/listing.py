"""What a list or watch asks for: which objects, resourceVersion rules and limits."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.numerals import INT64, whole
from controlplane.apiserver.cache import select
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.request import Request
from controlplane.apiserver.router import is_true

_MATCHES = ("Exact", "NotOlderThan")


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


@dataclass(frozen=True)
class _Asked:
    """What depends on each other: texts as they were sent."""

    watch: bool
    revision: str
    match: str
    initial: bool | None
    token: str


def parse(request: Request, watch: bool) -> ListOptions:
    """Raises BadRequest, Invalid."""
    revision_text, match = request.param("resourceVersion"), request.param("resourceVersionMatch")
    initial = is_true(request.query, "sendInitialEvents") if "sendInitialEvents" in request.query else None
    limit, timeout = _integer(request, "limit"), _integer(request, "timeoutSeconds")
    token = request.param("continue")
    if watch and initial is None and not match and revision_text in ("", "0"):
        # Who watches from nowhere is sent what is there, and with bookmarks is told when that is all.
        initial, match = True, "NotOlderThan"
    if problems := _problems(_Asked(watch, revision_text, match, initial, token)):
        raise errors.invalid_object("ListOptions", "", problems, "meta.k8s.io")
    return ListOptions(
        revision=revision(revision_text, listed=not watch) if revision_text else None,
        match=match,
        limit=limit,
        token=token,
        timeout=timeout,
        bookmarks=is_true(request.query, "allowWatchBookmarks"),
        initial_events=initial,
    )


async def selection(request: Request) -> Selection:
    """Which objects a request is about, by its path and its selectors. Raises BadRequest and SelectorError."""
    kind = request.served
    labels, fields = request.param("labelSelector"), request.param("fieldSelector")
    return await select.parsed(kind, request.catalog.of(kind).fields, request.space, request.name, labels, fields)


def _integer(request: Request, key: str) -> int:
    return int64(request.param(key)) if key in request.query else 0


def int64(text: str) -> int:
    """A number in a query. Raises BadRequest."""
    number = whole(text)
    if number is not None and -INT64 <= number < INT64:
        return number
    why = "invalid syntax" if number is None else "value out of range"
    raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": {why}')


def revision(text: str, listed: bool = True) -> int:
    """A resourceVersion parameter. Raises BadRequest, and outside of lists a nameless error, as upstream."""
    number = whole(text) if text[:1].isdigit() else None
    if number is None:
        why = "invalid syntax"
    elif number >= 1 << 64:
        why = "value out of range"
    else:
        return number
    shown = errors.quoted(text)
    told = f"resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: {why}"
    raise errors.BadRequest(f"invalid resource version: {told}") if listed else errors.ApiError(told)


def _problems(asked: _Asked) -> list[FieldError]:
    found, field = list[FieldError](), "resourceVersionMatch"
    if asked.watch and asked.initial is not None and asked.match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        found.append(errors.field_forbidden(field, text))
    if asked.match:
        found += _matches(asked, field)
    if asked.initial is not None and not asked.watch:
        found.append(errors.field_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _matches(asked: _Asked, field: str) -> list[FieldError]:
    """What is wrong with asking for a resourceVersionMatch."""
    found, paged = list[FieldError](), f"{field} is forbidden when continue is provided"
    if asked.watch:
        if asked.initial is None:
            text = f"{field} is forbidden for watch unless sendInitialEvents is provided"
            found.append(errors.field_forbidden(field, text))
        if asked.match != "NotOlderThan":
            found.append(errors.not_supported(field, asked.match, ("NotOlderThan",)))
        return [*found, errors.field_forbidden(field, paged)] if asked.token else found
    if not asked.revision:
        found.append(errors.field_forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if asked.token:
        found.append(errors.field_forbidden(field, paged))
    if asked.match not in _MATCHES:
        found.append(errors.not_supported(field, asked.match, (*_MATCHES, "")))
    if asked.match == "Exact" and asked.revision == "0":
        found.append(errors.field_forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    return found
