"""The answers that upstream gives most often, in its words (apimachinery `api/errors`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apimachinery.errors.field_errors import FieldError
from apimachinery.errors.shown import shortened
from apimachinery.errors.status import AlreadyExists, Cause, Conflict, Forbidden, Invalid, NotFound

# An answer must not be many times its request: after so many characters no further problem is told.
_LONGEST_LIST = 65536


def _details(group: str, kind: str, name: str, causes: Sequence[Cause] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
    if causes:
        details["causes"] = [cause.to_dict() for cause in causes]
    return {key: value for key, value in details.items() if value}


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, name: str, group: str = "") -> NotFound:
    """`pods "x" not found`; resource is the plural."""
    return NotFound(f'{_qualified(resource, group)} "{name}" not found', details=_details(group, resource, name))


def already_exists(resource: str, name: str, group: str = "") -> AlreadyExists:
    """`pods "x" already exists`"""
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return AlreadyExists(message, details=_details(group, resource, name))


def conflict(resource: str, name: str, why: str, group: str = "") -> Conflict:
    """`Operation cannot be fulfilled on pods "x": <why>`"""
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return Conflict(message, details=_details(group, resource, name))


# What optimistic concurrency says when the caller's resourceVersion is behind.
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(resource: str, name: str, why: str, group: str = "") -> Forbidden:
    """`pods "x" is forbidden: <why>` (without a name: `pods is forbidden: <why>`)."""
    quoted = f' "{name}"' if name else ""
    message = f"{_qualified(resource, group)}{quoted} is forbidden: {why}"
    return Forbidden(message, details=_details(group, resource, name))


def invalid_object(kind: str, name: str, problems: Iterable[FieldError], group: str = "") -> Invalid:
    """`Pod "x" is invalid: spec.a: Required value` or, for several, `…: [a, b]`."""
    problems, more = _told(list(problems))
    # The message says each thing once, the causes as often as it was found.
    texts = list(dict.fromkeys(str(problem) for problem in problems))
    texts += [f"and {more} more"] if more else []
    body = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{_qualified(kind, group)} "{name}" is invalid: {body}'
    return Invalid(message, details=_details(group, kind, name, [p.cause() for p in problems]))


def _told(problems: list[FieldError]) -> tuple[list[FieldError], int]:
    """The problems that a message has room for, and how many more there are; always the first."""
    told: list[FieldError] = []
    room = _LONGEST_LIST
    for problem in problems:
        text = shortened(problem.text)
        told.append(FieldError(problem.reason, shortened(problem.field), text) if text != problem.text else problem)
        room -= len(text) + len(problem.field)
        if room < 0:
            break
    return told, len(problems) - len(told)
