"""What is wrong with single fields, in upstream's words (apimachinery `util/validation/field`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apimachinery.errors.shown import quoted, shown
from apimachinery.errors.status import Cause


@dataclass(frozen=True)
class FieldError:
    """One problem of one field; `text` is what follows `field: ` in upstream's messages."""

    reason: str
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"

    def cause(self) -> Cause:
        """Its entry in `details.causes`."""
        return Cause(self.reason, self.text, self.field)


def _with_detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(field: str, detail: str = "") -> FieldError:
    """A field that must be set."""
    return FieldError("FieldValueRequired", field, _with_detail("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """A value of the right type that cannot be."""
    return FieldError("FieldValueInvalid", field, _with_detail(f"Invalid value: {shown(value)}", detail))


def invalid_whole(field: str, detail: str) -> FieldError:
    """A struct that cannot be, without showing it."""
    return FieldError("FieldValueInvalid", field, _with_detail("Invalid value", detail))


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """A value of the wrong type."""
    return FieldError("FieldValueTypeInvalid", field, _with_detail(f"Invalid value: {shown(value)}", detail))


def not_supported(field: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """A value outside an enumeration."""
    choices = ", ".join(map(quoted, allowed))
    text = _with_detail(f"Unsupported value: {shown(value)}", f"supported values: {choices}" if choices else "")
    return FieldError("FieldValueNotSupported", field, text)


def field_forbidden(field: str, detail: str) -> FieldError:
    """A field that may not be set here."""
    return FieldError("FieldValueForbidden", field, _with_detail("Forbidden", detail))


def duplicate(field: str, value: Any, detail: str = "") -> FieldError:
    """The second of two that must differ."""
    return FieldError("FieldValueDuplicate", field, _with_detail(f"Duplicate value: {shown(value)}", detail))


def field_not_found(field: str, value: Any, detail: str = "") -> FieldError:
    """A reference inside the object to something that is not there."""
    return FieldError("FieldValueNotFound", field, _with_detail(f"Not found: {shown(value)}", detail))


def internal(field: str, detail: str) -> FieldError:
    """A check that could not be made."""
    return FieldError("InternalError", field, f"Internal error: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    """A text of more than `limit` bytes."""
    unit = "byte" if limit == 1 else "bytes"
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} {unit}")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """A list of more than `limit` items."""
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")


def immutable(field: str, value: Any) -> FieldError:
    """A field that may not change after creation."""
    return invalid(field, value, "field is immutable")
