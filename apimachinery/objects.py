"""An API object is a dict. These readers save callers from spelling out paths; none of them copies.

Objects in caches are shared between readers: `copy` one before changing it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

Obj = dict[str, Any]

_EMPTY: Mapping[str, Any] = {}


def loads(data: bytes | str) -> Any:
    """Parse JSON. Raises ValueError (orjson.JSONDecodeError) for anything else."""
    return orjson.loads(data)


def dumps(value: Any) -> bytes:
    """Compact JSON bytes."""
    return orjson.dumps(value)


def copy(obj: Obj) -> Obj:
    """A deep copy by a JSON round trip: eight times cheaper than copy.deepcopy for a Pod."""
    result: Obj = orjson.loads(orjson.dumps(obj))
    return result


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values, which keeps 1, 1.0 and true apart, however deep they lie."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def alike(left: Any, right: Any) -> bool:
    """Whether JSON values that Python takes for equal are so to the API: 1 is 1.0, and true is neither."""
    return not unlike(left, right)


def unlike(left: Any, right: Any) -> set[tuple[int, int]]:
    """Of JSON values that Python takes for equal the parts that are not alike, with all that these lie in: the ids of
    both sides. In one pass, for who goes down to them."""
    found: set[tuple[int, int]] = set()
    if left is right:
        return found
    if not isinstance(left, dict) or dumps(left) != dumps(right):
        _differs(left, right, found)
    return found


def _differs(left: Any, right: Any, found: set[tuple[int, int]]) -> bool:
    if isinstance(left, dict):
        differs = any([_differs(left[key], right[key], found) for key in left])
    elif isinstance(left, list):
        differs = any([_differs(*pair, found) for pair in zip(left, right, strict=True)])
    else:
        differs = isinstance(left, bool) is not isinstance(right, bool)
    if differs:
        found.add((id(left), id(right)))
    return differs


def name(obj: Mapping[str, Any]) -> str:
    """metadata.name, or "" when there is none."""
    return str((obj.get("metadata") or _EMPTY).get("name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """metadata.namespace, or "" for a cluster-scoped object."""
    return str((obj.get("metadata") or _EMPTY).get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    """metadata.uid, or ""."""
    return str((obj.get("metadata") or _EMPTY).get("uid") or "")


def resource_version(obj: Mapping[str, Any]) -> str:
    """metadata.resourceVersion: opaque but for equality (and, on our server, a decimal revision)."""
    return str((obj.get("metadata") or _EMPTY).get("resourceVersion") or "")


def version(obj: Mapping[str, Any]) -> int:
    """The resourceVersion as a number, 0 for none: versions of one kind of object grow, and are decimal (KEP-5504)."""
    return int(resource_version(obj) or 0)


def labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """metadata.labels, never None."""
    return (obj.get("metadata") or _EMPTY).get("labels") or _EMPTY


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """metadata.annotations, never None."""
    return (obj.get("metadata") or _EMPTY).get("annotations") or _EMPTY


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """True once metadata.deletionTimestamp is set."""
    return bool((obj.get("metadata") or _EMPTY).get("deletionTimestamp"))


def condition(obj: Mapping[str, Any], kind: str) -> Obj | None:
    """The condition of that type in status.conditions, as the object holds it; None without one."""
    for entry in (obj.get("status") or _EMPTY).get("conditions") or ():
        if entry.get("type") == kind:
            found: Obj = entry
            return found
    return None


def condition_holds(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether that condition is there and True."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` for a cluster-scoped object."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(key: str) -> tuple[str, str]:
    """The (namespace, name) of a key; namespace is "" for a cluster-scoped object."""
    space, _, last = key.rpartition("/")
    return space, last


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference that has `controller: true`, if any."""
    for reference in (obj.get("metadata") or _EMPTY).get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: Mapping[str, Any], controller: bool = True) -> Obj:
    """A reference to `owner` for a dependant's metadata; blocks the owner's foreground deletion."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def reference(obj: Mapping[str, Any]) -> Obj:
    """An ObjectReference (core/v1), as events carry it."""
    fields = {
        "kind": obj.get("kind"),
        "namespace": namespace(obj),
        "name": name(obj),
        "uid": uid(obj),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": resource_version(obj),
    }
    return {key: value for key, value in fields.items() if value}
