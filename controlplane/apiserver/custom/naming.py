"""Which of its names a definition gets, and what its conditions say of that. Pure.

Source: Kubernetes' reference of CustomResourceDefinitionStatus; reasons and messages are those of upstream's server.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from apimachinery import conditions, errors, pki
from apimachinery.objects import Obj, condition_holds
from controlplane.apiserver.custom import approval

_RESOURCES, _KINDS = ("plural", "singular"), ("kind", "listKind")
_ORDER = (("plural", "PluralConflict"), ("singular", "SingularConflict"), ("shortNames", "ShortNamesConflict"))
_LAST = (("kind", "KindConflict"), ("listKind", "ListKindConflict"))
ESTABLISHED = {
    "type": "Established",
    "status": "True",
    "reason": "InitialNamesAccepted",
    "message": "the initial names have been accepted",
}


def accepted(definition: Obj) -> Obj:
    """The names it has."""
    found: Obj = (definition.get("status") or {}).get("acceptedNames") or {}
    return found


def has_names(definition: Obj) -> bool:
    """Whether it has every name that it needs."""
    return all(accepted(definition).get(key) for key in (*_RESOURCES, *_KINDS))


def is_served(definition: Obj) -> bool:
    """Whether requests for its objects are answered."""
    return any(condition_holds(definition, kind) for kind in ("NamesAccepted", "Established"))


def judged(definition: Obj, others: Iterable[Obj], now: str) -> Obj:
    """Its status, beside the other definitions of its group; the one that it has where that says it all.

    now: RFC 3339, for conditions whose status changes.
    """
    status: Obj = definition.get("status") or {}
    new = dict(status)
    if definition["spec"]["names"] != accepted(definition):
        names, condition = _names(definition, others)
        new["acceptedNames"] = names
        new = _with(new, condition, now)
        if condition["status"] != "True" and not condition_holds(definition, "Established"):
            why = {"status": "False", "reason": "NotAccepted", "message": "not all names are accepted"}
            new = _with(new, {"type": "Established", **why}, now)
    served = {"status": new}
    if condition_holds(served, "NamesAccepted") and not condition_holds(served, "Established"):
        new = _with(new, ESTABLISHED if _trusted(definition) else _UNTRUSTED, now)
    if (said := approval.condition(definition)) is not None:
        new = _with(new, said, now)
    return new


def _with(status: Obj, condition: Obj, now: str) -> Obj:
    found = status.get("conditions") or ()
    old = next((one for one in found if one.get("type") == condition["type"]), None)
    if old is not None and all(old.get(key) == value for key, value in condition.items()):
        return status
    return {**status, "conditions": conditions.placed(found, conditions.dated(found, condition, now))}


def _names(definition: Obj, others: Iterable[Obj]) -> tuple[Obj, Obj]:
    """What it gets of the names it asks for, and the condition NamesAccepted."""
    asked: Obj = definition["spec"]["names"]
    had = new = dict(accepted(definition))
    taken: dict[str, set[Any]] = {"resources": set(), "kinds": set()}
    for other in (*others, definition):
        names = accepted(other)
        taken["resources"] |= {*(names.get(key) for key in _RESOURCES), *(names.get("shortNames") or ())}
        taken["kinds"] |= {names.get(key) for key in _KINDS}
    conflict: tuple[str, str] | None = None
    for key, reason in (*_ORDER, *_LAST):
        used = taken["kinds" if key in _KINDS else "resources"]
        why = _refused(asked.get(key), had.get(key), used)
        if why:
            conflict = (reason, why)
        elif asked.get(key) is not None:
            new = {**new, key: asked[key]}
        else:
            new = {name: value for name, value in new.items() if name != key}
    new = {name: value for name, value in new.items() if name != "categories"}
    if asked.get("categories"):
        new["categories"] = asked["categories"]
    if conflict is None:
        said = {"status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
    else:
        said = {"status": "False", "reason": conflict[0], "message": conflict[1]}
    return new, {"type": "NamesAccepted", **said}


def _refused(asked: Any, had: Any, used: set[Any]) -> str:
    """Why a name, or some of a list of names, cannot be had; "" where it can."""
    if asked == had:
        return ""
    if not isinstance(asked, list):
        return _in_use(asked) if asked in used else ""
    clashes = [_in_use(name) for name in asked if name not in (had or ()) and name in used]
    unique = list(dict.fromkeys(clashes))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]" if unique else ""


def _in_use(name: str) -> str:
    return f"{errors.quoted(name)} is already in use"


_UNTRUSTED = {
    "type": "Established",
    "status": "False",
    "reason": "InvalidCABundle",
    "message": "The conversion webhook CABundle is invalid",
}


def _trusted(definition: Obj) -> bool:
    """Whether the authority of its conversion webhook, where it names one, can be read."""
    webhook = (definition["spec"].get("conversion") or {}).get("webhook") or {}
    bundle = (webhook.get("clientConfig") or {}).get("caBundle")
    try:
        return not bundle or not pki.no_certificates(base64.b64decode(bundle))
    except (binascii.Error, ValueError):
        return False
