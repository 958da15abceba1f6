"""Which policies are about a request, with which bindings and parameters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Needs, Plugin
from controlplane.apiserver.admission.policies.definitions import Binding, Definitions, Policy
from controlplane.apiserver.admission.policies.naming import Asked
from controlplane.apiserver.admission.policies.params import Misconfigured, collected, param_kind
from controlplane.apiserver.admission.showing import both
from controlplane.apiserver.admission.webhooks import review
from controlplane.apiserver.admission.webhooks.hooks import EXEMPT, GROUP
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.expressions.evaluating import Naming
from controlplane.apiserver.maintained.keeping import SELF

# Questions about who somebody is and what he may; a policy about them could lock everybody out.
_REVIEWS = frozenset(("authentication.k8s.io", "authorization.k8s.io"))


@dataclass(frozen=True)
class Invocation:
    """A policy that is about a request. kind: in the version that it speaks of. wrong: why it cannot be evaluated."""

    policy: Policy
    binding: Binding | None
    kind: Kind
    params: Obj | None = None
    wrong: str = ""


class PolicyPlugin(Plugin):
    """What the policies of both sorts share."""

    policies: Kind
    bindings: Kind

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._definitions = Definitions()
        needs.registry.subscribe(self.policies, self._definitions.policy_changed)
        needs.registry.subscribe(self.bindings, self._definitions.binding_changed)

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        review_of_access = kind.group in _REVIEWS and "create" in kind.verbs and "list" not in kind.verbs
        return not (kind.group == GROUP and kind.kind in EXEMPT) and not review_of_access

    def _bound(self, admission: Admission) -> list[tuple[Policy, list[Binding]]]:
        # What every cluster has, the server makes itself, whatever its policies say.
        return [] if admission.user is SELF else self._definitions.bound()

    def _asked(self, admission: Admission) -> Asked:
        requested = self.registry.catalog.find(admission.version, admission.kind.kind) or admission.kind
        return Asked(admission, requested, self.needs)

    async def _invocations(self, asked: Asked) -> AsyncIterator[Invocation]:
        """What is evaluated, in order; what it matches is looked at when it is its turn. Raises ApiError."""
        admission, registry = asked.admission, self.registry
        for policy, bindings in self._bound(admission):
            kind = policy.matching.matches(admission, asked.requested, registry)
            if kind is None:
                continue
            try:
                params = param_kind(policy, registry)
            except Misconfigured as error:
                yield Invocation(policy, None, kind, wrong=f"failed to configure policy: {error}")
                continue
            for binding in bindings:
                async for one in self._of_binding(policy, binding, kind, params, asked):
                    yield one

    async def _of_binding(
        self, policy: Policy, binding: Binding, kind: Kind, params: Kind | None, asked: Asked
    ) -> AsyncIterator[Invocation]:
        registry = self.registry
        if binding.matching is not None and not binding.matching.matches(asked.admission, asked.requested, registry):
            return
        try:
            found = await collected(params, binding, review.namespace_of(asked.admission), registry)
        except Misconfigured as error:
            yield Invocation(policy, binding, kind, wrong=f"failed to configure binding: {error}")
            return
        try:
            if found:
                await both(asked.admission, kind, registry.catalog)
        except errors.ApiError as error:
            yield self._unseen(policy, binding, kind, error.message)
            return
        for one in found:
            yield Invocation(policy, binding, kind, one)

    def _unseen(self, policy: Policy, binding: Binding, kind: Kind, why: str) -> Invocation:
        """A policy that speaks of a version in which the object cannot be shown."""
        raise NotImplementedError

    async def _naming(self, one: Invocation, asked: Asked) -> Naming:
        """Raises NotFound for a namespace that is not there, and as both() does."""
        return Naming({**await asked.names(one.kind), "params": one.params}, one.policy.variables)


def refusal(admission: Admission, messages: list[str], message: str, reason: str, code: int) -> errors.ApiError:
    """The error of a denied request. messages: all of them; message: what it says."""
    kind = admission.kind
    forbidden = errors.forbidden(kind.plural, admission.name, message, kind.group)
    details = {**(forbidden.details or {}), "causes": [{"message": text} for text in messages]}
    return errors.ApiError(forbidden.message, reason=reason, details=details, code=code)
