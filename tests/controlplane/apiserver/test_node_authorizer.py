from dataclasses import replace
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.kinds import (
    CERTIFICATE_SIGNING_REQUEST,
    CLUSTER_ROLE,
    CSI_DRIVER,
    LEASE,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
)
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authz import node_restriction, reviews, signing
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.escalation import Escalation
from controlplane.apiserver.authz.graph import Graph
from controlplane.apiserver.authz.node import NodeAuthorizer, selects
from controlplane.apiserver.authz.rbac import Policy
from controlplane.apiserver.authz.rules import Rule
from controlplane.apiserver.request import Attributes, Decision, User
from tests.controlplane.apiserver import server
from tests.controlplane.apiserver.test_signing_requests import pem

NODE_1 = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


def pod(name="p", node="n1", **spec):
    return {"metadata": {"name": name, "namespace": "ns", "uid": "u"}, "spec": {"nodeName": node, **spec}}


def needs(secret="s", config="c"):
    return {
        "serviceAccountName": "robot",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "secret": {"secretName": secret}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": config}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "e", "ephemeral": {}},
        ],
        "containers": [{"name": "x", "env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}]}],
    }


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def may(graph):
    authorizer = NodeAuthorizer(graph, (Rule(("list",), ("",), ("services",)),))

    def ask(verb, resource, name="", group="", namespace="ns", user=NODE_1, fields=""):
        resource, _, sub = resource.partition("/")
        wanted = Attributes(verb, group, "v1", resource, sub, namespace, name, field_selector=fields)
        return authorizer.decide(user, wanted)

    return ask


def test_node_reads_what_its_pods_need_while_they_run(graph, may):
    assert may("get", "secrets", "s").reason == "no relationship found between node 'n1' and this object"
    one, two = pod("one", **needs()), pod("two", **needs())
    graph.pod_changed(None, one)
    graph.pod_changed(None, two)
    for resource, name in (
        ("secrets", "s"), ("secrets", "env"), ("secrets", "pull"), ("configmaps", "c"),
        ("persistentvolumeclaims", "claim"), ("persistentvolumeclaims", "one-e"), ("serviceaccounts", "robot"),
        ("pods", "one"),
    ):  # fmt: skip
        assert may("get", resource, name).allowed, (resource, name)
    assert may("create", "serviceaccounts/token", "robot").allowed
    assert not may("get", "secrets", "s", namespace="other").allowed
    assert not may("get", "secrets", "s", user=User("system:node:n2", groups=("system:nodes",))).allowed
    graph.pod_changed(one, None)
    assert may("get", "secrets", "s").allowed, "the second pod still needs it"
    graph.pod_changed(two, pod("two", **needs(secret="other")))
    assert not may("get", "secrets", "s").allowed
    graph.pod_changed(pod("two", **needs(secret="other")), None)
    assert not may("get", "configmaps", "c").allowed


@pytest.mark.parametrize(
    "status",
    [
        {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "made"}]},
        {"extendedResourceClaimStatus": {"resourceClaimName": "made", "requestMappings": []}},
    ],
)
def test_what_a_pod_s_status_adds_is_seen_and_taken_back(graph, may, status):
    before = pod("p", resourceClaims=[{"name": "a", "resourceClaimTemplateName": "t"}], **needs())
    after = {**before, "status": status}
    graph.pod_changed(None, before)
    graph.pod_changed(before, {**before, "status": {"phase": "Running"}})
    assert may("get", "secrets", "s").allowed and not may("get", "resourceclaims", "made", "resource.k8s.io").allowed
    graph.pod_changed(before, after)
    assert may("get", "resourceclaims", "made", "resource.k8s.io").allowed
    graph.pod_changed(after, before)
    graph.pod_changed(before, None)
    assert not graph._reached


