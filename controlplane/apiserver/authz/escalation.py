"""Nobody grants what they do not hold: admission of roles and bindings (RBAC's escalate and bind verbs).

A writer needs every permission of a role it writes or binds, or the verb `escalate` on roles, `bind` on the role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from apimachinery.objects import Obj
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.rbac import GROUP, Policy
from controlplane.apiserver.authz.rules import ALL, Rule, compact, parse, uncovered
from controlplane.apiserver.request import Attributes, User

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), urls=(ALL,)))
_COLLECTORS = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")


class Escalation:
    """The admission step."""

    def __init__(self, policy: Policy, chain: Chain, registry: Registry) -> None:
        self._policy = policy
        self._chain = chain
        self._registry = registry

    def __call__(self, step: Admission) -> None:
        if step.obj is None or step.kind.group != GROUP or MASTERS in step.user.groups:
            return
        if step.kind in (ROLE, CLUSTER_ROLE):
            self._role(step, step.obj)
        elif step.kind in (ROLE_BINDING, CLUSTER_ROLE_BINDING):
            self._binding(step, step.obj)

    def _may(self, step: Admission, verb: str, resource: str, name: str) -> bool:
        wanted = Attributes(
            verb=verb, group=GROUP, version="v1", resource=resource, namespace=step.namespace, name=name
        )
        return self._chain.decide(step.user, wanted).allowed

    def _role(self, step: Admission, new: Obj) -> None:
        if self._may(step, "escalate", step.kind.plural, step.name) or _only_collected(new, step.old):
            return
        self._hold(step, parse(new.get("rules")))
        if (_gathers(new) or _gathers(step.old)) and self._lacks(step, EVERYTHING):
            # Whatever may be gathered one day cannot be compared with anything today.
            text = "must have cluster-admin privileges to use the aggregationRule"
            raise errors.forbidden(step.kind.plural, step.name, text, GROUP)

    def _binding(self, step: Admission, new: Obj) -> None:
        if _only_collected(new, step.old):
            return
        reference = new["roleRef"]
        of_cluster = reference["kind"] == "ClusterRole"
        plural = CLUSTER_ROLE.plural if of_cluster else ROLE.plural
        if self._may(step, "bind", plural, reference["name"]):
            return
        role = self._registry.find(
            CLUSTER_ROLE if of_cluster else ROLE, "" if of_cluster else step.namespace, reference["name"]
        )
        if role is None:
            raise errors.not_found(step.kind.plural, reference["name"], GROUP)
        self._hold(step, parse(role.get("rules")))

    def _lacks(self, step: Admission, wanted: tuple[Rule, ...]) -> bool:
        return bool(uncovered(self._policy.rules_of(step.user, step.namespace)[0], wanted))

    def _hold(self, step: Admission, wanted: tuple[Rule, ...]) -> None:
        held, problems = self._policy.rules_of(step.user, step.namespace)
        missing = uncovered(held, wanted)
        if not missing:
            return
        lines = "\n".join(str(rule) for rule in compact(missing))
        tail = f"; resolution errors: [{', '.join(problems)}]" if problems else ""
        text = f"{_who(step.user)} is attempting to grant RBAC permissions not currently held:\n{lines}{tail}"
        raise errors.forbidden(step.kind.plural, step.name, text, GROUP)


def _gathers(role: Obj | None) -> bool:
    return bool((((role or {}).get("aggregationRule")) or {}).get("clusterRoleSelectors"))


def _only_collected(new: Obj, old: Obj | None) -> bool:
    """Whether a change is of what the garbage collector needs alone: that grants nothing."""
    if old is None:
        return False
    plain = [
        {**each, "metadata": {key: value for key, value in each["metadata"].items() if key not in _COLLECTORS}}
        for each in (new, old)
    ]
    return plain[0] == plain[1]


def _who(user: User) -> str:
    groups = " ".join(f'"{group}"' for group in user.groups)
    return f'user "{user.name}" (groups=[{groups}])'
