"""Conditions of statuses, where upstream looks at them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import any_form, enum, form, hook, longest, required, unique

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?\Z")
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    "'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
    "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)


def _reason(text: str) -> tuple[str, ...]:
    return () if _REASON.match(text) else (_REASON_TEXT,)


def _generation(condition: Obj, at: Place) -> Iterator[FieldError]:
    seen = condition["observedGeneration"] or 0
    if seen < 0:
        yield errors.invalid(at.to("observedGeneration"), seen, "must be greater than or equal to zero")


RULES: dict[str, Row] = {
    "meta.v1.Condition": (
        unique("type", empty=True),
        any_form("type", formats.qualified_name),
        enum("status", ("False", "True", "Unknown"), "refuse"),
        hook(_generation, "observedGeneration"),
        required("lastTransitionTime", "reason"),
        form("reason", _reason),
        longest("reason", 1024),
        longest("message", 32 * 1024),
    ),
}
