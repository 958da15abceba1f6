"""The node authorizer: what a kubelet may read and write, by what its pods need (as upstream's node authorization).

Writes are granted broadly here and narrowed to the node's own objects by `node_restriction`, as upstream splits it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery.selectors import SelectorError, parse_fields
from controlplane.apiserver.authn.user import node_name
from controlplane.apiserver.authz.graph import (
    ACCOUNT,
    ATTACHMENT,
    CLAIM,
    CONFIG_MAP,
    DEVICES,
    POD,
    SECRET,
    SLICE,
    VOLUME,
    Graph,
)
from controlplane.apiserver.authz.rules import Rule
from controlplane.apiserver.request import Attributes, Decision, User

LEASES = "kube-node-lease"
READS = ("get", "list", "watch")
OWN_VERBS = ("get", "create", "update", "patch", "delete")
ALLOW = Decision(True)


def _no(reason: str = "") -> Decision:
    return Decision(False, reason)


class NodeAuthorizer:
    """`rules` are the ClusterRole system:node's: they hold for everything that is not divided up by object here."""

    def __init__(self, graph: Graph, rules: Sequence[Rule]) -> None:
        self._graph = graph
        self._rules = rules
        self._by_resource: dict[tuple[str, str], Callable[[str, Attributes], Decision]] = {
            ("", "secrets"): lambda node, wanted: self._readable(node, SECRET, wanted),
            ("", "configmaps"): lambda node, wanted: self._readable(node, CONFIG_MAP, wanted),
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): lambda node, wanted: self._single(node, VOLUME, wanted),
            ("resource.k8s.io", "resourceclaims"): lambda node, wanted: self._single(node, DEVICES, wanted),
            ("storage.k8s.io", "volumeattachments"): lambda node, wanted: self._single(node, ATTACHMENT, wanted),
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    def decide(self, user: User, wanted: Attributes) -> Decision | None:
        """None for users that are no nodes."""
        node, is_node = node_name(user)
        if not is_node:
            return None
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        special = self._by_resource.get((wanted.group, wanted.resource)) if wanted.is_resource else None
        if special is not None:
            return special(node, wanted)
        return ALLOW if any(rule.allows(wanted) for rule in self._rules) else _no()

    def _related(self, node: str, kind: str, wanted: Attributes) -> Decision:
        if not wanted.name:
            return _no("No Object name found")
        if self._graph.reaches(node, kind, wanted.namespace, wanted.name):
            return ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    def _readable(self, node: str, kind: str, wanted: Attributes) -> Decision:
        if wanted.verb not in READS:
            return _no("can only read resources of this type")
        if wanted.subresource:
            return _no("cannot read subresource")
        if not wanted.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, kind, wanted)

    def _single(self, node: str, kind: str, wanted: Attributes) -> Decision:
        if wanted.verb != "get":
            return _no("can only get individual resources of this type")
        if wanted.subresource:
            return _no("cannot get subresource")
        return self._related(node, kind, wanted)

    def _claim(self, node: str, wanted: Attributes) -> Decision:
        if wanted.subresource != "status":
            return self._single(node, CLAIM, wanted)
        if wanted.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(node, CLAIM, wanted)

    def _account(self, node: str, wanted: Attributes) -> Decision:
        if wanted.verb == "get" and not wanted.subresource:
            return self._readable(node, ACCOUNT, wanted)
        if wanted.verb != "create" or not wanted.name:
            return _no("can only create tokens for individual service accounts")
        if wanted.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, ACCOUNT, wanted)

    def _slice(self, node: str, wanted: Attributes) -> Decision:
        if wanted.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if wanted.verb == "create":
            return ALLOW
        if wanted.verb in ("get", "update", "patch", "delete"):
            return self._related(node, SLICE, wanted)
        if wanted.verb in ("list", "watch", "deletecollection"):
            if selects(wanted.field_selector, "spec.nodeName", node):
                return ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        verbs = "get, watch, list, create, update, patch, delete, deletecollection"
        return _no(f"only the following verbs are allowed for a ResourceSlice: {verbs}")

    def _pod(self, node: str, wanted: Attributes) -> Decision:
        verb, sub = wanted.verb, wanted.subresource
        if not sub and verb == "get":
            return self._single(node, POD, wanted)
        if not sub and verb in ("list", "watch"):
            if selects(wanted.field_selector, "spec.nodeName", node):
                return ALLOW
            if wanted.name:
                return self._related(node, POD, wanted)
            return _no("can only list/watch pods with spec.nodeName field selector")
        granted = {"": ("create", "delete"), "status": ("update", "patch"), "eviction": ("create",)}
        return ALLOW if verb in granted.get(sub, ()) else _no()


def selects(selector: str, path: str, value: str) -> bool:
    """Whether a field selector pins one field to one value."""
    if not selector:
        return False
    try:
        found = parse_fields(selector).requirements
    except SelectorError:
        return False
    return any((r.path, r.value) == (path, value) and r.operator == "=" for r in found)


def _node(node: str, wanted: Attributes) -> Decision:
    if not wanted.subresource:
        if wanted.verb in ("create", "update", "patch"):
            return ALLOW
        if wanted.verb in READS:
            if wanted.name == node:
                return ALLOW
            which = f"'{wanted.name}'" if wanted.name else "all nodes"
            return _no(f"node '{node}' cannot read {which}, only its own Node object")
    if wanted.subresource == "status" and wanted.verb in ("update", "patch"):
        return ALLOW
    return _no()


def _lease(node: str, wanted: Attributes) -> Decision:
    where = "" if wanted.namespace == LEASES else f'can only access leases in the "{LEASES}" system namespace'
    return _own(node, wanted, "a node lease", "node lease", where)


def _csi_node(node: str, wanted: Attributes) -> Decision:
    what = "cannot authorize CSINode subresources" if wanted.subresource else ""
    return _own(node, wanted, "a CSINode", "CSINode", what)


def _own(node: str, wanted: Attributes, one: str, kind: str, wrong: str) -> Decision:
    """wrong: what else is to be refused of the request, after its verb."""
    if wanted.verb not in OWN_VERBS:
        return _no(f"can only get, create, update, patch, or delete {one}")
    if wrong:
        return _no(wrong)
    if wanted.verb != "create" and wanted.name != node:
        return _no(f"can only access {kind} with the same name as the requesting node")
    return ALLOW
