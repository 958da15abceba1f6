"""The parameters of a binding. Words: upstream's."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.selectors import from_label_selector
from controlplane.apiserver.admission.policies.definitions import Binding, Policy
from controlplane.apiserver.registry import Registry


class Misconfigured(Exception):
    """A policy or a binding that cannot be evaluated, whatever is written; the text is upstream's."""


def param_kind(policy: Policy, registry: Registry) -> Kind | None:
    """The kind of a policy's parameters; None where it has none. Raises Misconfigured."""
    if policy.param_kind is None:
        return None
    version, name = policy.param_kind
    kind = registry.catalog.find(version, name)
    if kind is None:
        raise Misconfigured(
            f"failed to find resource referenced by paramKind: '{version if '/' in version else '/' + version}, "
            f"Kind={name}'"
        )
    return kind


async def collected(kind: Kind | None, binding: Binding, namespace: str, registry: Registry) -> list[Obj | None]:
    """What a policy is evaluated with, once for each. Raises Misconfigured."""
    reference = binding.params
    if kind is None or reference is None:
        return [None]
    place = ""
    if kind.namespaced:
        place = reference.get("namespace") or namespace
        if not place:
            raise Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif reference.get("namespace"):
        raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    if reference.get("name"):
        one = registry.collection(kind).get(place, reference["name"])
        found = [] if one is None else [one]
    else:
        selector = from_label_selector(reference.get("selector") or {})
        found = [one for one in registry.collection(kind).scan(place) if selector.matches(one.labels)]
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    try:
        shown = await registry.shown(kind, found)
    except errors.ApiError as error:
        # Upstream watches them in this version, and never comes to have them.
        named = f"{kind.group}/{kind.version}, Kind={kind.kind}"
        raise Misconfigured(f"paramKind kind `{named}` not yet synced to use for admission") from error
    return [registry.catalog.convert(one.obj, kind) for one in shown]