def test_mirror_pods_give_no_rights(graph, may):
    mirrored = pod("m", **needs())
    mirrored["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    graph.pod_changed(None, mirrored)
    assert may("get", "pods", "m").allowed
    assert not may("get", "secrets", "s").allowed


def test_volumes_are_reached_through_claims(graph, may):
    volume = {
        "metadata": {"name": "pv"},
        "spec": {
            "claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {"nodePublishSecretRef": {"namespace": "kube-system", "name": "csi"}},
        },
    }
    graph.volume_changed(None, volume)
    assert not may("get", "persistentvolumes", "pv", namespace="").allowed
    graph.pod_changed(None, pod(**needs()))
    assert may("get", "persistentvolumes", "pv", namespace="").allowed
    assert may("get", "secrets", "csi", namespace="kube-system").allowed
    graph.volume_changed(volume, None)
    assert not may("get", "persistentvolumes", "pv", namespace="").allowed


def test_lists_need_a_selector(may):
    assert may("list", "pods").reason == "can only list/watch pods with spec.nodeName field selector"
    assert may("watch", "pods", fields="spec.nodeName=n1").allowed
    assert not may("list", "pods", fields="spec.nodeName=n2").allowed
    assert not may("list", "pods", fields="spec.nodeName!=n1").allowed
    assert may("list", "secrets").reason == "No Object name found"
    assert may("list", "services").allowed
    assert selects("a=b,spec.nodeName=n1", "spec.nodeName", "n1") and not selects("", "spec.nodeName", "n1")


def test_nodes_and_leases_are_its_own(may):
    assert may("get", "nodes", "n1", namespace="").allowed
    assert may("patch", "nodes/status", "n1", namespace="").allowed
    assert may("get", "nodes", "n2", namespace="").reason == "node 'n1' cannot read 'n2', only its own Node object"
    assert may("list", "nodes", namespace="").reason == "node 'n1' cannot read all nodes, only its own Node object"
    lease = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
    assert may("update", "leases", "n1", **lease).allowed and may("create", "leases", **lease).allowed
    assert not may("get", "leases", "n2", **lease).allowed
    assert "kube-node-lease" in may("create", "leases", group="coordination.k8s.io").reason
    for resource, group, what in (
        ("leases", "coordination.k8s.io", "a node lease"),
        ("csinodes/status", "storage.k8s.io", "a CSINode"),
    ):
        reason = may("list", resource, group=group).reason
        assert reason == f"can only get, create, update, patch, or delete {what}"
    assert may("get", "csinodes/status", "n1", "storage.k8s.io").reason == "cannot authorize CSINode subresources"
    assert may("create", "serviceaccounts", "a").reason == "can only create token subresource of serviceaccount"
    individual = "can only create tokens for individual service accounts"
    assert may("create", "serviceaccounts").reason == may("update", "serviceaccounts/token", "a").reason == individual


def test_only_whole_identities_are_nodes(may):
    assert may("get", "nodes", "n1", user=User("system:node:n1")) is None
    assert may("get", "nodes", "n1", user=User("n1", groups=("system:nodes",))) is None
    assert may("get", "nodes", user=User("system:node:", groups=("system:nodes",))).reason.startswith("unknown node")


class _Objects:
    """As much of a registry as is asked for here."""

    def __init__(self, *objects):
        self.objects = objects

    def find(self, kind, namespace, name):
        return next((o for k, o in self.objects if k is kind and o["metadata"]["name"] == name), None)

    get = find


def holding(*objects) -> Any:
    return _Objects(*objects)


def admission(kind, obj, old=None, operation="", subresource="", user=NODE_1, namespace="ns"):
    subject = obj or old
    operation = operation or ("UPDATE" if old else "CREATE")
    return Admission(user, operation, kind, subresource, namespace, subject["metadata"]["name"], obj, old, {})


def admit(step, *objects, allows=""):
    """allows: the resource that authorization gives this node besides."""

    def authorize(user, wanted):
        return Decision(True) if wanted.resource == allows and allows else None

    node_restriction.NodeRestriction(holding(*objects), Chain((authorize,)))(step)


def refused(step, text, *objects):
    with pytest.raises(errors.Forbidden, match=text):
        admit(step, *objects)


def node(name="n1", labels=None, taints=None):
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"taints": taints or []}}


