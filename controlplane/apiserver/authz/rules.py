"""RBAC rules as values: what one rule covers, and which of some wanted rules others do not cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.request import Attributes

ALL = "*"


@dataclass(frozen=True)
class Rule:
    """A PolicyRule of rbac.authorization.k8s.io/v1, order kept."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def allows(self, wanted: Attributes) -> bool:
        if not (wanted.verb in self.verbs or ALL in self.verbs):
            return False
        if not wanted.is_resource:
            return any(url_covers(url, wanted.path) for url in self.urls)
        return (
            (wanted.group in self.groups or ALL in self.groups)
            and self._has_resource(wanted.resource, wanted.subresource)
            and (not self.names or wanted.name in self.names)
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        full = f"{resource}/{subresource}" if subresource else resource
        if ALL in self.resources or full in self.resources:
            return True
        return bool(subresource) and f"{ALL}/{subresource}" in self.resources

    def to_obj(self) -> dict[str, Any]:
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {key: list(values) for key, values in fields.items() if values}

    def __str__(self) -> str:
        """The compact notation upstream prints in refusals."""
        fields = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        quoted = (f"{key}:[{' '.join(f'{chr(34)}{v}{chr(34)}' for v in values)}]" for key, values in fields if values)
        return "{" + ", ".join(quoted) + "}"


def url_covers(pattern: str, path: str) -> bool:
    """Whether a nonResourceURL includes a path: equal, or a prefix when it ends in `*`."""
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)))


def parse(rules: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole object."""

    def texts(rule: Mapping[str, Any], key: str) -> tuple[str, ...]:
        return tuple(rule.get(key) or ())

    return tuple(
        Rule(*(texts(r, key) for key in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")))
        for r in rules or ()
    )


def breakdown(rule: Rule) -> list[Rule]:
    """One rule as the smallest ones: a single verb, group, resource (and name), or a single verb and URL."""
    out = [
        Rule((verb,), (group,), (resource,), (name,) if name else ())
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        for name in (rule.names or ("",))
    ]
    return out + [Rule((verb,), urls=(url,)) for url in rule.urls for verb in rule.verbs]


def covers(owner: Rule, small: Rule) -> bool:
    """Whether a rule includes a broken-down one; wildcards are only included by wildcards."""
    if not (ALL in owner.verbs or set(small.verbs) <= set(owner.verbs)):
        return False
    if small.urls:
        return all(any(url_covers(o, s) for o in owner.urls) for s in small.urls)
    if owner.urls and not owner.resources:
        return False
    return (
        (ALL in owner.groups or set(small.groups) <= set(owner.groups))
        and all(_resource_covered(owner.resources, r) for r in small.resources)
        and (not owner.names or (bool(small.names) and set(small.names) <= set(owner.names)))
    )


def _resource_covered(owner: Sequence[str], resource: str) -> bool:
    _, slash, sub = resource.partition("/")
    return ALL in owner or resource in owner or (bool(slash) and f"{ALL}/{sub}" in owner)


def uncovered(owner: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of `wanted` the owner does not hold: broken down, duplicates dropped, in order."""
    out: dict[Rule, None] = {}
    for rule in wanted:
        for small in breakdown(rule):
            if not any(covers(o, small) for o in owner):
                out.setdefault(small)
    return list(out)


def compact(small: Iterable[Rule]) -> list[Rule]:
    """Broken-down rules with the verbs of equal targets together again, sorted as upstream prints them."""
    verbs: dict[Rule, list[str]] = {}
    for rule in small:
        target = Rule((), rule.groups, rule.resources, rule.names, rule.urls)
        verbs.setdefault(target, []).extend(v for v in rule.verbs if v not in verbs.get(target, ()))
    merged = [Rule(tuple(v), t.groups, t.resources, t.names, t.urls) for t, v in verbs.items()]
    return sorted(merged, key=str)
