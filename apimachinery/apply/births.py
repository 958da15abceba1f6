"""Objects that are made: what their writer owns of them, which is worked out once for all copies of one."""

from __future__ import annotations

from collections import OrderedDict

from apimachinery.apply.compare import compare
from apimachinery.apply.fieldset import difference, of_paths, to_json
from apimachinery.apply.managers import Managed
from apimachinery.apply.versions import tracked
from apimachinery.objects import Obj, dumps
from apimachinery.schema import Node
from apimachinery.schema.presence import presence

__all__ = ["UNTRACKED", "bare", "owned_at_birth", "zero_object"]

# Objects whose owner's fields are remembered, and bytes of one: most pods are copies, and events never are.
REMEMBERED, LARGEST = 256, 8 << 10

# Set by the machinery itself; nobody owns them.
UNTRACKED = of_paths(
    [
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    ]
)
_NAMES = frozenset(element[2:] for element in UNTRACKED["f:metadata"] if element != ".")
# Large requests are worked on by a thread of their own: each step on this is whole.
_known: OrderedDict[tuple[Node, tuple[tuple[str, ...], ...], bytes], Managed] = OrderedDict()


def owned_at_birth(node: Node, new: Obj, version: str, ignored: tuple[tuple[str, ...], ...] = ()) -> Managed:
    """What belongs to who creates `new`, an object of `version`; `ignored` as for `track_update`. It is shared."""
    metadata = new.get("metadata") or {}
    alike = {**new, "metadata": {name: value for name, value in metadata.items() if name not in _NAMES}}
    place = (node, ignored, dumps(alike))
    found = _known.pop(place, None)
    if found is None:
        everything = compare(node, zero_object(node, new), bare(new))
        fields = difference(tracked(everything, ignored).changed, UNTRACKED)
        found = Managed(fields, version, written=to_json(fields))
        if len(place[2]) > LARGEST:
            return found
        if len(_known) >= REMEMBERED:
            # The one that was not asked for longest.
            _known.popitem(last=False)
    _known[place] = found
    return found


def bare(obj: Obj) -> Obj:
    """The object without its managedFields; everything else is shared."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def zero_object(node: Node, like: Obj) -> Obj:
    """What an object is before anybody set a field: only what its type always writes."""
    zero = {name: make() for name, make in presence(node).filled}
    return {"apiVersion": like.get("apiVersion", ""), "kind": like.get("kind", ""), **zero}
