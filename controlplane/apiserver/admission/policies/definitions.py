"""Policies and their bindings as values, and which of them belong together; follows the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from apimachinery.kinds import Kind
from apimachinery.objects import Obj, name
from apimachinery.selectors import LabelSelector, from_label_selector
from controlplane.apiserver.admission.matching import Selected
from controlplane.apiserver.admission.webhooks.hooks import Rule, rule_of
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.expressions.compiling import Scope, with_variables
from controlplane.apiserver.expressions.known import NOTHING
from controlplane.apiserver.registry import Registry


@dataclass(frozen=True)
class NamedRule:
    """A rule for objects of these names; of any where there are none."""

    rule: Rule
    names: frozenset[str]

    def matches(self, kind: Kind, admission: Admission) -> bool:
        named = not self.names or admission.given_name in self.names
        return named and self.rule.matches(kind, admission.subresource, admission.operation)


@dataclass(frozen=True)
class Matching:
    """What a policy or binding is about."""

    selected: Selected
    rules: tuple[NamedRule, ...]
    excluded: tuple[NamedRule, ...]
    equivalent: bool

    def matches(self, admission: Admission, requested: Kind, registry: Registry) -> Kind | None:
        """The version of the request's kind that is spoken of; None where it is not. Raises NotFound."""
        others = _others(requested, registry.catalog) if self.equivalent else ()
        if _found(self.excluded, admission, requested, others) is not None:
            return None
        kind = requested if not self.rules else _found(self.rules, admission, requested, others)
        return kind if kind is not None and self.selected(admission, registry) else None


def _others(requested: Kind, catalog: Catalog) -> tuple[Kind, ...]:
    return tuple(one for one in catalog.kinds() if one.storage == requested.storage and one != requested)


def _found(
    rules: tuple[NamedRule, ...], admission: Admission, requested: Kind, others: tuple[Kind, ...]
) -> Kind | None:
    for kind in (requested, *others):
        if any(rule.matches(kind, admission) for rule in rules):
            return kind
    return None


def _matching(resources: Obj | None) -> Matching | None:
    if resources is None:
        return None
    selectors: list[LabelSelector] = [
        from_label_selector(resources.get(key) or {}) for key in ("namespaceSelector", "objectSelector")
    ]
    return Matching(
        Selected(*selectors),
        tuple(map(_rule, resources.get("resourceRules") or ())),
        tuple(map(_rule, resources.get("excludeResourceRules") or ())),
        resources.get("matchPolicy") != "Exact",
    )


def _rule(rule: Obj) -> NamedRule:
    return NamedRule(rule_of(rule), frozenset(rule.get("resourceNames") or ()))


@dataclass(frozen=True)
class Policy:
    """spec: as it is stored. scope: what its expressions may name; variables: each with what it may name itself."""

    name: str
    spec: Obj
    matching: Matching
    scope: Scope
    variables: Mapping[str, tuple[str, Scope]]
    fails_open: bool

    @property
    def param_kind(self) -> tuple[str, str] | None:
        kind = self.spec.get("paramKind")
        return None if kind is None else (kind["apiVersion"], kind["kind"])


@dataclass(frozen=True)
class Binding:
    """matching: None where the policy's own is all there is."""

    name: str
    policy: str
    matching: Matching | None
    params: Obj | None
    actions: tuple[str, ...] = ()


def compile_policy(obj: Obj) -> Policy:
    """A stored policy. What of it does not compile is told when it is evaluated."""
    spec = obj["spec"]
    matching = _matching(spec.get("matchConstraints") or {})
    assert matching is not None
    scope = Scope(params=spec.get("paramKind") is not None, variables=NOTHING)
    variables: dict[str, tuple[str, Scope]] = {}
    for variable in spec.get("variables") or ():
        variables[variable["name"]] = variable["expression"], scope
        scope, _ = with_variables(scope, [(variable["name"], variable["expression"])])
    return Policy(name(obj), spec, matching, scope, variables, spec.get("failurePolicy") == "Ignore")


def compile_binding(obj: Obj) -> Binding:
    spec = obj["spec"]
    return Binding(
        name(obj),
        spec.get("policyName") or "",
        _matching(spec.get("matchResources")),
        spec.get("paramRef"),
        tuple(spec.get("validationActions") or ()),
    )


@dataclass
class Definitions:
    """The policies of one sort with their bindings, by name."""

    policies: dict[str, Policy] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    _bound: list[tuple[Policy, list[Binding]]] | None = None

    def policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self.policies.pop(name(old or {}), None)
        else:
            self.policies[name(new)] = compile_policy(new)
        self._bound = None

    def binding_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self.bindings.pop(name(old or {}), None)
        else:
            self.bindings[name(new)] = compile_binding(new)
        self._bound = None

    def bound(self) -> list[tuple[Policy, list[Binding]]]:
        """The policies that are bound, by their names, each with its bindings."""
        if self._bound is None:
            found: dict[str, list[Binding]] = {}
            for key in sorted(self.bindings):
                found.setdefault(self.bindings[key].policy, []).append(self.bindings[key])
            self._bound = [(self.policies[key], found[key]) for key in sorted(found) if key in self.policies]
        return self._bound


def with_patches(scope: Scope) -> Scope:
    """What an expression may name that makes a patch."""
    return replace(scope, patches=True)
