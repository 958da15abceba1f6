"""From kubectl's client-side apply to server-side apply: what its annotation says is kubectl's own."""

from __future__ import annotations

from functools import reduce
from typing import Any

import orjson

from apimachinery.apply.births import bare
from apimachinery.apply.compare import compare
from apimachinery.apply.fieldset import Fields, difference
from apimachinery.apply.typed import field_set, problems
from apimachinery.schema import Node

__all__ = ["KUBECTL", "LAST_APPLIED", "allowed_fields", "refresh"]

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Upstream gives the annotation up rather than exceed what annotations may hold together.
MAX_BYTES = 256 * 1024


def allowed_fields(live: dict[str, Any], node: Node) -> Fields:
    """The fields that the last client-side apply set and nobody changed since: conflicts over them are with oneself."""
    text = _annotations(live).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(applied, dict) or problems(node, applied) or problems(node, live):
        return {}
    if applied.get("apiVersion") != live.get("apiVersion"):
        return {}
    since = compare(node, applied, live)
    return reduce(difference, (since.modified, since.added, since.removed), field_set(node, applied))


def refresh(obj: dict[str, Any], applied: dict[str, Any]) -> None:
    """Bring an existing annotation up to date with what kubectl now applies; changes `obj`."""
    annotations = _annotations(obj)
    if LAST_APPLIED not in annotations:
        return
    plain = orjson.loads(orjson.dumps(bare(applied)))
    _annotations(plain).pop(LAST_APPLIED, None)
    text = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if len(text.encode()) <= MAX_BYTES:
        annotations[LAST_APPLIED] = text


def _annotations(obj: dict[str, Any]) -> dict[str, Any]:
    found = (obj.get("metadata") or {}).get("annotations")
    return found if isinstance(found, dict) else {}
