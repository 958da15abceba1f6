"""Which handler serves which subresource: the table the pipeline is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery.kinds import BINDING, COMPONENT_STATUS, POD, SELF_SUBJECT_REVIEW, SERVICE_ACCOUNT, TOKEN_REVIEW
from controlplane.apiserver.authn.reviews import IdentityReviews
from controlplane.apiserver.patching import Patcher
from controlplane.apiserver.request import Handler
from controlplane.apiserver.subresources.binding import Bindings
from controlplane.apiserver.subresources.components import Components
from controlplane.apiserver.subresources.eviction import Evictions
from controlplane.apiserver.subresources.part import PARTS, PartHandlers
from controlplane.apiserver.subresources.scale import Scales
from controlplane.apiserver.subresources.token import Tokens

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

Key = tuple[str, str, str]


def table(registry: Registry, patcher: Patcher, tokens: Tokens | None, identity: IdentityReviews) -> dict[Key, Handler]:
    """(resource, subresource, verb) -> handler; resource "*" is any that has the subresource.

    Without a signing key no tokens are issued.
    """
    bindings, evictions = Bindings(registry), Evictions(registry)
    out: dict[Key, Handler] = {
        (POD.resource, "binding", "create"): bindings.of_pod,
        (BINDING.resource, "", "create"): bindings.collection,
        (POD.resource, "eviction", "create"): evictions.create,
        (TOKEN_REVIEW.resource, "", "create"): identity.token,
        (SELF_SUBJECT_REVIEW.resource, "", "create"): identity.self_subject,
    }
    if tokens is not None:
        out[(SERVICE_ACCOUNT.resource, "token", "create")] = tokens.create
    components = Components(registry)
    out |= {
        (COMPONENT_STATUS.resource, "", "get"): components.get,
        (COMPONENT_STATUS.resource, "", "list"): components.list,
    }
    out |= _reads_and_writes("*", "scale", Scales(registry, patcher))
    for part in PARTS:
        out |= _reads_and_writes(part.kind.resource, part.name, PartHandlers(registry, patcher, part))
    return out


def _reads_and_writes(resource: str, name: str, handlers: Scales | PartHandlers) -> dict[Key, Handler]:
    return {
        (resource, name, "get"): handlers.get,
        (resource, name, "update"): handlers.update,
        (resource, name, "patch"): handlers.patch,
    }
