"""API failures as values: each class is one thing a caller can act on, each turns into a ``Status`` and back.

Message texts and reasons follow upstream's apimachinery ``api/errors`` and ``util/validation/field``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Cause:
    """One reason among a Status' ``details.causes``."""

    reason: str
    message: str
    field: str = ""

    def to_dict(self) -> dict[str, str]:
        """The wire form; an empty field name is left out."""
        fields = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in fields.items() if value}


class ApiError(Exception):
    """An answer of the API server that is no success."""

    code: ClassVar[int] = 500
    default_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        code: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.default_reason if reason is None else reason
        self.details = details
        self.status_code = self.code if code is None else code
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """The ``Status`` object (meta/v1) of this error, keys in upstream's order."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        # Upstream's generic answers carry an empty details object, its plain ones none.
        if self.details is not None or details:
            status["details"] = details
        status["code"] = self.status_code
        return status


class BadRequest(ApiError):
    code = 400
    default_reason = "BadRequest"


class Unauthorized(ApiError):
    code = 401
    default_reason = "Unauthorized"


class Forbidden(ApiError):
    code = 403
    default_reason = "Forbidden"


class NotFound(ApiError):
    code = 404
    default_reason = "NotFound"


class MethodNotAllowed(ApiError):
    code = 405
    default_reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    code = 406
    default_reason = "NotAcceptable"


class AlreadyExists(ApiError):
    code = 409
    default_reason = "AlreadyExists"


class Conflict(ApiError):
    code = 409
    default_reason = "Conflict"


class Gone(ApiError):
    code = 410
    default_reason = "Gone"


class Expired(ApiError):
    """The wanted revision is compacted away, or a continue token is too old: list again."""

    code = 410
    default_reason = "Expired"


class RequestTooLarge(ApiError):
    code = 413
    default_reason = "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code = 415
    default_reason = "UnsupportedMediaType"


class Invalid(ApiError):
    code = 422
    default_reason = "Invalid"


class TooManyRequests(ApiError):
    code = 429
    default_reason = "TooManyRequests"


class InternalError(ApiError):
    code = 500
    default_reason = "InternalError"


class ServiceUnavailable(ApiError):
    code = 503
    default_reason = "ServiceUnavailable"


class Timeout(ApiError):
    code = 504
    default_reason = "Timeout"


class Unreachable(Exception):
    """No answer came: refused, reset, TLS failure or a deadline. The request may have been done or not."""


_BY_REASON: dict[str, type[ApiError]] = {
    cls.default_reason: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Gone,
        Expired,
        RequestTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        InternalError,
        ServiceUnavailable,
        Timeout,
    )
}
_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    406: NotAcceptable,
    409: Conflict,
    410: Expired,
    413: RequestTooLarge,
    415: UnsupportedMediaType,
    422: Invalid,
    429: TooManyRequests,
    500: InternalError,
    503: ServiceUnavailable,
    504: Timeout,
}


def from_status(status: dict[str, Any], code: int = 500) -> ApiError:
    """The error a server's ``Status`` means; ``code`` is the HTTP status for bodies that name none."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, ApiError)
    details = status.get("details")
    retry = (details or {}).get("retryAfterSeconds")
    message = str(status.get("message") or reason or f"HTTP status {code}")
    return cls(message, reason=reason, details=details, code=code, retry_after=retry)


def _details(group: str, kind: str, name: str, causes: Sequence[Cause] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
    if causes:
        details["causes"] = [cause.to_dict() for cause in causes]
    return {key: value for key, value in details.items() if value}


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, name: str, group: str = "") -> NotFound:
    """``pods "x" not found``; resource is the plural."""
    return NotFound(f'{_qualified(resource, group)} "{name}" not found', details=_details(group, resource, name))


def already_exists(resource: str, name: str, group: str = "") -> AlreadyExists:
    """``pods "x" already exists``"""
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return AlreadyExists(message, details=_details(group, resource, name))


def conflict(resource: str, name: str, why: str, group: str = "") -> Conflict:
    """``Operation cannot be fulfilled on pods "x": <why>``"""
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return Conflict(message, details=_details(group, resource, name))


