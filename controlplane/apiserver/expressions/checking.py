"""Checks the expressions of a policy against the types of what it is about. Pure. Words: upstream's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from apimachinery.cel import door
from apimachinery.cel.types.kinds import DYN, Type
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.expressions.compiling import Scope, with_variables
from controlplane.apiserver.expressions.known import NOTHING
from controlplane.apiserver.expressions.published import PublishedTypes

_MOST_KINDS = 10
# The published schema of a kind; None where there is none.
Published = Callable[[Kind], Node | None]


def concerned(policy: Obj, served: Iterable[Kind]) -> list[Kind]:
    """The kinds that a policy names without wildcards, in order."""
    known = {(kind.group, kind.version, kind.plural): kind for kind in served}
    found: dict[tuple[str, str, str], Kind] = {}
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        named = list(itertools.islice(_of_rule(rule, known), _MOST_KINDS))
        found |= {(kind.group, kind.version, kind.kind): kind for kind in named}
        # Upstream counts by rule: one that names so many is the last that is looked at.
        if len(named) == _MOST_KINDS:
            break
    return [found[key] for key in sorted(found)]


def _of_rule(rule: Obj, known: dict[tuple[str, str, str], Kind]) -> Iterator[Kind]:
    groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
    if any("*" in text for text in (*groups, *versions)):
        return
    resources = sorted(text for text in rule.get("resources") or () if "*" not in text and "/" not in text)
    for group in groups:
        for version in versions:
            for resource in resources:
                if (kind := known.get((group, version, resource))) is not None:
                    yield kind


def warnings(policy: Obj, kinds: Iterable[Kind], params: Kind | None, published: Published) -> list[Obj]:
    """What of a policy's validations does not fit, as its status tells it."""
    scopes = [(kind, _scope(policy, node, kind, params, published)) for kind in kinds if (node := published(kind))]
    found: list[Obj] = []
    for index, validation in enumerate(policy["spec"].get("validations") or ()):
        for field in ("expression", "messageExpression"):
            if text := validation.get(field) or "":
                wrong = [told for kind, scope in scopes if (told := _wrong(text, kind, scope))]
                if wrong:
                    path = f"spec.validations[{index}].{field}"
                    found.append({"fieldRef": path, "warning": "\n".join(wrong)})
    return found


def _scope(policy: Obj, node: Node, kind: Kind, params: Kind | None, published: Published) -> Scope:
    types = PublishedTypes()
    parameters: Type = DYN
    if params is not None and (described := published(params)) is not None:
        parameters = types.add(f"{params.kind}.params", described)
    scope = Scope(
        params=policy["spec"].get("paramKind") is not None,
        request_resource=False,
        variables=NOTHING,
        object=types.add(kind.kind, node),
        parameters=parameters,
        types=types,
    )
    variables = [(each["name"], each["expression"]) for each in policy["spec"].get("variables") or ()]
    return replace(with_variables(scope, variables)[0], types=types)


def _wrong(text: str, kind: Kind, scope: Scope) -> str:
    try:
        door.compile(text, scope.environment())
    except door.Uninstantiable:
        return ""
    except door.Unfit as refused:
        return f"{kind.group}/{kind.version}, Kind={kind.kind}: {refused}\n"
    return ""
