"""Compiling expressions about requests, each once however many ask for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from apimachinery.cel import door
from apimachinery.cel.libraries.authorizer import AUTHORIZER, ResourceCheck
from apimachinery.cel.types.environment import Types
from apimachinery.cel.types.kinds import BOOL, DYN, NULL, STRING, Type, list_of, object_type
from controlplane.apiserver.expressions.declared import (
    NAMESPACE,
    OBJECT,
    PATCH,
    REQUEST,
    VARIABLES,
    RequestTypes,
)
from controlplane.apiserver.expressions.known import NOTHING, Known

# What an expression must be worth; nothing: whatever it is worth.
ANYTHING: tuple[Type, ...] = ()
CONDITION = (BOOL,)
MESSAGE = (STRING,)
ANNOTATION = (STRING, NULL)
APPLIED = (object_type(OBJECT),)
PATCHES = (list_of(object_type(PATCH)),)


class Unfit(Exception):
    """An expression that cannot be what it should be; the text is upstream's. internal: told as the server's fault."""

    def __init__(self, text: str, internal: bool = False) -> None:
        super().__init__(text)
        self.internal = internal


@dataclass(frozen=True)
class Scope:
    """What an expression may name beside the request and its objects.

    variables: what is known of those of a policy; None where `variables` itself is unknown. object, parameters: their
    types, with the types that those are made of.
    """

    params: bool = False
    authorizer: bool = True
    request_resource: bool = True
    patches: bool = False
    variables: Known | None = None
    object: Type = DYN
    parameters: Type = DYN
    types: Types | None = None

    def environment(self) -> door.Environment:
        known: dict[str, Type] = {
            "object": self.object,
            "oldObject": self.object,
            "namespaceObject": NAMESPACE,
            "request": REQUEST,
        }
        if self.params:
            known["params"] = self.parameters
        if self.authorizer:
            known["authorizer"] = AUTHORIZER
            if self.request_resource:
                known["authorizer.requestResource"] = ResourceCheck.cel_type
        if self.variables is not None:
            known["variables"] = VARIABLES
        types = RequestTypes(self.variables or NOTHING, self.patches, self.types)
        return door.environment(known, types, patches=self.patches)


def compiled(expression: str, scope: Scope, wanted: tuple[Type, ...] = ANYTHING) -> door.Program:
    """A program whose value is one of the wanted types. Raises Unfit with upstream's words."""
    # With types of its own a scope is met once.
    return (_known if scope.types is None else _compiled)(expression, scope, wanted)


def _compiled(expression: str, scope: Scope, wanted: tuple[Type, ...]) -> door.Program:
    try:
        program = door.compile(expression, scope.environment())
    except door.Uninstantiable as refused:
        raise Unfit(f"program instantiation failed: {refused}", internal=True) from refused
    except door.Unfit as refused:
        raise Unfit(f"compilation failed: {refused}") from refused
    if wanted and program.type not in wanted:
        names = " ".join(_name(each) for each in wanted)
        raise Unfit(
            f"must evaluate to {names if len(wanted) == 1 else f'one of [{names}]'} but got {_name(program.type)}"
        )
    return program


_known = lru_cache(maxsize=2048)(_compiled)


def _name(given: Type) -> str:
    inner = ", ".join(map(_name, given.params))
    name = "null_type" if given.kind == "null" else given.name or given.kind
    return f"{name}({inner})" if inner else name


def stored(given: Type) -> Type:
    """The type that a variable has for the expressions after it: of objects nothing is remembered."""
    if given.kind in ("list", "map"):
        return Type(given.kind, given.name, tuple(map(stored, given.params)))
    return DYN if given.kind in ("object", "opaque", "type") else given


def with_variables(scope: Scope, variables: Iterable[tuple[str, str]]) -> tuple[Scope, list[Unfit | None]]:
    """The scope of what comes after a policy's variables (name, expression), and for each why it does not compile.

    Each may name those before it; one that does not compile could be anything, one without an expression is none.
    """
    found = scope.variables or NOTHING
    wrong: list[Unfit | None] = []
    for name, expression in variables:
        if not expression.strip():
            wrong.append(None)
            continue
        kind = DYN
        refusal: Unfit | None = None
        try:
            kind = stored(compiled(expression, replace(scope, variables=found)).type)
        except Unfit as refused:
            refusal = refused
        found = found.followed(name, kind)
        wrong.append(refusal)
    return (replace(scope, variables=found) if found else scope), wrong
