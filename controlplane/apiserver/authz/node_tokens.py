"""Tokens that a node asks for: for its own pods alone, and for audiences that those name.

Upstream's NodeRestriction plugin (its part about serviceaccounts/token).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import CSI_DRIVER, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from apimachinery.objects import Obj, namespace
from apimachinery.volumes import claims
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.request import Attributes

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

_VERB = "request-serviceaccounts-token-audience"


def check(registry: Registry, authorize: Chain, step: Admission, node: str) -> None:
    """step: the creation of a token. Raises Forbidden; NotFound when the pod is gone."""
    spec = (step.obj or {}).get("spec") or {}
    reference = spec.get("boundObjectRef") or {}
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
        raise _refuse(step, "node requested token not bound to a pod")
    if not reference.get("uid"):
        raise _refuse(step, "node requested token with a pod binding without a uid")
    pod = registry.get(POD, step.namespace, reference["name"])
    if reference["uid"] != pod["metadata"]["uid"]:
        text = (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise _refuse(step, text)
    if pod["spec"].get("nodeName") != node:
        raise _refuse(step, "node requested token bound to a pod scheduled on a different node")
    audiences = spec.get("audiences") or [""]
    if len(audiences) > 1:
        raise _refuse(step, "node may only request 0 or 1 audiences")
    wanted = Attributes(verb=_VERB, version="v1", resource=audiences[0], namespace=step.namespace, name=step.name)
    if audiences[0] not in _audiences(registry, pod) and not authorize.decide(step.user, wanted).allowed:
        text = (
            f'audience "{audiences[0]}" not found in pod spec volume, '
            f"{step.user.name} is not authorized to request tokens for this audience"
        )
        raise _refuse(step, text)


def _refuse(step: Admission, why: str) -> errors.Forbidden:
    return errors.forbidden(step.kind.plural, step.name, why, step.kind.group)


def _audiences(registry: Registry, pod: Obj) -> Iterator[str]:
    """What the pod's volumes want tokens for; a projection without an audience is for the API server, ""."""
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"].get("audience") or ""
    for name in _drivers(registry, pod):
        driver = registry.find(CSI_DRIVER, "", name)
        for token in ((driver or {}).get("spec") or {}).get("tokenRequests") or ():
            yield token.get("audience") or ""


def _drivers(registry: Registry, pod: Obj) -> Iterator[str]:
    """The CSI drivers behind a pod's volumes, "" where there is none."""
    for volume in pod["spec"].get("volumes") or ():
        yield (volume.get("csi") or {}).get("driver") or ""
    for use in claims.uses(pod):
        claim = registry.find(PERSISTENT_VOLUME_CLAIM, namespace(pod), use.claim)
        bound = registry.find(PERSISTENT_VOLUME, "", ((claim or {}).get("spec") or {}).get("volumeName") or "")
        yield (((bound or {}).get("spec") or {}).get("csi") or {}).get("driver") or ""
