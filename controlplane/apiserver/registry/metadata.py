"""An object's metadata on its way in: what the server sets, what it keeps, what it refuses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time
from controlplane.apiserver import ids

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 63
# What a client cannot change, whatever it sends, and what it cannot take away.
_KEPT = ("creationTimestamp", "generation")
_STAYING = ("uid", "deletionGracePeriodSeconds")


def suffix() -> str:
    """Five characters for a generated name, without vowels and look-alikes."""
    return "".join(random.choices(_ALPHABET, k=5))


def generated(stem: str) -> str:
    """A name that begins as asked."""
    return stem[: _MAX_GENERATED - 5] + suffix()


def of(obj: Obj) -> Obj:
    """The object's metadata, made when missing. Raises BadRequest when it is no object."""
    metadata: Obj | None = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    return metadata


def wipe(obj: Obj) -> None:
    """What a client that creates an object may not say about it."""
    given = of(obj)
    for key in ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        given.pop(key, None)


def begin(kind: Kind, obj: Obj, namespace: str, stored: bool) -> None:
    """Metadata of an object to be created, in place, as admission sees it. stored: it is no dry run, which leaves the
    version that the client gave it.
    """
    metadata = of(obj)
    metadata.pop("selfLink", None)
    if stored or not metadata.get("resourceVersion", "").isdecimal():
        metadata.pop("resourceVersion", None)
    if kind.namespaced:
        metadata["namespace"] = namespace
    tidy(metadata)


def complete(obj: Obj, now: datetime) -> None:
    """What the server gives a new object once admission has let it in: a name that was left to it, uid and time."""
    metadata = of(obj)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated(metadata["generateName"])
    metadata["uid"] = ids.new()
    metadata["creationTimestamp"] = format_time(now)


def fill_changed(kind: Kind, new: Obj, old: Obj, kept: bool = True) -> None:
    """Metadata of an object to be replaced: what is the server's is taken from the stored one. kept: it will be stored,
    and a link to itself is not; a dry run answers with the one that it was given.
    """
    metadata, stored = of(new), old["metadata"]
    if kept:
        metadata.pop("selfLink", None)
    metadata["name"] = stored["name"]
    if kind.namespaced:
        metadata["namespace"] = stored["namespace"]
    for key in _KEPT:
        if key in stored:
            metadata[key] = stored[key]
        else:
            metadata.pop(key, None)
    for key in _STAYING:
        if key in stored and metadata.get(key) is None:
            metadata[key] = stored[key]
    if "deletionTimestamp" in stored:
        metadata["deletionTimestamp"] = stored["deletionTimestamp"]
    tidy(metadata)


def put_back(new: Obj, old: Obj, keys: Sequence[str]) -> None:
    """Put back the metadata that a write cannot change."""
    for key in keys:
        new["metadata"].pop(key, None)
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]


def single_owners(obj: Obj, admitted: bool = False) -> list[str]:
    """Take owners out that are listed twice; what the client is told of them. admitted: admission has seen it."""
    listed = of(obj).get("ownerReferences") or []
    kept: list[Obj] = []
    twice: list[str] = []
    for owner in listed if len(listed) > 1 else ():
        if owner in kept:
            twice.append(owner.get("uid") or "")
        else:
            kept.append(owner)
    if not twice:
        return []
    of(obj)["ownerReferences"] = kept
    when = " after mutating admission happens" if admitted else ""
    told = (
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and "
        "may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
    )
    return [told + ", ".join(twice)]


def tidy(metadata: Obj) -> None:
    """Empty collections and nulls are not kept, as upstream's types omit them."""
    # An empty list of managers is somebody's wish to start over.
    empty = [k for k, v in metadata.items() if v is None or v == {} or v == [] or v == ""]
    for key in [k for k in empty if k != "managedFields"]:
        del metadata[key]
    if metadata.get("generation") == 0:
        del metadata["generation"]


def match_url(kind: Kind, obj: Obj, namespace: str, name: str | None) -> None:
    """Refuse a body that contradicts the URL. name None: a create, where the body decides."""
    metadata = of(obj)
    if kind.namespaced and metadata.get("namespace") not in (None, "", namespace):
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if not kind.namespaced:
        metadata.pop("namespace", None)
    given = metadata.get("name")
    if name is not None and not given:
        text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise errors.BadRequest(text)
    if name is not None and given != name:
        raise errors.BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