# What optimistic concurrency says when the caller's resourceVersion is behind.
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(resource: str, name: str, why: str, group: str = "") -> Forbidden:
    """``pods "x" is forbidden: <why>`` (without a name: ``pods is forbidden: <why>``)."""
    quoted = f' "{name}"' if name else ""
    message = f"{_qualified(resource, group)}{quoted} is forbidden: {why}"
    return Forbidden(message, details=_details(group, resource, name))


@dataclass(frozen=True)
class FieldError:
    """One problem of one field; ``text`` is what follows ``field: `` in upstream's messages."""

    reason: str
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"

    def cause(self) -> Cause:
        """Its entry in ``details.causes``."""
        return Cause(self.reason, self.text, self.field)


def invalid_object(kind: str, name: str, problems: Iterable[FieldError], group: str = "") -> Invalid:
    """``Pod "x" is invalid: spec.a: Required value`` or, for several, ``…: [a, b]``."""
    problems, more = _told(list(problems))
    # The message says each thing once, the causes as often as it was found.
    texts = list(dict.fromkeys(str(problem) for problem in problems))
    texts += [f"and {more} more"] if more else []
    body = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{_qualified(kind, group)} "{name}" is invalid: {body}'
    return Invalid(message, details=_details(group, kind, name, [p.cause() for p in problems]))


# An answer must not be many times its request. Upstream prints values whole, so a value that is cut is one that nobody
# reads: a whole object that a patch made of the wrong type has some thousand characters. A value has so many, a text
# about one (its escapes and a reason) so many, and after so many in all no further problem is told.
_LONGEST_VALUE = 32768
_LONGEST_TEXT = 4 * _LONGEST_VALUE
_LONGEST_LIST = 65536


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


def shortened(text: str, most: int = _LONGEST_TEXT) -> str:
    """A text, or the beginning of one that is too long for a message."""
    return text if len(text) <= most else text[:most] + " ..."


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    text = shortened(text, _LONGEST_VALUE)
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _code(ord(c))) for c in text) + '"'


def _code(point: int) -> str:
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _shown(value: Any) -> str:
    """A bad value as Go prints it: strings quoted, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _with_detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(field: str, detail: str = "") -> FieldError:
    """A field that must be set."""
    return FieldError("FieldValueRequired", field, _with_detail("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """A value of the right type that cannot be."""
    return FieldError("FieldValueInvalid", field, _with_detail(f"Invalid value: {_shown(value)}", detail))


def invalid_whole(field: str, detail: str) -> FieldError:
    """A struct that cannot be, without showing it."""
    return FieldError("FieldValueInvalid", field, _with_detail("Invalid value", detail))


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """A value of the wrong type."""
    return FieldError("FieldValueTypeInvalid", field, _with_detail(f"Invalid value: {_shown(value)}", detail))


def not_supported(field: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """A value outside an enumeration."""
    choices = ", ".join(f'"{choice}"' for choice in allowed)
    text = _with_detail(f"Unsupported value: {_shown(value)}", f"supported values: {choices}" if choices else "")
    return FieldError("FieldValueNotSupported", field, text)


def field_forbidden(field: str, detail: str) -> FieldError:
    """A field that may not be set here."""
    return FieldError("FieldValueForbidden", field, _with_detail("Forbidden", detail))


def duplicate(field: str, value: Any, detail: str = "") -> FieldError:
    """The second of two that must differ."""
    return FieldError("FieldValueDuplicate", field, _with_detail(f"Duplicate value: {_shown(value)}", detail))


def field_not_found(field: str, value: Any, detail: str = "") -> FieldError:
    """A reference inside the object to something that is not there."""
    return FieldError("FieldValueNotFound", field, _with_detail(f"Not found: {_shown(value)}", detail))


def too_long(field: str, limit: int) -> FieldError:
    """A text of more than ``limit`` bytes."""
    unit = "byte" if limit == 1 else "bytes"
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} {unit}")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """A list of more than ``limit`` items."""
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")


def immutable(field: str, value: Any) -> FieldError:
    """A field that may not change after creation."""
    return invalid(field, value, "field is immutable")
