"""How a kind's row is put together from checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.errors import FieldError
from controlplane.apiserver.request import Obj

Check = Callable[[Obj], list[FieldError]]
CheckChange = Callable[[Obj, Obj], list[FieldError]]
# Kind.resource -> the Strategy's fields that differ from the generic ones.
Rows = Mapping[str, dict[str, Any]]


def both(check: Check, change: CheckChange) -> CheckChange:
    """A change is validated as a new object is, and then as a change."""
    return lambda new, old: [*check(new), *change(new, old)]


def again(check: Check) -> dict[str, Any]:
    """The same rules for new objects and for changed ones."""
    return {"validate": check, "validate_update": lambda new, old: check(new)}


def then(check: Check, change: CheckChange) -> dict[str, Any]:
    """The rules of a new object, which a changed one passes too, before those of the change."""
    return {"validate": check, "validate_update": both(check, change)}
