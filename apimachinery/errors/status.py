"""API failures as values: each class is one thing a caller can act on, each turns into a `Status` and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Cause:
    """One reason among a Status' `details.causes`."""

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
        """The `Status` object (meta/v1) of this error, keys in upstream's order."""
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
    """The error a server's `Status` means; `code` is the HTTP status for bodies that name none."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, ApiError)
    details = status.get("details")
    retry = (details or {}).get("retryAfterSeconds")
    message = str(status.get("message") or reason or f"HTTP status {code}")
    return cls(message, reason=reason, details=details, code=code, retry_after=retry)
