"""What a mirror pod may be: a kubelet makes them itself, so each is a way to claim what the kubelet may not have.

Upstream's NodeRestriction plugin and its `HasAPIObjectReference`. Pure.
"""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver.authz.graph import ACCOUNT, CLAIM, CONFIG_MAP, DEVICES, SECRET, needed

# In the order in which upstream looks, and as it names them.
_KINDS = (ACCOUNT, SECRET, CONFIG_MAP, DEVICES)
_VOLUMES = {
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": CLAIM,
    "ephemeral": f"{CLAIM} (via ephemeral volumes)",
}
_PROJECTED = {
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def owner_problem(pod: Obj, node: str, uid: str) -> str:
    """What is wrong with a mirror pod's owner, which must be its Node alone; "" for nothing."""
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    if not owner.get("controller"):
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owner.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if owner.get("uid") != uid:
        return f"node {node} UID mismatch: expected {owner.get('uid', '')} got {uid}"
    return ""


def reference_of(pod: Obj) -> str:
    """The resource of an API object that a pod needs, as upstream calls it; "" when it needs none."""
    named = {kind for kind, _, _ in needed(pod)}
    for kind in _KINDS:
        if kind in named:
            return kind
    if pod["spec"].get("resourceClaims"):
        return DEVICES
    for volume in pod["spec"].get("volumes") or ():
        for key, text in _VOLUMES.items():
            if key in volume:
                return text
        for source in (volume.get("projected") or {}).get("sources") or ():
            for key, text in _PROJECTED.items():
                if key in source:
                    return text
    return ""
