"""Strategic merge patch: a merge that knows which lists are keyed, and a small language of directives.

Source: the Kubernetes documentation's "Update API Objects in Place Using kubectl patch" and the design
document "Strategic Merge Patch". Which lists merge, and by which key, comes from the schema.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from apimachinery import jsontext
from apimachinery.patch.directives import (
    DELETE_FROM,
    DIRECTIVE,
    GONE,
    ORDER,
    RETAIN,
    bad_format,
    drop_nulls,
    failure,
    go_string,
    go_text,
    undirected,
)
from apimachinery.patch.order import check_order, exactly, identity, ordered
from apimachinery.schema import Node

__all__ = ["strategic_merge"]

Map = dict[str, Any]


def strategic_merge(obj: Map, patch: Map, node: Node) -> tuple[Map, Map]:
    """`obj` patched, whose type is `node`, in a new object, and what the merge leaves of the patch: refusals show that.
    Neither argument is changed; what the patch does not reach is shared with `obj`.

    Raises BadRequest for malformed directives and ApiError (500, no reason) for patches that cannot be carried out.
    """
    left: Map = jsontext.copied(patch)
    merged = _map(obj, left, node)
    # The object has parts of it.
    return merged, jsontext.copied(left)


def _map(original: Map, patch: Map, node: Node | None) -> Map:
    if DIRECTIVE in patch:
        return _whole(patch)
    original = dict(original)
    _retain(original, patch)
    _reorder(original, patch, node)
    for key, value in patch.items():
        deleting = key.startswith(DELETE_FROM)
        if deleting:
            key = key[len(DELETE_FROM) :]
        if value is None:
            original.pop(key, None)
        elif key not in original or _go_kind(original[key]) != _go_kind(value):
            if not deleting:
                drop_nulls(value)
                _take(original, key, value)
        elif isinstance(value, dict):
            field = _field(node, key)
            replacing = field is not None and "replace" in field.strategies
            original[key] = value if replacing else _map(original[key], value, field)
        elif isinstance(value, list):
            original[key] = _list(original[key], value, _field(node, key), deleting)
        else:
            original[key] = value
    return original


def _take(original: Map, key: str, value: Any) -> None:
    left = undirected(value)
    if left is GONE:
        original.pop(key, None)
    else:
        original[key] = left


def _whole(patch: Map) -> Map:
    directive = patch.pop(DIRECTIVE)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    failure(f"unknown patch type: {go_string(directive)} in map: {go_text(patch | {DIRECTIVE: directive})}")


def _field(node: Node | None, key: str) -> Node | None:
    """The type of a member; below untyped data everything is untyped and lists are replaced."""
    if node is None or node.shape in ("raw", "any"):
        return None
    if node.shape == "map":
        # Upstream looks up how to merge in structs alone.
        failure("merging an object in json but data type is not struct, instead is: map")
    if node.shape == "struct" and key not in node.fields:
        failure(f'unable to find api field in struct {node.struct_name} for the json field "{key}"')
    return node.at(key)


def _retain(original: Map, patch: Map) -> None:
    if RETAIN not in patch:
        return
    kept = patch.pop(RETAIN)
    if not isinstance(kept, list):
        bad_format("retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_FROM, ORDER)) and key not in kept:
            bad_format("retainKeys")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _reorder(original: Map, patch: Map, node: Node | None) -> None:
    """Carry out every $setElementOrder of a map, together with the list of the same name in the patch."""
    for directive in [key for key in patch if key.startswith(ORDER)]:
        wanted, key = patch.pop(directive), directive[len(ORDER) :]
        if not isinstance(wanted, list):
            _not_a_list(wanted)
        field = _field(node, key)
        merge_key = field.merge_key if field else ""
        known, change = original.get(key), patch.get(key)
        for given in (known, change):
            if given is not None and not isinstance(given, list):
                _not_a_list(given)
        check_order(change or [], wanted, merge_key)
        if known is None and change is None:
            continue
        if known is not None and change is not None:
            merged = _list(known, change, field, deleting=False)
        else:
            merged = known if known is not None else undirected(change)
        original[key] = ordered(merged, wanted, known or [], merge_key)
        patch.pop(key, None)


def _not_a_list(value: Any) -> None:
    named = {"object": "map[string]interface {}", "int": "int64", "float": "float64"}
    kind = _go_kind(value)
    failure(f"expected a []interface {{}}, but received a {named.get(kind, kind)}")


def _list(original: list[Any], patch: list[Any], field: Node | None, deleting: bool) -> list[Any]:
    if not deleting and (field is None or "merge" not in field.strategies):
        return patch
    if not original and not patch:
        return original
    if _element_kind(original, patch) != "object":
        return _scalars(original, patch, deleting)
    if field is None or not field.merge_key:
        failure("cannot merge lists without merge key for struct")
    known, changes = _specials(original, patch, field.merge_key)
    merged = list(known)
    places: dict[Hashable, int] = {}
    for index, item in enumerate(merged):
        if field.merge_key in item:
            places.setdefault(exactly(item[field.merge_key]), index)
    for change in changes:
        token = exactly(identity(change, field.merge_key))
        place = places.setdefault(token, len(merged))
        if place == len(merged):
            merged.append(change)
            continue
        merged[place] = item = _map(merged[place], change, field.element)
        if field.merge_key not in item:
            # It was null, which takes it away.
            del places[token]
    return ordered(merged, changes, known, field.merge_key)


def _scalars(original: list[Any], patch: list[Any], deleting: bool) -> list[Any]:
    if deleting:
        gone = set(map(exactly, patch))
        return [item for item in original if exactly(item) not in gone]
    merged = list({exactly(item): item for item in (*original, *patch)}.values())
    return ordered(merged, patch, original, "")


def _specials(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the items with a directive; the list they leave, and the items of the patch without one."""
    gone: set[Hashable] = set()
    changes = []
    replacing = False
    for item in patch:
        directive = item.get(DIRECTIVE)
        if DIRECTIVE not in item:
            changes.append(item)
        elif directive == "delete":
            gone.add(exactly(identity(item, merge_key)))
        elif directive == "replace":
            replacing = True
        elif directive == "merge":
            failure("merging lists cannot yet be specified in the patch")
        else:
            failure(f"unknown patch type: {go_string(directive)} in map: {go_text(item)}")
    if replacing:
        return changes, []
    return [item for item in original if merge_key not in item or exactly(item[merge_key]) not in gone], changes


def _element_kind(original: list[Any], patch: list[Any]) -> str:
    kinds = list(dict.fromkeys(_go_kind(item) for item in (*original, *patch)))
    if kinds[0] == "array":
        failure("lists of lists are not supported")
    if len(kinds) > 1:
        failure(f"list element types are not identical: {go_text([original, patch])}")
    return kinds.pop()


def _go_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else {str: "string"}.get(type(value), type(value).__name__)
