"""From a request's bytes to a patch, with upstream's refusals."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, jsontext

__all__ = ["decode_json_patch", "decode_merge_patch", "decode_strategic_merge"]

MAP = "map[string]interface {}"
OPERATIONS = "[]handlers.jsonPatchOp"
# Upstream's limit on the operations of one JSON patch.
MAX_OPERATIONS = 10000


def decode_json_patch(body: bytes) -> list[dict[str, Any]]:
    """The operations; `null` is none of them."""
    operations = _loads(body, "error decoding patch: ")
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise errors.BadRequest(f"error decoding patch: {_mismatch(operations, OPERATIONS)}")
    for operation in operations:
        if not isinstance(operation, dict):
            raise errors.BadRequest(f"error decoding patch: {_mismatch(operation, 'handlers.jsonPatchOp')}")
    if len(operations) > MAX_OPERATIONS:
        raise errors.RequestTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    return operations


def decode_merge_patch(body: bytes) -> dict[str, Any]:
    patch = _loads(body, "error decoding patch: ")
    if patch is None:
        raise errors.BadRequest("Invalid JSON Patch")
    if not isinstance(patch, dict):
        raise errors.BadRequest(f"error decoding patch: {_mismatch(patch, MAP)}")
    return patch


def decode_strategic_merge(body: bytes) -> dict[str, Any]:
    """The patch; `null` is an empty one."""
    patch = _loads(body, "")
    if patch is None:
        return {}
    if not isinstance(patch, dict):
        raise errors.BadRequest(_mismatch(patch, MAP))
    return patch


def _loads(body: bytes, prefix: str) -> Any:
    try:
        return jsontext.loads(body)
    except jsontext.JsonError as error:
        raise errors.BadRequest(f"{prefix}{error}") from None


def _mismatch(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {jsontext.type_of(value)} into Go value of type {wanted}"
