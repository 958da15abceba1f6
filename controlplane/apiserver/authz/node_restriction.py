"""Admission NodeRestriction: a kubelet may change its own Node, its own pods and its own lease, and no others'."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from apimachinery import errors, signing
from apimachinery.kinds import (
    CERTIFICATE_SIGNING_REQUEST,
    CSI_NODE,
    LEASE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_SLICE,
    SERVICE_ACCOUNT,
    Kind,
)
from apimachinery.objects import Obj
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import node_name
from controlplane.apiserver.authz import mirrors, node_tokens
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.graph import MIRROR
from controlplane.apiserver.authz.node import LEASES

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

RESTRICTED = "node-restriction.kubernetes.io"
KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    }
)
# What a kubelet may say of a claim after it resized the volume.
GROWTH = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
KUBELET_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
# Certificates by which a kubelet says that it is a node.
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


def _refuse(step: Admission, why: str) -> errors.Forbidden:
    return errors.forbidden(step.kind.plural, step.name, why, step.kind.group)


class NodeRestriction:
    """The admission step; other users pass untouched."""

    def __init__(self, registry: Registry, authorize: Chain) -> None:
        self._registry = registry
        self._authorize = authorize

    def __call__(self, step: Admission) -> None:
        node, is_node = node_name(step.user)
        if not is_node:
            return
        if not node:
            raise _refuse(step, f'could not determine node from user "{step.user.name}"')
        if step.kind is POD:
            self._pod(step, node)
        elif step.kind is NODE:
            _node(step, node)
        elif step.kind is LEASE:
            _lease(step, node)
        elif step.kind is CSI_NODE and step.name != node:
            raise _refuse(step, "can only access CSINode with the same name as the requesting node")
        elif step.kind is PERSISTENT_VOLUME_CLAIM:
            _claim(step, node)
        elif step.kind is SERVICE_ACCOUNT:
            if (step.subresource, step.operation) == ("token", "CREATE"):
                node_tokens.check(self._registry, self._authorize, step, node)
        elif step.kind is RESOURCE_SLICE:
            _slice(step, node)
        elif step.kind is CERTIFICATE_SIGNING_REQUEST and step.operation == "CREATE":
            _certificate(step, node)

    def _pod(self, step: Admission, node: str) -> None:
        if step.subresource == "status":
            _pod_status(step, node)
        elif step.subresource == "eviction":
            self._eviction(step, node)
        elif step.subresource:
            text = f"unexpected pod subresource \"{step.subresource}\", only 'status' and 'eviction' are allowed"
            raise _refuse(step, text)
        elif step.operation == "CREATE":
            self._mirror(step, step.obj or {}, node)
        elif step.operation != "DELETE":
            text = f'unexpected operation "{step.operation}", node "{node}" can only create and delete mirror pods'
            raise _refuse(step, text)
        elif _home(step.old) != node:
            raise _refuse(step, f'node "{node}" can only delete pods with spec.nodeName set to itself')

    def _eviction(self, step: Admission, node: str) -> None:
        pod = self._listed(POD, step.namespace, step.name)
        if pod["spec"].get("nodeName") != node:
            raise _refuse(step, f"node {node} can only evict pods with spec.nodeName set to itself")

    def _listed(self, kind: Kind, namespace: str, name: str) -> Obj:
        """An object that upstream's plugin looks up in a lister, which names what is not there in the singular."""
        found = self._registry.find(kind, namespace, name)
        if found is None:
            raise errors.not_found(kind.kind.lower(), name)
        return found

    def _mirror(self, step: Admission, pod: Obj, node: str) -> None:
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            text = f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            raise _refuse(step, text)
        if pod["spec"].get("nodeName") != node:
            raise _refuse(step, f'node "{node}" can only create pods with spec.nodeName set to itself')
        problem = mirrors.owner_problem(pod, node, self._listed(NODE, "", node)["metadata"]["uid"])
        if problem:
            raise _refuse(step, problem)
        if reference := mirrors.reference_of(pod):
            raise _refuse(step, f'node "{node}" can not create pods that reference {reference}')


def _home(pod: Obj | None) -> str:
    found: str = ((pod or {}).get("spec") or {}).get("nodeName", "")
    return found


def _pod_status(step: Admission, node: str) -> None:
    old, new = step.old or {}, step.obj or {}
    if _home(old) != node:
        text = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        raise _refuse(step, text)
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise _refuse(step, f'node "{node}" cannot update labels through pod status')
    if _claims(new) != _claims(old):
        raise _refuse(step, f'node "{node}" cannot update resource claim statues')
    if _extended(new) != _extended(old):
        raise _refuse(step, f'node "{node}" cannot update extended resource claim status')