def test_node_changes_itself_alone_and_not_its_trust():
    admit(admission(NODE, node(labels={"kubernetes.io/os": "linux", "a": "b"})))
    refused(admission(NODE, node("n2")), 'node "n1" is not allowed to modify node "n2"')
    refused(
        admission(NODE, node(labels={"node-restriction.kubernetes.io/x": "y"})),
        "not allowed to set the following labels",
    )
    refused(admission(NODE, node(labels={"node-role.kubernetes.io/x": ""})), "not allowed to set the following labels")
    admit(admission(NODE, node(labels={"kubelet.kubernetes.io/x": "y"}), node()))
    refused(admission(NODE, node(taints=[{"key": "a"}]), node()), "not allowed to modify taints")
    refused(admission(NODE, node(labels={"x.k8s.io/a": "b"}), node()), "is not allowed to modify labels")
    admit(admission(NODE, None, node(), operation="DELETE"))
    refused(admission(NODE, None, node("n2"), operation="DELETE"), "not allowed to modify node")
    source = {**node(), "spec": {"configSource": {}}}
    refused(admission(NODE, source), "is not allowed to create pods with a non-nil configSource")
    refused(admission(NODE, source, node()), "is not allowed to update configSource to a new non-nil configSource")
    admit(admission(NODE, source, source))


