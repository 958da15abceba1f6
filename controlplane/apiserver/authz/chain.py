"""The authorizers in order, and the words of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apimachinery.errors import Forbidden
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.request import Attributes, Decision, User

# None: no opinion. An allowing Decision ends the chain; the reasons of the others are kept for the refusal.
Authorizer = Callable[[User, Attributes], "Decision | None"]


def masters(user: User, wanted: Attributes) -> Decision | None:
    """The group that may do everything, whatever the policies say, so that a broken policy can be mended."""
    return Decision(True) if MASTERS in user.groups else None


@dataclass(frozen=True)
class Chain:
    """Authorizers asked one after the other; allowed when one allows."""

    authorizers: Sequence[Authorizer]

    def decide(self, user: User, wanted: Attributes) -> Decision:
        reasons: list[str] = []
        for authorizer in self.authorizers:
            decision = authorizer(user, wanted)
            if decision is None:
                continue
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))

    async def __call__(self, user: User, wanted: Attributes) -> Decision:
        return self.decide(user, wanted)


def refusal(user: User, wanted: Attributes, reason: str = "") -> Forbidden:
    """The error of a denied request, worded as upstream."""
    tail = f": {reason}" if reason else ""
    if not wanted.is_resource:
        return Forbidden(f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"{tail}', details={})
    resource = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    place = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    deed = f'cannot {wanted.verb} resource "{resource}" in API group "{wanted.group}"'
    what = f'User "{user.name}" {deed} {place}{tail}'
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    named = f' "{wanted.name}"' if wanted.name else ""
    details = {"name": wanted.name, "group": wanted.group, "kind": wanted.resource}
    return Forbidden(
        f"{qualified}{named} is forbidden: {what}",
        details={key: value for key, value in details.items() if value},
    )
