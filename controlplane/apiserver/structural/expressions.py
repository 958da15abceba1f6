"""One expression of x-kubernetes-validations, compiled. Pure. Words: upstream's."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.cel import door
from apimachinery.cel.estimation import costs
from apimachinery.cel.syntax.nodes import Ident, walk
from apimachinery.cel.types.kinds import BOOL, STRING, optional_of
from apimachinery.objects import Obj
from controlplane.apiserver.structural.declared import Declared, DeclaredTypes
from controlplane.apiserver.structural.once import Once

SELF, OLD = "self", "oldSelf"


@dataclass(frozen=True)
class Compiled:
    """An expression with its program, or what is wrong with it."""

    program: door.Program | None = None
    wrong: str = ""
    cost: int = 0
    """What it costs at most, once."""

    @Once
    def compares(self) -> bool:
        """Whether it speaks of what there was before."""
        tree = self.program.tree if self.program is not None else None
        return tree is not None and any(isinstance(node, Ident) and node.name == OLD for node in walk(tree))


@dataclass(frozen=True)
class Rule:
    """rule and message are expressions; given: as the schema has it; place: the path that its errors are told at."""

    given: Obj
    rule: Compiled
    message: Compiled | None
    optional: bool

    @property
    def title(self) -> str:
        """How messages name it."""
        return str(self.given.get("message") or self.given.get("rule") or "").strip()


def compiled(given: Obj, seen: Declared, types: DeclaredTypes) -> Rule:
    """A rule about values of a type."""
    optional = bool(given.get("optionalOldSelf"))
    before = optional_of(seen.type) if optional else seen.type
    environment = door.environment({SELF: seen.type, OLD: before}, types)
    text = given.get("rule") or ""
    rule = _compiled(text, environment, seen, False) if text.strip() else Compiled()
    message = None
    if (told := given.get("messageExpression") or "") and rule.program is not None:
        message = _compiled(told, environment, seen, True)
    return Rule(given, rule, message, optional)


def _compiled(text: str, environment: door.Environment, seen: Declared, tells: bool) -> Compiled:
    what = "messageExpression " if tells else ""
    try:
        program = door.compile(text, environment)
    except door.Uninstantiable as refused:
        how = "instantiation" if tells else "program instantiation"
        return Compiled(wrong=f"{what}{how} failed: {refused}")
    except door.Unfit as refused:
        return Compiled(wrong=f"{what}compilation failed: {refused}")
    if program.type != (STRING if tells else BOOL):
        return Compiled(
            wrong="messageExpression must evaluate to a string" if tells else "cel expression must evaluate to a bool"
        )
    return Compiled(program, "", costs.cost(program.tree, seen.at).most)
