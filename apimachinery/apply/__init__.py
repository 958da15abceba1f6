"""Server-side apply: who owns which field, and merging what somebody applies into what is there.

Owns field sets (the contents of `managedFields`), comparing and merging values by the schema's list and map types, and
the bookkeeping of managers for apply and for every other write. Pure: `now` is an argument, nothing given is changed.
Must never default, validate or store; what comes out still has to pass the schema's check.

Reading order: `elements` (one step of a path), `fieldset` (sets of paths), `typed` (a value as paths), `compare`,
`merge`, `remove` (two values), `managers` (the entries), `conflicts`, `versions`, `births` (create), `tracking`
(update), `pruning`, `applying` (apply), `migration` (what kubectl's client-side apply left), `scale` (owners of
replicas through the subresource), `overlay` (merging without owners). Source: the design "Server Side Apply"
(KEP-555) and the documentation of that name.
"""

from apimachinery.apply.applying import apply
from apimachinery.apply.scale import to_parent, to_scale
from apimachinery.apply.tracking import track_update

__all__ = ["apply", "to_parent", "to_scale", "track_update"]
