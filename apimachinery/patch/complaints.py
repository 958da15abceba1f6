"""What is odd about a patch's own text, for those who want to be told: keys said twice, fields of no operation."""

from __future__ import annotations

from typing import Any

from apimachinery import jsontext
from apimachinery.schema import duplicate_fields

__all__ = ["of_json_patch", "of_merge"]

FIELDS = ("op", "path", "from", "value")


def of_merge(body: bytes) -> tuple[str, ...]:
    """Repeated keys of a merge patch or strategic merge patch."""
    return tuple(f'duplicate field "{path}"' for path in _repeated(body))


def of_json_patch(body: bytes, operations: list[dict[str, Any]]) -> tuple[str, ...]:
    """Repeated and unknown keys of a JSON patch's operations."""
    found = [f'json patch duplicate field "{path}"' for path in _repeated(body)]
    for index, operation in enumerate(operations):
        found += [f'json patch unknown field "[{index}].{key}"' for key in operation if key not in FIELDS]
    return tuple(found)


def _repeated(body: bytes) -> tuple[str, ...]:
    return duplicate_fields(body) if jsontext.told(body)[1] else ()
