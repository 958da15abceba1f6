"""The expressions of a schema (x-kubernetes-validations), held against objects. Pure.

Source: the reference of x-kubernetes-validations; order, words and limits of cost are upstream's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery import errors
from apimachinery.cel import door
from apimachinery.cel.evaluation.budget import PER_CALL, PER_REQUEST
from apimachinery.cel.values.kinds import NONE, Optional
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.expressions.published import escaped
from controlplane.apiserver.structural import expressions, fieldpaths
from controlplane.apiserver.structural.correlating import Correlated, Earlier
from controlplane.apiserver.structural.declared import Declared, DeclaredTypes, declared
from controlplane.apiserver.structural.limits import Told
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.once import Once
from controlplane.apiserver.structural.reading import VALIDATIONS, untyped
from controlplane.apiserver.structural.seen import See, seen

_OUT = "validation failed due to running out of cost budget, no further validation rules will be run"
_NO_MESSAGE_LEFT = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
)
_NO_OVERLOAD = "call arguments did not match a supported operator, function or macro signature for rule"
_LONGEST_MESSAGE = 5 * 1024
# What expressions of one object may cost where nobody else can go on meanwhile: some milliseconds.
AT_ONCE = 5_000
# So many expressions are read in some milliseconds.
_FEW = 5


@dataclass
class Purse:
    """What the expressions of one object may still cost. at_once: cost until Unfinished is raised; None for none."""

    left: int = PER_REQUEST
    at_once: int | None = None

    def budget(self) -> door.Budget:
        return door.Budget(PER_CALL, self.at_once)

    def pay(self, budget: door.Budget) -> bool:
        """Whether it was enough."""
        if self.at_once is not None:
            self.at_once -= budget.spent
        if budget.spent > self.left:
            return False
        self.left -= budget.spent
        return True


class OutOfBudget(Exception):
    """No further expressions are evaluated; the errors so far stand."""


class _Was(NamedTuple):
    """What a value was: its correlation, and that of the nearest around it that has one."""

    here: Correlated | None = None
    around: Correlated | None = None

    def below(self, step: Callable[[Correlated], Correlated | None], name: str = "") -> _Was:
        if self.here is None:
            return self
        if self.around is None and name in ("apiVersion", "kind"):
            return _Was()
        return _Was(step(self.here), self.here)

    @property
    def same(self) -> bool:
        known = self.here if self.here is not None else self.around
        return known is not None and known.same


class _Root:
    """A type that expressions see and that is part of no other."""

    def __init__(self, declares: Declared) -> None:
        self.declares = declares

    @Once
    def types(self) -> DeclaredTypes:
        return DeclaredTypes(self.declares)


class Validations:
    """The expressions of one place of a schema and of all below it. known: the type of the place, as part of a root."""

    def __init__(self, schema: Structural, whole: bool, known: tuple[Declared, _Root] | None = None) -> None:
        self._schema = schema
        self._whole = whole or schema.embedded
        self._type, self._root = known or _alone(schema, self._whole)
        self._properties: dict[str, Validations] = {}
        self._items: Validations | None = None
        self._more: Validations | None = None
        if self._type is not None and self._root is not None:
            self._descend(self._type, self._root)

    def _descend(self, here: Declared, root: _Root) -> None:
        for name, part in self._schema.properties.items():
            if not part.speaks:
                continue
            shown = escaped(name)
            inner = here.fields.get(shown) if shown else None
            # The type and metadata that a whole object has are seen as they are declared, not as they are described.
            if inner is not None:
                self._properties[name] = Validations(part, part.embedded, (inner, root))
            elif not shown and _alone(part, part.embedded)[0] is not None:
                # What has no name in expressions is seen by its own alone.
                self._properties[name] = Validations(part, part.embedded)
        for attribute, inside in (("_items", self._schema.items), ("_more", self._schema.more)):
            if inside is not None and here.element is not None and inside.speaks:
                setattr(self, attribute, Validations(inside, inside.embedded, (here.element, root)))

    @Once
    def rules(self) -> list[expressions.Rule]:
        given = self._schema.raw.get(VALIDATIONS) or ()
        if not given or self._type is None or self._root is None:
            return []
        return [expressions.compiled(rule, self._type, self._root.types) for rule in given]

    def read(self) -> None:
        """Compile them all now, and what they see, not each once an object has something at its place."""
        if self.rules:
            _ = self._see
        for part in self._parts():
            part.read()

    @Once
    def many(self) -> bool:
        """Whether they take longer to be read than others can wait."""
        return self._count() > _FEW

    def _count(self) -> int:
        return len(self._schema.raw.get(VALIDATIONS) or ()) + sum(part._count() for part in self._parts())

    def _parts(self) -> list[Validations]:
        return [*self._properties.values(), *(part for part in (self._items, self._more) if part is not None)]

    @Once
    def _see(self) -> See:
        return seen(self._schema.raw, self._whole)

    def check(self, new: Any, old: Any, path: str, was: _Was, purse: Purse, found: Found) -> None:
        """Hold a value to them. Raises OutOfBudget, Unfinished."""
        if new is None:
            return
        if self.rules:
            self._hold(new, old, path, was, purse, found)
        if isinstance(new, dict):
            self._members(new, old if isinstance(old, dict) else {}, path, was, purse, found)
        elif isinstance(new, list) and self._items is not None:
            earlier = Earlier(self._schema, old)
            for place, item in enumerate(new):
                inner = was.below(lambda known, place=place: known.index(place))  # type: ignore[misc]
                self._items.check(item, earlier.of(item), f"{path}[{place}]", inner, purse, found)

    def _members(self, new: Obj, old: Obj, path: str, was: _Was, purse: Purse, found: Found) -> None:
        if self._more is None and not self._properties:
            return
        for name in sorted(new):
            inner = self._properties.get(name)
            where = f"{path}.{name}" if path else name
            if inner is None and self._more is not None:
                inner, where = self._more, f"{path}[{name}]"
            if inner is not None:
                before = was.below(lambda known, name=name: known.key(name), name)  # type: ignore[misc]
                inner.check(new[name], old.get(name), where, before, purse, found)

    def _hold(self, new: Any, old: Any, path: str, was: _Was, purse: Purse, found: Found) -> None:
        kind, compares = self._schema.type, any(rule.rule.compares for rule in self.rules)
        if purse.left <= 0:
            found.errors.append(errors.invalid(path or "<nil>", kind, _OUT))
            raise OutOfBudget
        names: dict[str, Any] = {expressions.SELF: self._see(new)}
        before = self._see(old) if compares and old is not None else None
        if before is not None:
            names[expressions.OLD] = before
        for rule in self.rules:
            if found.told.enough:
                found.errors.append(errors.invalid(path or "<nil>", kind, _OUT))
                raise OutOfBudget
            if rule.rule.wrong:
                text = f"rule compile error: {rule.rule.wrong}"
                found.add(errors.invalid(path or "<nil>", kind, text))
            elif rule.rule.program is not None and not (rule.rule.compares and old is None and not rule.optional):
                mine = names
                if rule.optional:
                    mine = {**names, expressions.OLD: NONE if before is None else Optional(before, True)}
                judgement = _Judgement(self._schema, rule, path, purse, found)
                if not judgement.holds(mine):
                    judgement.tell(new, names, was.same and not rule.rule.compares)


class Found:
    """What was found; warnings: faults of what is as it was, as many as are told. told: how many errors."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.warnings: list[str] = []
        self.told, self._warned = Told(), Told()

    def add(self, error: FieldError, warns: bool = False) -> None:
        if not warns:
            self.told.add(error.field, error.text)
            self.errors.append(error)
        elif not self._warned.enough:
            self._warned.add(error.field, error.text)
            self.warnings.append(str(error))


