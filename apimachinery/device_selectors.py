"""Which devices a selector means: an expression over `device`; for who validates selectors, and who allocates by them.

Source: `resource/v1.CELDeviceSelector`, KEP-4381.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from apimachinery import quantity
from apimachinery.cel import door
from apimachinery.cel.libraries.versions import Quantity, semver
from apimachinery.cel.types.kinds import BOOL, STRING, Type, map_of, object_type
from apimachinery.cel.values.kinds import EndlessMap
from apimachinery.objects import Obj

# API: what one selector may cost for one device.
MOST = 1_000_000
_NAME = "kubernetes.DRADevice"
# What an attribute is: anything, which may be what is asked for. Messages tell it from `dyn`.
_ANY = Type("dyn", "google.protobuf.Any")
_FIELDS = {
    "driver": STRING,
    "allowMultipleAllocations": BOOL,
    "attributes": map_of(STRING, map_of(STRING, _ANY)),
    "capacity": map_of(STRING, map_of(STRING, Quantity.cel_type)),
}


class Unfit(Exception):
    """An expression that is no selector; the text is upstream's. `internal`: told as the server's fault."""

    def __init__(self, text: str, internal: bool = False) -> None:
        super().__init__(text)
        self.internal = internal


class Unanswered(Exception):
    """What an expression is of no avail for a device; the text is upstream's."""


class _DeviceType:
    """The type of `device`."""

    def known(self, name: str) -> bool:
        return name == _NAME

    def field(self, name: str, field: str) -> Type | None:
        return _FIELDS.get(field)


@cache
def _environment() -> door.Environment:
    return door.environment({"device": object_type(_NAME)}, _DeviceType(), binds=True)


@lru_cache(maxsize=256)
def compiled(expression: str) -> door.Program:
    """A selector, each compiled once however many devices are looked at. Raises Unfit."""
    try:
        program = door.compile(expression, _environment())
    except door.Uninstantiable as error:
        raise Unfit(f"program instantiation failed: {error}", internal=True) from error
    except door.Unfit as error:
        raise Unfit(f"compilation failed: {error}") from error
    if program.type not in (BOOL, _ANY):
        raise Unfit(f"must evaluate to bool or the unknown type, not {program.type}")
    return program


def matches(program: door.Program, driver: str, device: Obj, budget: door.Budget | None = None) -> bool:
    """Whether a selector means a device of a driver; what it costs is taken from the budget. Raises Unanswered."""
    try:
        known = {"device": _value(driver, device)}
        found = program.evaluate(known, budget or door.Budget(MOST))
    except (door.EvaluationError, door.CostExceeded) as error:
        raise Unanswered(str(error)) from error
    if not isinstance(found, bool):
        raise Unanswered(f"CEL result of type {program.type} could not be converted to bool")
    return found


def _value(driver: str, device: Obj) -> Mapping[str, Any]:
    """A device as expressions see it: names without a domain are the driver's, and domains that it does not use are
    empty.
    """
    attributes, capacity = EndlessMap(), EndlessMap()
    for name, attribute in (device.get("attributes") or {}).items():
        domain, short = _split(name, driver)
        attributes.setdefault(domain, {})[short] = _attribute(name, attribute)
    for name, each in (device.get("capacity") or {}).items():
        domain, short = _split(name, driver)
        capacity.setdefault(domain, {})[short] = Quantity(quantity.parse(each["value"]))
    shared = bool(device.get("allowMultipleAllocations"))
    return {"driver": driver, "allowMultipleAllocations": shared, "attributes": attributes, "capacity": capacity}


def _split(name: str, driver: str) -> tuple[str, str]:
    domain, slash, short = name.partition("/")
    return (domain, short) if slash else (driver, name)


def _attribute(name: str, attribute: Obj) -> Any:
    for kind in ("int", "bool", "string"):
        if attribute.get(kind) is not None:
            return attribute[kind]
    if attribute.get("version") is not None:
        try:
            return semver(attribute["version"])
        except door.EvaluationError as error:
            raise Unanswered(f"attribute {name}: parse semantic version: {error}") from error
    raise Unanswered(f"attribute {name}: unsupported attribute value")
