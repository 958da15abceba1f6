"""What each part of a lab may do and may not: its user, through the real authorizers, with the default policy and the
lab's own.
"""

from __future__ import annotations

import stat
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from apimachinery import kubeconfig
from apimachinery.kinds import CLUSTER_ROLE, ROLE
from controlplane.apiserver.authn.user import service_account_groups, service_account_name
from controlplane.apiserver.authz import default_policy
from controlplane.apiserver.authz.chain import Chain, masters
from controlplane.apiserver.authz.graph import Graph
from controlplane.apiserver.authz.node import NodeAuthorizer
from controlplane.apiserver.authz.rbac import Policy
from controlplane.apiserver.request import Attributes, User
from lab import certificates
from lab.certificates import ADMIN, CONTROLLERS, IDENTITIES, LAB, POLICY, PROXY, SCHEDULER, Authority, Identity
from lab.paths import Paths
from lab.spec import Node, Spec

NODE = certificates.node_identity(Node("n1", 1))
POD_HERE = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"nodeName": "n1", "volumes": [{"name": "v", "secret": {"secretName": "mine"}}]},
}


@cache
def chain() -> Chain:
    policy, graph = Policy(), Graph()
    own = default_policy.parse_policy(POLICY.read_text(), {})
    for kind, obj in (*default_policy.objects(), *own):
        (policy.role_changed if kind in (ROLE, CLUSTER_ROLE) else policy.binding_changed)(None, obj)
    graph.pod_changed(None, POD_HERE)
    node = NodeAuthorizer(graph, default_policy.rules_of("system:node"))
    return Chain((masters, node.decide, policy.decide))


def of(identity: Identity) -> User:
    return User(identity.user, groups=(*identity.groups, "system:authenticated"))


def loop(account: str) -> User:
    groups = (*service_account_groups("kube-system"), "system:authenticated")
    return User(service_account_name("kube-system", account), groups=groups)


def may(user: User, question: str) -> bool:
    """`verb resource[/subresource][.group] [namespace/[name]]`, or `verb /path`; a name alone is of the cluster."""
    verb, what, *where = question.split()
    if what.startswith("/"):
        return chain().decide(user, Attributes(verb, path=what)).allowed
    full, _, group = what.partition(".")
    resource, _, sub = full.partition("/")
    space, _, name = where[0].rpartition("/") if where else ("", "", "")
    return chain().decide(user, Attributes(verb, group, "v1", resource, sub, space, name)).allowed


