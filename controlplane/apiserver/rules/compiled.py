"""The walker: a type's row becomes one function over a struct of that type, made on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema, short
from controlplane.apiserver.rules.place import About, Found, Place, Row, Rows, Rule, Step


class Rules:
    """The rows of all types, and what is compiled of them so far.

    A key is a type, "core.v1.Container"; a use of a type, "core.v1.PodSpec.containers", whose row comes after the
    type's own; or a kind seen by a subresource, "core.v1.Pod/status", whose row stands for the type's.
    """

    def __init__(self, *tables: Mapping[str, Row]) -> None:
        self._rows: dict[str, Row] = {}
        for table in tables:
            self.add(table)
        self._made: dict[str, Step | None] = {}

    def add(self, table: Mapping[str, Row]) -> None:
        """Take more rows in; raises ValueError for a type that has one."""
        twice = self._rows.keys() & table.keys()
        if twice:
            raise ValueError(f"rules of {', '.join(sorted(twice))} stand in two tables")
        self._rows.update(table)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def names(self) -> tuple[str, ...]:
        """The keys of all rows."""
        return tuple(self._rows)

    def row(self, key: str) -> Row:
        return self._rows[key]

    def check(self, kind: Kind, new: Obj, old: Obj | None = None, part: str = "", version: str = "") -> Found:
        """What is wrong with a new object, or with a change of one, in upstream's order; never raises.

        part: the subresource that is written. version: that of the writer.
        """
        found: Found = []
        node = Schema.load().node(kind.api_version, kind.kind)
        if node is not None:
            walk = self.walk(_key(kind, part), node)
            if walk is not None:
                walk(new, Place(None, "", None, new, old, About(kind.kind, new, old, version)), found)
        return found

    def walk(self, key: str, node: Node) -> Step | None:
        """The function of a row; None when the key has none."""
        if key not in self._made:
            row = self._rows.get(key)
            self._made[key] = None if row is None else self.compiled(row, node)
        return self._made[key]

    def compiled(self, row: Row, node: Node) -> Step:
        """One function of a row's entries; raises KeyError for a field that the type does not have."""
        steps: list[tuple[str | None, Step]] = []
        last: list[Step] = []
        for entry in row:
            rule = inside(entry) if isinstance(entry, str) else entry
            missing = [name for name in rule.fields if name not in node.fields]
            if missing:
                raise KeyError(f"{short(node.type_name)} has no {', '.join(missing)}")
            step = rule.bind(node, self)
            if step is not None and rule.sound:
                last.append(step)
            elif step is not None:
                steps.append((rule.only_with, step))
        return _sounded(_all(tuple(steps)), tuple(last)) if last else _all(tuple(steps))


def _key(kind: Kind, part: str) -> str:
    name = Schema.load().definition_name(kind.api_version, kind.kind)
    return "" if name is None else f"{short(name)}/{part}" if part else short(name)


def _all(steps: tuple[tuple[str | None, Step], ...]) -> Step:
    def walk(value: Obj, at: Place, found: Found) -> None:
        for needed, step in steps:
            if needed is None or needed in value:
                step(value, at, found)

    return walk


def _sounded(walk: Step, last: tuple[Step, ...]) -> Step:
    def sounded(value: Obj, at: Place, found: Found) -> None:
        before = len(found)
        walk(value, at, found)
        if len(found) == before:
            for step in last:
                step(value, at, found)

    return sounded


def inside(
    field: str,
    shown: str | None = None,
    index: bool = True,
    always: bool = False,
    made: Callable[[Obj], Obj | None] | None = None,
) -> Rule:
    """The rules of what lies in a field, in every item of a list or map.

    shown: the name that upstream's paths give the field, "" for none. index: whether they say which item. always:
    check an empty struct where there is none, as where upstream's type holds it by value. made: makes the struct
    that is looked at of the one around it, where it is not the field's as it stands.
    """
    label = field if shown is None else shown

    def bind(node: Node, rules: Rows) -> Step | None:
        child = node.fields[field]
        use = f"{short(node.type_name)}.{field}"
        if child.shape == "struct":
            return _below(_Late(rules, child, use), field, label, always, made or (lambda value: value.get(field)))
        if child.element is None or child.element.shape != "struct":
            raise KeyError(f"{use} holds no struct")
        late = _Late(rules, child.element, use)
        return _items(late, field, label, index) if child.shape == "list" else _values(late, field, label)

    return Rule(bind, (field,), only_with=None if always else field)


class _Late:
    """What walks one use of a type: the type's row, then that of the use; compiled when first met."""

    __slots__ = ("_node", "_rules", "_use", "walk")

    def __init__(self, rules: Rows, node: Node, use: str) -> None:
        self._rules, self._node, self._use = rules, node, use
        self.walk: Step = self._first

    def _first(self, value: Obj, at: Place, found: Found) -> None:
        rows = [self._rules.row(key) for key in (short(self._node.type_name), self._use) if key in self._rules]
        if not rows:
            raise KeyError(f"no rules of {short(self._node.type_name)}, which {self._use} asks for")
        walks = [self._rules.compiled(row, self._node) for row in rows]
        self.walk = walks[0] if len(walks) == 1 else _all(tuple((None, walk) for walk in walks))
        self.walk(value, at, found)


def _below(late: _Late, field: str, label: str, always: bool, made: Callable[[Obj], Obj | None]) -> Step:
    def step(value: Obj, at: Place, found: Found) -> None:
        item = made(value)
        if item is None:
            if not always:
                return
            item = {}
        old = at.old
        late.walk(item, Place(at, label, None, item, None if old is None else old.get(field), at.about), found)

    return step


def _items(late: _Late, field: str, label: str, index: bool) -> Step:
    def step(value: Obj, at: Place, found: Found) -> None:
        # One place wanders from item to item: errors hold texts, so that nobody keeps it.
        place = Place(at, label, None, value, None, at.about)
        for number, item in enumerate(value.get(field) or ()):
            place.value = item
            if index:
                place.index = number
            late.walk(item, place, found)

    return step


def _values(late: _Late, field: str, label: str) -> Step:
    def step(value: Obj, at: Place, found: Found) -> None:
        for key, item in sorted((value.get(field) or {}).items()):
            late.walk(item, Place(at, label, key, item, None, at.about), found)

    return step