def _extended(pod: Obj) -> Obj | None:
    found: Obj | None = (pod.get("status") or {}).get("extendedResourceClaimStatus")
    return found


def _claims(pod: Obj) -> list[tuple[str, str | None]]:
    found = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return [(claim.get("name", ""), claim.get("resourceClaimName")) for claim in found]


def _claim(step: Admission, node: str) -> None:
    """A kubelet tells of a volume that was resized, and changes nothing else of the claim."""
    if step.subresource != "status":
        raise _refuse(step, "may only update PVC status")
    if step.operation != "UPDATE":
        raise _refuse(step, f'unexpected operation "{step.operation}"')
    if _beyond_growth(step.old or {}) != _beyond_growth(step.obj or {}):
        text = f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        raise _refuse(step, text)


def _beyond_growth(claim: Obj) -> Obj:
    """A claim without what a kubelet may change: empty lists and maps are as good as none."""
    metadata = {k: v for k, v in claim["metadata"].items() if v and k not in ("resourceVersion", "managedFields")}
    status = {k: v for k, v in (claim.get("status") or {}).items() if v and k not in GROWTH}
    return {"metadata": metadata, "spec": claim.get("spec"), "status": status}


def _node(step: Admission, node: str) -> None:
    if step.name != node:
        raise _refuse(step, f'node "{node}" is not allowed to modify node "{step.name}"')
    new = step.obj or {}
    if step.operation == "CREATE":
        if (new.get("spec") or {}).get("configSource") is not None:
            raise _refuse(step, f'node "{node}" is not allowed to create pods with a non-nil configSource')
        bad = forbidden_labels(new["metadata"].get("labels") or {})
        if bad:
            raise _refuse(step, f'node "{node}" is not allowed to set the following labels: {", ".join(bad)}')
    elif step.operation == "UPDATE":
        _node_change(step, node, new, step.old or {})


def _node_change(step: Admission, node: str, new: Obj, old: Obj) -> None:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    source = spec.get("configSource")
    if source is not None and source != before.get("configSource"):
        raise _refuse(step, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
    if (spec.get("taints") or []) != (before.get("taints") or []):
        raise _refuse(step, f'node "{node}" is not allowed to modify taints')
    if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
        raise _refuse(step, f'node "{node}" is not allowed to modify ownerReferences')
    labels, held = (side["metadata"].get("labels") or {} for side in (new, old))
    bad = forbidden_labels({key for key in {*labels, *held} if labels.get(key) != held.get(key)})
    if bad:
        raise _refuse(step, f"is not allowed to modify labels: {', '.join(bad)}")


def forbidden_labels(keys: dict[str, str] | set[str]) -> list[str]:
    """Which labels a kubelet may not give itself: those reserved for isolation, and unknown ones of Kubernetes' own."""
    out = []
    for key in keys:
        space = key.partition("/")[0] if "/" in key else ""
        if _within(space, RESTRICTED) or (
            (_within(space, "kubernetes.io") or _within(space, "k8s.io")) and not _kubelet_label(key, space)
        ):
            out.append(key)
    return sorted(out)


def _kubelet_label(key: str, space: str) -> bool:
    return key in KUBELET_LABELS or any(_within(space, allowed) for allowed in KUBELET_NAMESPACES)


def _within(space: str, domain: str) -> bool:
    return space == domain or space.endswith("." + domain)


def _lease(step: Admission, node: str) -> None:
    if step.namespace != LEASES:
        raise _refuse(step, f'can only access leases in the "{LEASES}" system namespace')
    if step.name != node:
        raise _refuse(step, "can only access node lease with the same name as the requesting node")


def _slice(step: Admission, node: str) -> None:
    subject = (step.obj or step.old or {}).get("spec") or {}
    if step.operation in ("CREATE", "DELETE") and subject.get("nodeName") != node:
        verb = "create" if step.operation == "CREATE" else "delete"
        raise _refuse(step, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def _certificate(step: Admission, node: str) -> None:
    """A certificate that makes a node of its holder is for the node that asks."""
    spec = (step.obj or {}).get("spec") or {}
    if spec.get("signerName") not in _NODE_SIGNERS:
        return
    try:
        asked = signing.requested(base64.b64decode(spec.get("request") or ""))
    except ValueError as error:
        raise _refuse(step, f"unable to parse csr: {error}") from None
    if asked.user != f"system:node:{node}":
        raise _refuse(step, f"can only create a node CSR with CN=system:node:{node}")