KUBELET_CLIENT = User("kube-apiserver-kubelet-client", groups=("system:authenticated",))
CASES = {
    "scheduler": (
        of(SCHEDULER),
        "watch pods|create pods/binding ns/p|patch pods/status ns/p|delete pods ns/p|list nodes|create events ns/"
        "|update leases.coordination.k8s.io kube-system/kube-scheduler|get /readyz",
        "create pods ns/|patch nodes n1|get secrets ns/s|list secrets|create deployments.apps ns/"
        "|update leases.coordination.k8s.io kube-node-lease/n1|create serviceaccounts/token ns/a",
    ),
    "controllers, the process": (
        of(CONTROLLERS),
        "list pods|watch leases.coordination.k8s.io|list secrets|create serviceaccounts kube-system/"
        "|create serviceaccounts/token kube-system/a"
        "|update leases.coordination.k8s.io kube-system/kube-controller-manager",
        "create pods ns/|delete pods ns/p|patch nodes n1|update deployments.apps ns/d"
        "|create clusterroles.rbac.authorization.k8s.io|delete namespaces ns"
        "|update leases.coordination.k8s.io kube-node-lease/n1|get nodes n1",
    ),
    "proxy, and the pod network": (
        of(PROXY),
        "list services|watch endpointslices.discovery.k8s.io|get nodes n1|watch nodes|create events default/"
        "|list pods|watch namespaces|watch networkpolicies.networking.k8s.io",
        "get pods ns/p|delete pods ns/p|list secrets|get configmaps ns/c|patch nodes n1|update services ns/s"
        "|delete nodes n1",
    ),
    "agent of n1": (
        of(NODE),
        "get nodes n1|patch nodes/status n1|patch pods/status ns/p|get secrets ns/mine|list services"
        "|create pods/eviction ns/p|update leases.coordination.k8s.io kube-node-lease/n1"
        "|create subjectaccessreviews.authorization.k8s.io|create tokenreviews.authentication.k8s.io",
        "get nodes n2|list nodes|get secrets ns/other|list secrets|list pods|delete nodes n1"
        "|create deployments.apps ns/|update leases.coordination.k8s.io kube-node-lease/n2|create pods/binding ns/p"
        "|list endpointslices.discovery.k8s.io",
    ),
    "the lab's commands": (
        of(LAB),
        "list nodes|watch nodes|delete nodes n1|get /readyz|create services kube-system/"
        "|create endpointslices.discovery.k8s.io kube-system/",
        "list pods|create nodes|patch nodes n1|get secrets ns/s|list services|create pods ns/|create services ns/"
        "|update services kube-system/kube-dns|create endpointslices.discovery.k8s.io ns/",
    ),
    "the API server towards agents": (
        KUBELET_CLIENT,
        "get nodes/proxy n1|create nodes/proxy n1|get nodes/log n1|get nodes/stats n1|get nodes/metrics n1"
        "|get nodes/pods n1",
        "get pods ns/p|list secrets|patch nodes n1|delete nodes n1|create pods ns/",
    ),
    "administrator": (
        of(ADMIN),
        "delete namespaces ns|get secrets ns/s|escalate clusterroles.rbac.authorization.k8s.io r"
        "|impersonate users alice|get nodes/proxy n1|get /metrics",
        "",
    ),
    "deployment-controller": (
        loop("deployment-controller"),
        "update deployments.apps ns/d|update deployments/status.apps ns/d|create replicasets.apps ns/"
        "|create events ns/",
        "create pods ns/|delete pods ns/p|patch nodes n1|get secrets ns/s|patch deployments.apps ns/d",
    ),
    "replicaset-controller": (
        loop("replicaset-controller"),
        "create pods ns/|delete pods ns/p|patch pods ns/p|list pods ns/|update replicasets/status.apps ns/r",
        "get pods ns/p|create replicasets.apps ns/|update deployments.apps ns/d|get secrets ns/s|patch nodes n1",
    ),
    "daemon-set-controller": (
        loop("daemon-set-controller"),
        "create pods ns/|update daemonsets/status.apps ns/d|create controllerrevisions.apps ns/|list nodes",
        "get pods ns/p|patch nodes n1|get secrets ns/s|update daemonsets.apps ns/d",
    ),
    "endpointslice-controller": (
        loop("endpointslice-controller"),
        "create endpointslices.discovery.k8s.io ns/|delete endpointslices.discovery.k8s.io ns/e|get services ns/s",
        "update services ns/s|create pods ns/|get secrets ns/s",
    ),
    "node-controller": (
        loop("node-controller"),
        "patch nodes n1|patch nodes/status n1|patch pods/status ns/p|delete pods ns/p|get /readyz",
        "get secrets ns/s|create pods ns/|get namespaces kube-node-lease|create nodes",
    ),
    "pod-garbage-collector": (
        loop("pod-garbage-collector"),
        "delete pods ns/p|patch pods/status ns/p|get nodes n1",
        "create pods ns/|delete nodes n1|get secrets ns/s",
    ),
    "generic-garbage-collector": (
        loop("generic-garbage-collector"),
        "get deployments.apps ns/d|patch pods ns/p|delete widgets.example.com ns/w",
        "create pods ns/|create clusterrolebindings.rbac.authorization.k8s.io|deletecollection pods ns/",
    ),
    "namespace-controller": (
        loop("namespace-controller"),
        "update namespaces/finalize ns|update namespaces/status ns|deletecollection pods ns/|list secrets ns/",
        "create namespaces|create pods ns/|patch nodes n1|update secrets ns/s",
    ),
    "service-account-controller": (
        loop("service-account-controller"),
        "create serviceaccounts ns/",
        "create serviceaccounts/token ns/a|get secrets ns/s|update serviceaccounts ns/a|create configmaps ns/",
    ),
    "root-ca-cert-publisher": (
        loop("root-ca-cert-publisher"),
        "create configmaps ns/|update configmaps ns/c",
        "get secrets ns/s|delete configmaps ns/c|create pods ns/",
    ),
    "clusterrole-aggregation-controller": (
        loop("clusterrole-aggregation-controller"),
        "update clusterroles.rbac.authorization.k8s.io r|escalate clusterroles.rbac.authorization.k8s.io r",
        "create clusterrolebindings.rbac.authorization.k8s.io|get secrets ns/s"
        "|bind clusterroles.rbac.authorization.k8s.io r",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_identity(case: str) -> None:
    user, allowed, denied = CASES[case]
    assert [q for q in allowed.split("|") if q and not may(user, q)] == [], "must be allowed"
    assert [q for q in denied.split("|") if q and may(user, q)] == [], "must be denied"


def test_nobody_is_above_the_policy(tmp_path: Path) -> None:
    authority = _authority(tmp_path)
    files = [authority.kubeconfig(identity) for identity in IDENTITIES]
    files += [authority.admin(), authority.kubeconfig(NODE)]
    shown = [kubeconfig.load(file).cert for file in files]
    shown += [path.read_bytes() for path in (authority.kubelet_client()[0], authority.agent(Node("n1", 1))[0])]
    groups = [
        attribute.value
        for pem in shown
        if pem is not None
        for attribute in x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ]
    assert sorted(set(groups)) == ["kubeadm:cluster-admins", "system:nodes"]


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    authority = _authority(tmp_path)
    authority.server()
    authority.kubelet_client()
    authority.agent(Node("n1", 1))
    authority.service_account_key()
    for identity in (*IDENTITIES, NODE):
        authority.kubeconfig(identity)
    authority.admin()
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 15
    open_to_others = [p.name for p in files if stat.S_IMODE(p.stat().st_mode) & 0o077]
    assert sorted(open_to_others) == ["apiserver-kubelet-client.crt", "apiserver.crt", "ca.crt", "n1-serving.crt"]


def _authority(root: Path) -> Authority:
    paths = Paths("t", root)
    for directory in (paths.pki, paths.settings):
        directory.mkdir(parents=True)
    spec = Spec("t", (Node("n1", 1),), "nftables", "10.244.0.0/16", "10.96.0.0/16", "10.89.0.0/24")
    return Authority(paths, spec)


@pytest.mark.parametrize("damage", [b"", b"\xa2\xe6", b"a: [", b"clusters: []"])
def test_a_damaged_kubeconfig_is_made_anew_and_another_is_kept(tmp_path: Path, damage: bytes) -> None:
    authority = _authority(tmp_path)
    path = authority.admin()
    whole = path.read_bytes()
    assert authority.admin().read_bytes() == whole
    path.write_bytes(damage)
    assert kubeconfig.load(authority.admin()).server == kubeconfig.load(authority.kubeconfig(LAB)).server
