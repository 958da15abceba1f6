"""Webhook configurations as values, and which of them are about a request."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery import selectors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.matching import ANY, Selected
from controlplane.apiserver.admission_request import Operation
from controlplane.apiserver.catalog.catalog import Catalog

GROUP = "admissionregistration.k8s.io"
# What decides about webhooks is not decided by webhooks: a wrong one could never be mended.
EXEMPT = frozenset(
    (
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    )
)


@dataclass(frozen=True)
class Target:
    """Where a webhook listens. service: (namespace, name, port), when url names one by NAME.NAMESPACE.svc; ca: PEM."""

    url: str
    service: tuple[str, str, int] | None = None
    ca: bytes = b""


@dataclass(frozen=True)
class Rule:
    """Operations on resources; "*" is any. A resource is "pods", "pods/status", "pods/*", "*/scale" or "*/*"."""

    operations: tuple[str, ...]
    groups: tuple[str, ...]
    versions: tuple[str, ...]
    resources: tuple[str, ...]
    scope: str = "*"

    def matches(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        within = kind.namespaced
        return (
            (self.scope in ("*", "") or (self.scope == "Namespaced") == within)
            and _named(operation, self.operations)
            and _named(kind.group, self.groups)
            and _named(kind.version, self.versions)
            and any(_is_resource(resource, kind.plural, subresource) for resource in self.resources)
        )


def _named(value: str, listed: tuple[str, ...]) -> bool:
    return "*" in listed or value in listed


def _is_resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, part = pattern.partition("/")
    return resource in ("*", plural) and part in ("*", subresource)


@dataclass(frozen=True)
class Hook:
    """One webhook of a configuration. seconds: its deadline; versions: of AdmissionReview, the preferred one first."""

    configuration: str
    name: str
    index: int
    target: Target
    rules: tuple[Rule, ...]
    selected: Selected = ANY
    equivalent: bool = True
    fails_open: bool = False
    seconds: int = 10
    side_effects: str = "None"
    reinvoked: bool = False
    versions: tuple[str, ...] = ("v1",)
    conditions: tuple[Obj, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        return self.configuration, self.name, self.index


@dataclass(frozen=True)
class Invocation:
    """A hook and the version of the resource that its rule speaks of."""

    hook: Hook
    kind: Kind


def compile_hooks(configuration: Obj) -> tuple[Hook, ...]:
    """The webhooks of a stored configuration, in its order."""
    name = configuration["metadata"]["name"]
    return tuple(_hook(name, index, hook) for index, hook in enumerate(configuration.get("webhooks") or ()))


def _hook(configuration: str, index: int, hook: Obj) -> Hook:
    return Hook(
        configuration=configuration,
        name=hook["name"],
        index=index,
        target=target_of(hook.get("clientConfig") or {}),
        rules=tuple(rule_of(rule) for rule in hook.get("rules") or ()),
        selected=Selected(
            selectors.from_label_selector(hook.get("namespaceSelector") or {}),
            selectors.from_label_selector(hook.get("objectSelector") or {}),
        ),
        equivalent=hook.get("matchPolicy") != "Exact",
        fails_open=hook.get("failurePolicy") == "Ignore",
        seconds=hook.get("timeoutSeconds") or 10,
        side_effects=hook.get("sideEffects") or "Unknown",
        reinvoked=hook.get("reinvocationPolicy") == "IfNeeded",
        versions=tuple(hook.get("admissionReviewVersions") or ()),
        conditions=tuple(hook.get("matchConditions") or ()),
    )


def target_of(config: Obj) -> Target:
    """Where a clientConfig leads; a blank bundle is none."""
    ca = base64.b64decode(config.get("caBundle") or "")
    ca = ca if ca.strip() else b""
    service = config.get("service")
    if service is None:
        return Target(config.get("url") or "", None, ca)
    namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
    path = service.get("path") or "/"
    return Target(f"https://{name}.{namespace}.svc:{port}{path}", (namespace, name, port), ca)


def rule_of(rule: Obj) -> Rule:
    """A stored rule."""
    return Rule(
        operations=tuple(rule.get("operations") or ()),
        groups=tuple(rule.get("apiGroups") or ()),
        versions=tuple(rule.get("apiVersions") or ()),
        resources=tuple(rule.get("resources") or ()),
        scope=rule.get("scope") or "*",
    )


def invocation(
    hook: Hook, kind: Kind, others: Iterable[Kind], subresource: str, operation: Operation
) -> Invocation | None:
    """How a hook is asked about requests of such a kind, if it is; others: the versions that show the same objects."""
    if any(rule.matches(kind, subresource, operation) for rule in hook.rules):
        return Invocation(hook, kind)
    if hook.equivalent:
        for rule in hook.rules:
            for other in others:
                if rule.matches(other, subresource, operation):
                    return Invocation(hook, other)
    return None


class Hooks:
    """All webhooks of one sort by the names of their configurations; follows the registry."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen = catalog.version
        self._configurations: dict[str, tuple[Hook, ...]] = {}
        self._about: dict[tuple[Kind, str, Operation], tuple[Invocation, ...]] = {}

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        """A configuration came, changed or went."""
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            self._configurations.pop(name, None)
        else:
            self._configurations[name] = compile_hooks(new)
        self._about.clear()

    def about(self, kind: Kind, subresource: str, operation: Operation) -> tuple[Invocation, ...]:
        """Whom to ask about such requests, selectors not looked at yet. kind: the version the client speaks."""
        if not self._configurations:
            return ()
        if self._seen != self._catalog.version:
            self._about.clear()
            self._seen = self._catalog.version
        found = self._about.get((kind, subresource, operation))
        if found is None:
            hooks = (hook for name in sorted(self._configurations) for hook in self._configurations[name])
            others = [one for one in self._catalog.kinds() if one.storage == kind.storage and one != kind]
            asked = (invocation(hook, kind, others, subresource, operation) for hook in hooks)
            found = tuple(one for one in asked if one is not None)
            self._about[kind, subresource, operation] = found
        return found