def test_node_touches_its_own_pods_alone():
    refused(admission(POD, pod()), "can only create mirror pods")
    refused(admission(POD, pod(), pod()), 'unexpected operation "UPDATE", node "n1" can only create and delete')
    admit(admission(POD, None, pod(), operation="DELETE"))
    refused(
        admission(POD, None, pod(node="n2"), operation="DELETE"),
        "can only delete pods with spec.nodeName set to itself",
    )
    admit(admission(POD, pod(), pod(), subresource="status"))
    refused(admission(POD, pod(node="n2"), pod(node="n2"), subresource="status"), "can only update pod status for pods")
    taken = {**pod(), "status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "theirs"}]}}
    refused(admission(POD, taken, pod(), subresource="status"), "cannot update resource claim statues")
    extended = {**pod(), "status": {"extendedResourceClaimStatus": {"resourceClaimName": "theirs"}}}
    refused(admission(POD, extended, pod(), subresource="status"), "cannot update extended resource claim status")
    for part in ("binding", "ephemeralcontainers", "resize"):
        text = f"unexpected pod subresource \"{part}\", only 'status' and 'eviction' are allowed"
        refused(admission(POD, pod(), pod(), subresource=part), text)


def test_node_evicts_its_own_pods_whatever_name_the_body_gives():
    own, theirs = (POD, pod("p")), (POD, pod("q", node="n2"))

    def evicting(name):
        return replace(admission(POD, {"metadata": {"name": "p"}}, subresource="eviction"), name=name)

    admit(evicting("p"), own, theirs)
    refused(evicting("q"), "node n1 can only evict pods with spec.nodeName set to itself", own, theirs)


def test_what_is_looked_up_and_not_there_is_named_in_the_singular():
    eviction = replace(admission(POD, {"metadata": {"name": "p"}}, subresource="eviction"), name="none")
    with pytest.raises(errors.NotFound) as missing:
        admit(eviction)
    assert missing.value.message == 'pod "none" not found'
    with pytest.raises(errors.NotFound) as missing:
        admit(admission(POD, mirror()))
    assert missing.value.message == 'node "n1" not found'


OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1-uid", "controller": True}


def mirror(owners=(OWNER,), **spec):
    found = pod(**spec)
    found["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "h"}, "ownerReferences": list(owners)}
    return found


@pytest.mark.parametrize(("owners", "text"), [
    ((OWNER,), ""),
    ((), "with an owner reference set to itself"),
    ((OWNER, OWNER), "with a single owner reference"),
    (({**OWNER, "name": "n2"},), "with an owner reference set to itself"),
    (({**OWNER, "kind": "Pod"},), "with an owner reference set to itself"),
    (({**OWNER, "controller": False},), "with a controller owner reference"),
    (({**OWNER, "blockOwnerDeletion": True},), "must not set blockOwnerDeletion"),
    (({**OWNER, "uid": "old"},), "UID mismatch: expected old got n1-uid"),
])  # fmt: skip
def test_a_mirror_pod_belongs_to_its_node(owners, text):
    own = (NODE, {"metadata": {"name": "n1", "uid": "n1-uid"}})
    if not text:
        admit(admission(POD, mirror(owners)), own)
        return
    with pytest.raises(errors.Forbidden, match=text):
        admit(admission(POD, mirror(owners)), own)


def volume(**source):
    return {"volumes": [{"name": "v", **source}]}


def projected(source):
    return volume(projected={"sources": [{source: {}}]})


@pytest.mark.parametrize(("spec", "what"), [
    ({"serviceAccountName": "robot"}, "serviceaccounts"),
    ({"imagePullSecrets": [{"name": "s"}]}, "secrets"),
    ({"containers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}, "secrets"),
    ({"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "c"}}}]}]}, "configmaps"),
    (volume(secret={"secretName": "s"}), "secrets"),
    (volume(configMap={"name": "c"}), "configmaps"),
    (volume(persistentVolumeClaim={"claimName": "c"}), "persistentvolumeclaims"),
    (volume(ephemeral={}), "persistentvolumeclaims"),
    (volume(csi={"driver": "d"}), "csidrivers"),
    ({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}, "resourceclaims"),
    (projected("serviceAccountToken"), "serviceaccounts"),
    (projected("clusterTrustBundle"), "clustertrustbundles"),
    (projected("podCertificate"), "podcertificates"),
    (volume(hostPath={"path": "/"}), ""),
    (projected("downwardAPI"), ""),
])  # fmt: skip
def test_a_mirror_pod_claims_nothing_of_the_api(spec, what):
    own = (NODE, {"metadata": {"name": "n1", "uid": "n1-uid"}})
    if not what:
        admit(admission(POD, mirror(**spec)), own)
        return
    with pytest.raises(errors.Forbidden, match=f'node "n1" can not create pods that reference {what}'):
        admit(admission(POD, mirror(**spec)), own)


def test_node_tells_of_a_claim_s_growth_alone():
    def claim(labels=None, **status):
        return {"metadata": {"name": "c", "labels": labels or {}}, "spec": {"volumeName": "v"}, "status": status}

    grown = claim(phase="Bound", capacity={"storage": "2Gi"}, conditions=[{"type": "Resizing"}])
    admit(admission(PERSISTENT_VOLUME_CLAIM, grown, claim(phase="Bound"), subresource="status"))
    for other in (claim(phase="Lost"), claim({"a": "b"}, phase="Bound")):
        step = admission(PERSISTENT_VOLUME_CLAIM, other, claim(phase="Bound"), subresource="status")
        refused(step, "is not allowed to update fields other than")
    refused(admission(PERSISTENT_VOLUME_CLAIM, grown, claim()), "may only update PVC status")


def test_node_leases_and_other_users():
    lease = {"metadata": {"name": "n2"}}
    refused(admission(LEASE, lease, namespace="kube-node-lease"), "same name as the requesting node")
    admit(admission(LEASE, lease, namespace="kube-node-lease", user=User("somebody")))


def token(reference=None, *audiences):
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"} if reference is None else reference
    body = {"metadata": {"name": "robot"}, "spec": {"boundObjectRef": reference, "audiences": list(audiences)}}
    return admission(SERVICE_ACCOUNT, body, subresource="token")


TOKENS = {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}


def test_tokens_are_for_pods_of_the_node():
    own, theirs = (POD, pod("p", volumes=[{"name": "t", **TOKENS}])), (POD, pod("q", node="n2"))
    admit(token(), own)
    whole = token().obj["spec"]["boundObjectRef"]
    for reference, text in (
        ({}, "not bound to a pod"),
        ({**whole, "uid": ""}, "without a uid"),
        ({**whole, "uid": "x"}, "does not match the UID"),
        ({**whole, "name": "q"}, "scheduled on a different node"),
    ):
        refused(token(reference), text, own, theirs)
    refused(token(None, "a", "b"), "node may only request 0 or 1 audiences", own)


def test_tokens_are_for_audiences_of_the_pod():
    attached = {"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "vault"}]}}
    claim = {"metadata": {"name": "c"}, "spec": {"volumeName": "v"}}
    bound = {"metadata": {"name": "v"}, "spec": {"csi": {"driver": "d"}}}
    others = ((CSI_DRIVER, attached), (PERSISTENT_VOLUME_CLAIM, claim), (PERSISTENT_VOLUME, bound))
    text = 'audience "vault" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this'
    refused(token(None, "vault"), text, (POD, pod(volumes=[{"name": "t", **TOKENS}])), *others)
    refused(token(), 'audience "" not found', (POD, pod()), *others)
    own_claim = {**claim, "metadata": {"name": "p-t"}}
    volumes: list[dict[str, Any]] = [
        {"projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}},
        {"csi": {"driver": "d"}},
        {"persistentVolumeClaim": {"claimName": "c"}},
        {"ephemeral": {"volumeClaimTemplate": {}}},
    ]
    for one in volumes:
        wanting = (POD, pod(volumes=[{"name": "t", **one}]))
        admit(token(None, "vault"), wanting, *others, (PERSISTENT_VOLUME_CLAIM, own_claim))
    admit(token(None, "vault"), (POD, pod()), allows="vault")


def test_a_node_asks_for_its_own_certificate():
    def asking(user, signer="kubernetes.io/kubelet-serving"):
        return admission(CERTIFICATE_SIGNING_REQUEST, {"metadata": {"name": "c"}, "spec": csr(user, signer)})

    def csr(user, signer):
        return {"signerName": signer, "request": pem(user)}

    admit(asking("system:node:n1"))
    admit(asking("system:node:n2", "a.b/c"))
    refused(asking("system:node:n2"), "can only create a node CSR with CN=system:node:n1")


def role(verbs, resources, name="r"):
    rules = [{"verbs": verbs.split(), "apiGroups": [""], "resources": resources.split()}]
    return {"metadata": {"name": name, "namespace": "ns"}, "rules": rules}


def bound(subject, name):
    subjects, reference = [{"kind": "User", "name": subject}], {"kind": "Role", "name": name}
    return {"metadata": {"name": name, "namespace": "ns"}, "roleRef": reference, "subjects": subjects}


def test_nobody_grants_what_they_do_not_hold():
    policy = Policy()
    policy.role_changed(None, role("get list", "pods", "held"))
    policy.binding_changed(None, bound("ann", "held"))
    big, small = role("delete", "secrets", "big"), role("get", "pods", "small")
    step = Escalation(policy, Chain((policy.decide,)), holding((ROLE, big), (ROLE, small)))
    ann = User("ann")

    def go(kind, obj, old=None, user=ann):
        step(admission(kind, obj, old, user=user))

    go(ROLE, small)
    with pytest.raises(errors.Forbidden) as refusal:
        go(ROLE, big)
    assert refusal.value.message.endswith(
        'not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}'
    )
    go(ROLE, {**big, "metadata": {**big["metadata"], "finalizers": ["a/b"]}}, old=big)
    with pytest.raises(errors.Forbidden):
        go(ROLE, {**big, "metadata": {**big["metadata"], "labels": {"a": "b"}}}, old=big)
    go(ROLE, big, user=User("root", groups=("system:masters",)))
    go(ROLE_BINDING, bound("eve", "small"))
    with pytest.raises(errors.Forbidden):
        go(ROLE_BINDING, bound("eve", "big"))
    with pytest.raises(errors.NotFound):
        go(ROLE_BINDING, bound("eve", "nowhere"))
    with pytest.raises(errors.Forbidden, match="must have cluster-admin privileges"):
        go(CLUSTER_ROLE, {"metadata": {"name": "c"}, "aggregationRule": {"clusterRoleSelectors": [{}]}})


def test_review_specs_become_questions():
    spec: dict[str, Any] = {
        "resourceAttributes": {
            "verb": "list",
            "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
            "labelSelector": {"requirements": [{"key": "a", "operator": "Odd"}]},
        }
    }
    wanted, complaint = reviews.attributes_of(spec)
    assert wanted.field_selector == "spec.nodeName=n1"
    assert complaint == "spec.resourceAttributes.labelSelector ignored due to parse error"
    asked = spec["resourceAttributes"]
    asked["labelSelector"]["requirements"].append({"key": "b", "operator": "In", "values": ["c", "d"]})
    asked["fieldSelector"]["requirements"].append({"key": "x", "operator": "In", "values": ["1", "2"]})
    assert reviews.attributes_of(spec)[1] == (
        "spec.resourceAttributes.fieldSelector partially ignored due to parse error; "
        "spec.resourceAttributes.labelSelector partially ignored due to parse error"
    )
    asked["fieldSelector"]["requirements"] = [{"key": "x", "operator": "Exists"}]
    asked["labelSelector"]["requirements"] = [{"key": "b", "operator": "Exists"}]
    wanted, complaint = reviews.attributes_of(spec)
    assert complaint == "spec.resourceAttributes.fieldSelector ignored due to parse error"
    assert wanted.field_selector == wanted.label_selector == ""
    assert reviews.attributes_of({"nonResourceAttributes": {"path": "/x", "verb": "get"}})[0].path == "/x"


SAR, LOCAL, SELF = (
    kinds.SUBJECT_ACCESS_REVIEW,
    kinds.LOCAL_SUBJECT_ACCESS_REVIEW,
    kinds.SELF_SUBJECT_ACCESS_REVIEW,
)
FIELDS, LABELS = "spec.resourceAttributes.fieldSelector", "spec.resourceAttributes.labelSelector"


def selecting(**selectors):
    return {"user": "u", "resourceAttributes": selectors}


@pytest.mark.parametrize(
    ("kind", "spec", "metadata", "wanted"),
    [
        (SAR, selecting(), {}, []),
        (
            SAR,
            {},
            {},
            [
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or "
                "resourceAttributes must be specified",
                'spec.user: Invalid value: "": at least one of user or group must be specified',
            ],
        ),
        (
            SAR,
            selecting(fieldSelector={}, labelSelector={}),
            {},
            [
                f"{FIELDS}.requirements: Required value: when {FIELDS} is specified, requirements or rawSelector is "
                "required",
                f"{LABELS}.requirements: Required value: when {LABELS} is specified, requirements or rawSelector is "
                "required",
            ],
        ),
        (
            SAR,
            selecting(fieldSelector={"rawSelector": "a=b", "requirements": [{"operator": "In"}]}),
            {},
            [
                f'{FIELDS}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
                f"{FIELDS}.requirements[0].key: Required value: must be specified",
                f"{FIELDS}.requirements[0].values: Required value: must be specified when `operator` is 'In' or",
            ],
        ),
        (
            SELF,
            selecting(labelSelector={"requirements": [{"key": "-", "operator": "Exists", "values": ["a b"]}]}),
            {},
            [
                f"{LABELS}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
                "'DoesNotExist'",
                f'{LABELS}.requirements[0].key: Invalid value: "-": name part must consist of',
                f'{LABELS}.requirements[0].values[0]: Invalid value: "a b": a valid label must be',
            ],
        ),
        (SAR, selecting(fieldSelector={"requirements": [{"key": "k", "operator": "Newer"}]}), {}, []),
        (SAR, selecting(), {"name": "n"}, ['metadata: Invalid value: {"name":"n"}: must be empty']),
        (
            LOCAL,
            selecting(namespace="other"),
            {"managedFields": [], "name": "n"},
            [
                'metadata: Invalid value: {"name":"n","namespace":"ns"}: must be empty except for namespace',
                'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
            ],
        ),
        (LOCAL, selecting(namespace="ns"), {"namespace": "ns"}, []),
    ],
)
def test_what_a_review_may_not_say(kind, spec, metadata, wanted):
    found = list(map(str, reviews.check(spec, metadata, kind, "ns")))
    assert len(found) == len(wanted), found
    assert all(told.startswith(text) for told, text in zip(found, wanted, strict=True)), found


def signing_request(**status):
    spec = {"signerName": "example.com/s", "username": "forged"}
    return {"metadata": {"name": "c"}, "spec": spec, "status": status}


def test_signing_requests_carry_who_made_them():
    made = signing_request()
    signing.record_requester(admission(CERTIFICATE_SIGNING_REQUEST, made, user=User("ann", groups=("g",))))
    assert made["spec"] == {"signerName": "example.com/s", "username": "ann", "groups": ["g"]}
    changed = {**made, "spec": {**made["spec"], "username": "eve"}}
    signing.record_requester(admission(CERTIFICATE_SIGNING_REQUEST, changed, made, user=User("eve")))
    assert changed["spec"]["username"] == "ann"


def test_approving_needs_the_signer_s_leave():
    policy = Policy()
    rules = [{"verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"]}]
    rules[0]["resourceNames"] = ["example.com/*"]
    policy.role_changed(None, {"metadata": {"name": "r"}, "rules": rules})
    reference = {"kind": "ClusterRole", "name": "r"}
    subjects = [{"kind": "User", "name": "ann"}]
    policy.binding_changed(None, {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects})
    chain = Chain((policy.decide,))

    def go(user, subresource, **status):
        new, old = signing_request(**status), signing_request()
        asked = admission(CERTIFICATE_SIGNING_REQUEST, new, old, subresource=subresource, user=User(user), namespace="")
        (signing.check_approval if subresource == "approval" else signing.check_signing)(chain, asked)

    go("ann", "approval", conditions=[])
    go("ann", "status", conditions=[])
    with pytest.raises(errors.Forbidden, match='not permitted to approve requests with signerName "example.com/s"'):
        go("eve", "approval", conditions=[])
    with pytest.raises(errors.Forbidden, match="not permitted to sign"):
        go("ann", "status", certificate="eA==")


def test_a_kubelet_s_mirror_pod_passes_the_whole_server(tmp_path):
    as_node = {"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}

    async def play(client):
        await client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        uid = (await client.get(NODE, "n1"))["metadata"]["uid"]
        for owners in ([], [{**OWNER, "uid": uid}]):
            made = mirror(owners, containers=[{"name": "c", "image": "i"}])
            body = {"apiVersion": "v1", "kind": "Pod", **made, "metadata": {**made["metadata"], "namespace": "default"}}
            body["metadata"].pop("uid")
            asking = client.request("POST", "/api/v1/namespaces/default/pods", body=body, headers=as_node)
            if not owners:
                with pytest.raises(errors.Forbidden, match="with an owner reference set to itself"):
                    await asking
                continue
            assert not (await asking)["spec"].get("serviceAccountName")

    server.run(tmp_path, play)
