"""What ResourceClaims ask for, as frozen views. Pure. Source: `resource/v1.ResourceClaim`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from apimachinery.objects import Obj, key
from apimachinery.quantity import Quantity, parse

ALL, EXACT = "All", "ExactCount"


@dataclass(frozen=True)
class Request:
    """So many devices of a class. `parent`: the request that this is one of the alternatives of, "" for none."""

    name: str
    parent: str
    device_class: str
    mode: str = EXACT
    count: int = 1
    admin: bool = False
    selectors: tuple[str, ...] = ()
    tolerations: tuple[Obj, ...] = ()
    capacity: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """As results and configurations name it."""
        return f"{self.parent}/{self.name}" if self.parent else self.name

    def is_among(self, names: tuple[str, ...]) -> bool:
        """Whether these names mean it; its parent's name means all its alternatives."""
        return self.full_name in names or bool(self.parent and self.parent in names)

    def tolerates(self, taints: tuple[Obj, ...]) -> bool:
        """Whether no taint keeps it from the device. Effects that nobody knows keep from nothing."""
        against = [taint for taint in taints if taint.get("effect") in ("NoSchedule", "NoExecute")]
        return all(any(_covers(toleration, taint) for toleration in self.tolerations) for taint in against)


@dataclass(frozen=True)
class Constraint:
    """All devices of the named requests (of all, without names) have one value of an attribute, or (`distinct`) each
    another one.
    """

    attribute: str
    distinct: bool = False
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Wish:
    """A claim: for each of its requests the alternatives, the first that can be had counts."""

    claim: Obj
    requests: tuple[tuple[Request, ...], ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def key(self) -> str:
        return key(self.claim)

    @property
    def prioritized(self) -> bool:
        """Whether there are alternatives, so that one node may suit better than another."""
        return any(alternatives[0].parent for alternatives in self.requests if alternatives)


def view(claim: Obj) -> Wish:
    """The view of a v1 ResourceClaim."""
    asked = (claim.get("spec") or {}).get("devices") or {}
    constraints = [
        Constraint(each.get("matchAttribute") or each["distinctAttribute"], "distinctAttribute" in each, _names(each))
        for each in asked.get("constraints") or ()
        if each.get("matchAttribute") or each.get("distinctAttribute")
    ]
    return Wish(claim, tuple(_alternatives(each) for each in asked.get("requests") or ()), tuple(constraints))


def _names(obj: Obj) -> tuple[str, ...]:
    return tuple(obj.get("requests") or ())


def _alternatives(request: Obj) -> tuple[Request, ...]:
    if exactly := request.get("exactly"):
        return (_request(request["name"], "", exactly),)
    return tuple(_request(each["name"], request["name"], each) for each in request.get("firstAvailable") or ())


def _request(called: str, parent: str, asked: Obj) -> Request:
    return Request(
        called,
        parent,
        asked.get("deviceClassName") or "",
        asked.get("allocationMode") or EXACT,
        asked.get("count") or 1,
        bool(asked.get("adminAccess")),
        selectors(asked),
        tuple(asked.get("tolerations") or ()),
        {name: parse(amount) for name, amount in ((asked.get("capacity") or {}).get("requests") or {}).items()},
    )


def selectors(obj: Obj) -> tuple[str, ...]:
    """The expressions of a request's or a class' selectors."""
    return tuple((each.get("cel") or {}).get("expression") or "" for each in obj.get("selectors") or ())


def _covers(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    return operator == "Exists" or (
        operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")
    )
