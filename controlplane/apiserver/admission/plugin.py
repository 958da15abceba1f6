"""What an admission plugin is, and what it is built from."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from controlplane.apiserver.admission_request import Admission, Operation

if TYPE_CHECKING:
    from apimachinery.kinds import Kind
    from apimachinery.kit.lifecycle import Lifecycle
    from controlplane.apiserver.authz.chain import Chain as Authorizer
    from controlplane.apiserver.authz.rbac import Policy
    from controlplane.apiserver.registry import Registry
    from controlplane.apiserver.settings import Settings

# Something to wait for, or nothing: a plugin that needs no waiting costs a call and no more.
Wait = Awaitable[None] | None


@dataclass(frozen=True)
class Needs:
    """What plugins are built from. authorize answers what a user may do; policy is the RBAC index behind it."""

    registry: Registry
    settings: Settings
    authorize: Authorizer
    policy: Policy
    lifecycle: Lifecycle


class Plugin:
    """One admission plugin under its upstream name.

    admit may change admission.obj in place, validate sees it complete; either may raise an ApiError, and returns
    something to wait for when it has to wait. A plugin overrides what it does; the chain never calls the rest. It is
    asked once for each (kind, subresource, operation) whether those concern it.
    """

    name: ClassVar[str]

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.registry = needs.registry

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        raise NotImplementedError

    def admit(self, admission: Admission) -> Wait:
        return None

    def validate(self, admission: Admission) -> Wait:
        return None
