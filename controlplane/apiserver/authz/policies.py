"""Who may make a policy's parameters count: somebody who may read them.

Else a policy with messages of its own would tell its author what he may not see. Words: upstream's.
"""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import (
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
)
from apimachinery.objects import Obj
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Attributes, User

POLICIES = (VALIDATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY)
BINDINGS = (VALIDATING_ADMISSION_POLICY_BINDING, MUTATING_ADMISSION_POLICY_BINDING)
_OF_BINDING = dict(zip(BINDINGS, POLICIES, strict=True))


def check_parameters(registry: Registry, chain: Chain, step: Admission) -> None:
    """A policy or a binding that is written. Raises Invalid."""
    if MASTERS in step.user.groups:
        return
    new, old = ((obj or {}).get("spec") or {} for obj in (step.obj, step.old))
    if step.kind in POLICIES:
        field, wrong = "paramKind", _of_kind(registry, chain, step.user, new, old)
    else:
        field, wrong = "paramRef", _of_reference(registry, chain, step, new, old)
    if wrong:
        problem = errors.field_forbidden(f"spec.{field}", wrong)
        raise errors.invalid_object(step.kind.kind, step.name, [problem], step.kind.group)


def _of_kind(registry: Registry, chain: Chain, user: User, new: Obj, old: Obj) -> str:
    kind = new.get("paramKind")
    if kind is None or kind == old.get("paramKind"):
        return ""
    group, version, resource, _ = _resource(registry, kind)
    wanted = Attributes("get", group, version, resource, namespace="*", name="*")
    if chain.decide(user, wanted).allowed:
        return ""
    return (
        f'user {_shown(user)} must have "get" permission on all objects of the referenced paramKind '
        f"(kind={kind['kind']}, apiVersion={kind['apiVersion']})"
    )


def _of_reference(registry: Registry, chain: Chain, step: Admission, new: Obj, old: Obj) -> str:
    reference, name = new.get("paramRef"), new.get("policyName") or ""
    if reference is None or (reference == old.get("paramRef") and name == old.get("policyName")):
        return ""
    policy = registry.find(_OF_BINDING[step.kind], "", name)
    kind = (policy or {}).get("spec", {}).get("paramKind")
    group, version, resource, found = _resource(registry, kind) if kind is not None else ("*", "*", "*", True)
    verb = "get" if reference.get("name") else "list"
    wanted = Attributes(
        verb, group, version, resource, namespace=reference.get("namespace") or "", name=reference.get("name") or ""
    )
    if chain.decide(step.user, wanted).allowed:
        return ""
    user = _shown(step.user)
    lacks = f'user {user} does not have "{verb}" permission'
    everything = f"to determine minimum required permissions and {lacks} for all groups, versions and resources"
    if policy is None:
        return f"unable to get policy {name} {everything}"
    if not found:
        shown = f"&ParamKind{{APIVersion:{kind['apiVersion']},Kind:{kind['kind']},}}"
        return f"unable to resolve paramKind {shown} {everything}"
    return f"{lacks} on the object referenced by paramRef"


def _resource(registry: Registry, kind: Obj) -> tuple[str, str, str, bool]:
    """(group, version, resource, whether it is served)"""
    group, slash, version = kind["apiVersion"].partition("/")
    if not slash:
        group, version = "", group
    found = registry.catalog.find(kind["apiVersion"], kind["kind"])
    return group, version, found.plural if found is not None else "*", found is not None


def _shown(user: User) -> str:
    """A user as upstream's messages show one."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