class _Judgement:
    """One rule about one value."""

    def __init__(self, schema: Structural, rule: expressions.Rule, path: str, purse: Purse, found: Found) -> None:
        self._schema, self._rule, self._path = schema, rule, path or "<nil>"
        self._purse, self._found = purse, found

    def holds(self, names: dict[str, Any]) -> bool:
        """Whether it holds, or has been told already why that is not known."""
        assert self._rule.rule.program is not None
        budget, wrong, value = self._purse.budget(), "", True
        over = False
        try:
            value = self._rule.rule.program.evaluate(dict(names), budget)
        except door.CostExceeded as error:
            over, wrong = True, str(error)
        except door.EvaluationError as error:
            wrong = str(error)
        title = self._rule.title
        if not self._purse.pay(budget):
            self._invalid(_OUT)
            raise OutOfBudget
        if over:
            why = "no further validation rules will be run due to call cost exceeds limit for rule"
            self._invalid(f"'{wrong}': {why}: {title}")
            raise OutOfBudget
        if wrong.startswith("no such overload"):
            self._invalid(f"'{wrong}': {_NO_OVERLOAD}: {title}")
        elif wrong:
            self._invalid(f"{wrong} evaluating rule: {title}")
        return bool(wrong) or value is True

    def _invalid(self, text: str) -> None:
        self._found.add(errors.invalid(self._path, self._schema.type, text))

    def tell(self, value: Any, names: dict[str, Any], unchanged: bool) -> None:
        """It does not hold. unchanged: of a value that is as it was, which is only warned of."""
        where = self._place()
        try:
            text = self._message(names)
        except OutOfBudget as refused:
            self._found.add(errors.invalid(where, self._schema.type, str(refused)), unchanged)
            raise
        self._found.add(self._error(where, value, text), unchanged)

    def _place(self) -> str:
        given = self._rule.given.get("fieldPath") or ""
        try:
            below = fieldpaths.normalized(given, self._schema.raw) if given else ""
        except fieldpaths.PathError:
            below = ""
        if not below:
            return self._path
        return below if self._path == "<nil>" else f"{self._path}.{below}"

    def _message(self, names: dict[str, Any]) -> str:
        """Raises OutOfBudget with the text of that."""
        message = self._rule.message
        if message is not None and message.program is not None:
            budget = self._purse.budget()
            value: Any = None
            over = False
            try:
                value = message.program.evaluate(dict(names), budget)
            except door.CostExceeded:
                over = True
            except door.EvaluationError:
                pass
            if not self._purse.pay(budget):
                raise OutOfBudget(_NO_MESSAGE_LEFT)
            if over:
                shown = errors.quoted(self._rule.given["messageExpression"])
                text = "no further validation rules will be run due to call cost exceeds limit for messageExpression: "
                raise OutOfBudget(text + shown)
            told = value.strip() if isinstance(value, str) else ""
            if told and "\n" not in told and len(told.encode()) <= _LONGEST_MESSAGE:
                return str(told)
        return self._rule.title if self._rule.given.get("message") else f"failed rule: {self._rule.title}"

    def _error(self, where: str, value: Any, text: str) -> FieldError:
        holds_others = self._schema.type in ("object", "array")
        reason = self._rule.given.get("reason")
        if reason == "FieldValueForbidden":
            return errors.field_forbidden(where, text)
        if reason == "FieldValueRequired":
            return errors.required(where, text)
        if reason == "FieldValueDuplicate":
            shown = FieldError("FieldValueDuplicate", where, "Duplicate value")
            return shown if holds_others else errors.duplicate(where, untyped(value))
        return errors.invalid_whole(where, text) if holds_others else errors.invalid(where, untyped(value), text)


def _alone(schema: Structural, whole: bool) -> tuple[Declared | None, _Root | None]:
    """The type of a place as a root of its own; None where expressions see nothing of it."""
    declares = declared(schema.raw, whole or schema.embedded)
    return declares, None if declares is None else _Root(declares)


def validations(schema: Structural, whole: bool = True) -> Validations | None:
    """None where there are none."""
    return Validations(schema, whole) if schema.speaks else None


def check(rules: Validations, new: Any, old: Any, before: Correlated | None, purse: Purse, path: str = "") -> Found:
    """What the expressions say of a value. before: what of it was there, for a change. Raises Unfinished."""
    found = Found()
    with contextlib.suppress(OutOfBudget):
        rules.check(new, old, path, _Was(before), purse, found)
    return found
