import pytest

from apimachinery.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE
from apimachinery.objects import copy
from controlplane.apiserver.authz import default_policy
from controlplane.apiserver.authz.chain import Chain, masters, refusal
from controlplane.apiserver.authz.rbac import Policy
from controlplane.apiserver.authz.refusals import Refusals
from controlplane.apiserver.authz.rules import Rule, compact, parse, uncovered
from controlplane.apiserver.request import Attributes, User
from tests.controlplane.apiserver import golden, server
from tests.controlplane.apiserver.fingerprints import fingerprint

ALICE = User("alice", groups=("team", "system:authenticated"))


def role(name, *rules, namespace="ns"):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "rules": list(rules)}


def binding(name, role_name, *subjects, namespace="ns", kind="Role"):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}


def user(name):
    return {"kind": "User", "name": name}


def rule(verbs, resources, groups=("",), **more):
    return {"verbs": verbs.split(), "apiGroups": list(groups), "resources": resources.split(), **more}


def wanted(verb, resource, namespace="ns", group="", **more):
    resource, _, sub = resource.partition("/")
    return Attributes(verb, group, "v1", resource, sub, namespace, **more)


def test_role_counts_in_its_namespace_only():
    policy = Policy()
    policy.role_changed(None, role("r", rule("get", "pods")))
    policy.binding_changed(None, binding("b", "r", user("alice")))
    allowed = policy.decide(ALICE, wanted("get", "pods"))
    assert allowed.allowed and allowed.reason == 'RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "alice"'
    assert not policy.decide(ALICE, wanted("get", "pods", namespace="other")).allowed
    assert not policy.decide(ALICE, wanted("list", "pods")).allowed
    assert not policy.decide(User("bob"), wanted("get", "pods")).allowed


def test_long_questions_are_decided_and_not_remembered():
    policy = Policy()
    policy.role_changed(None, role("r", rule("get", "pods")))
    policy.binding_changed(None, binding("b", "r", {"kind": "Group", "name": "g5"}))
    many = User("u", groups=tuple(f"g{number}" for number in range(200)))
    assert policy.decide(many, wanted("get", "pods")).allowed
    assert not policy.decide(User("u"), wanted("get", "p" * 2000)).allowed
    assert not policy._decisions
    assert policy.decide(User("u", groups=("g5",)), wanted("get", "pods")).allowed
    assert len(policy._decisions) == 1


def test_decisions_follow_every_change():
    policy = Policy()
    first, bound = role("r", rule("get", "pods")), binding("b", "r", user("alice"))
    question = wanted("get", "pods")
    assert not policy.decide(ALICE, question).allowed
    policy.binding_changed(None, bound)
    assert policy.decide(ALICE, question).reason == 'RBAC: role.rbac.authorization.k8s.io "r" not found'
    policy.role_changed(None, first)
    assert policy.decide(ALICE, question).allowed
    policy.binding_changed(bound, binding("b", "r", user("bob")))
    assert not policy.decide(ALICE, question).allowed
    assert policy.decide(User("bob"), question).allowed
    policy.role_changed(first, None)
    assert not policy.decide(User("bob"), question).allowed


def test_subresources_names_groups_and_wildcards():
    policy = Policy()
    rules = (
        rule("get", "pods */scale"),
        rule("update", "configmaps", resourceNames=["one"]),
        rule("*", "*", groups=("apps",)),
    )
    policy.role_changed(None, role("r", *rules, namespace=""))
    policy.binding_changed(None, binding("b", "r", {"kind": "Group", "name": "team"}, namespace="", kind="ClusterRole"))

    def may(*args, **more):
        return policy.decide(ALICE, wanted(*args, **more)).allowed

    assert may("get", "pods") and not may("get", "pods/log")
    assert may("get", "replicationcontrollers/scale")
    assert may("update", "configmaps", name="one") and not may("update", "configmaps", name="two")
    assert not may("update", "configmaps")
    assert may("deletecollection", "deployments", group="apps")
    assert not may("get", "jobs", group="batch")


def test_service_account_subject_defaults_to_the_binding_s_namespace():
    policy = Policy()
    policy.role_changed(None, role("r", rule("get", "pods")))
    policy.binding_changed(None, binding("b", "r", {"kind": "ServiceAccount", "name": "robot"}))
    assert policy.decide(User("system:serviceaccount:ns:robot"), wanted("get", "pods")).allowed
    assert not policy.decide(User("system:serviceaccount:other:robot"), wanted("get", "pods")).allowed


def test_paths_match_exactly_or_by_a_trailing_star():
    found = Rule(("get",), urls=("/healthz", "/openapi/*"))
    assert found.allows(Attributes("get", path="/healthz"))
    assert found.allows(Attributes("get", path="/openapi/v3"))
    assert not found.allows(Attributes("get", path="/healthz/etcd"))
    assert not found.allows(Attributes("post", path="/healthz"))
    assert not found.allows(wanted("get", "pods"))


def test_masters_need_no_policy():
    chain = Chain((masters, Policy().decide))
    assert chain.decide(User("x", groups=("system:masters",)), wanted("delete", "nodes")).allowed
    assert not chain.decide(User("x"), wanted("delete", "nodes")).allowed


def test_refusals_are_worded_as_upstream():
    assert refusal(ALICE, wanted("list", "pods")).message == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "ns"'
    )
    found = refusal(ALICE, wanted("get", "deployments/scale", "", "apps", name="d"), "because")
    assert found.message == (
        'deployments.apps "d" is forbidden: User "alice" cannot get resource "deployments/scale" '
        'in API group "apps" at the cluster scope: because'
    )
    assert found.details == {"name": "d", "group": "apps", "kind": "deployments"}
    assert refusal(ALICE, Attributes("get", path="/x")).message == 'forbidden: User "alice" cannot get path "/x"'


def test_what_is_not_covered_is_told_by_target():
    held = parse([rule("get", "pods")])
    asked = parse([rule("get delete", "pods secrets")])
    assert [str(r) for r in compact(uncovered(held, asked))] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}',
    ]
    assert uncovered(parse([rule("*", "*", groups=("*",))]), asked) == []
    assert uncovered(parse([rule("get delete", "pods secrets", resourceNames=["x"])]), asked)
    assert uncovered(held, parse([rule("*", "pods")]))


def test_default_policy_lets_the_usual_users_do_their_work():
    policy = Policy()
    for kind, obj in default_policy.objects():
        (policy.role_changed if kind in (ROLE, CLUSTER_ROLE) else policy.binding_changed)(None, obj)
    anybody = User("x", groups=("system:authenticated",))
    nobody = User("system:anonymous", groups=("system:unauthenticated",))
    assert policy.decide(anybody, Attributes("get", path="/apis/apps/v1")).allowed
    assert policy.decide(nobody, Attributes("get", path="/healthz")).allowed
    assert not policy.decide(nobody, Attributes("get", path="/api")).allowed
    scheduler = User("system:kube-scheduler")
    assert policy.decide(scheduler, wanted("create", "pods/binding")).allowed
    assert not policy.decide(scheduler, wanted("create", "pods")).allowed


def test_stored_defaults_get_what_is_missing_and_lose_nothing():
    wanted_role = next(o for _, o in default_policy.objects() if o["metadata"]["name"] == "system:basic-user")
    stored = {**wanted_role, "rules": [rule("get", "pods"), wanted_role["rules"][0]]}
    found = default_policy.reconciled(stored, wanted_role)
    assert found is not None
    assert found["rules"][:2] == stored["rules"] and len(found["rules"]) == 3
    assert default_policy.reconciled(found, wanted_role) is None
    found["metadata"]["annotations"][default_policy.AUTOUPDATE] = "false"
    found["rules"] = []
    assert default_policy.reconciled(found, wanted_role) is None


def test_what_an_administrator_set_on_a_default_stays():
    wanted_role = next(o for _, o in default_policy.objects() if o["metadata"]["name"] == "system:aggregate-to-edit")
    stored = copy(wanted_role)
    stored["metadata"]["labels"][default_policy.AGGREGATE + "edit"] = "false"
    stored["metadata"]["annotations"] = {"mine": "1"}
    found = default_policy.reconciled(stored, wanted_role)
    assert found is not None
    assert found["metadata"]["labels"][default_policy.AGGREGATE + "edit"] == "false"
    assert found["metadata"]["annotations"] == {"mine": "1", default_policy.AUTOUPDATE: "true"}


def test_a_gathering_default_gathers_again_and_keeps_what_else_it_gathers():
    wanted_role = next(o for _, o in default_policy.objects() if o["metadata"]["name"] == "admin")
    selectors = wanted_role["aggregationRule"]["clusterRoleSelectors"]
    more = {"matchLabels": {"mine": "true"}}
    stored = {**wanted_role, "rules": [rule("get", "pods")], "aggregationRule": {"clusterRoleSelectors": [more]}}
    found = default_policy.reconciled(stored, wanted_role)
    assert found is not None
    assert found["aggregationRule"]["clusterRoleSelectors"] == [more, *selectors]
    assert found["rules"] == stored["rules"]
    assert default_policy.reconciled(found, wanted_role) is None


def test_a_start_mends_the_default_policy_and_adds_the_installation_s_own(tmp_path):
    own = tmp_path / "policy.txt"
    own.write_text("clusterrole mine\n  get : core : pods\nclusterrolebinding mine : User me\n")

    async def spoil(client):
        role = await client.get(CLUSTER_ROLE, "system:basic-user")
        await client.update(CLUSTER_ROLE, {**role, "rules": []})
        await client.delete(CLUSTER_ROLE, "system:kube-scheduler")
        kept = await client.get(CLUSTER_ROLE, "system:node-proxier")
        kept["metadata"]["annotations"][default_policy.AUTOUPDATE] = "false"
        await client.update(CLUSTER_ROLE, {**kept, "rules": []})
        for called, protected in (("system:basic-user", "true"), ("system:discovery", "false")):
            binding = await client.get(CLUSTER_ROLE_BINDING, called)
            await client.delete(CLUSTER_ROLE_BINDING, called)
            metadata = {"name": called, "annotations": {default_policy.AUTOUPDATE: protected}}
            other = {**binding["roleRef"], "name": "view"}
            await client.create(CLUSTER_ROLE_BINDING, {**binding, "metadata": metadata, "roleRef": other})

    async def look(client):
        wanted = {o["metadata"]["name"]: o for kind, o in default_policy.objects() if kind is CLUSTER_ROLE}
        for called in ("system:basic-user", "system:kube-scheduler"):
            role = await client.get(CLUSTER_ROLE, called)
            assert not uncovered(parse(role["rules"]), parse(wanted[called]["rules"]))
        assert not (await client.get(CLUSTER_ROLE, "system:node-proxier")).get("rules")
        bound = {
            b["metadata"]["name"]: b["roleRef"]["name"] for b in (await client.list(CLUSTER_ROLE_BINDING))["items"]
        }
        assert (bound["system:basic-user"], bound["system:discovery"]) == ("system:basic-user", "view")
        assert bound["mine"] == "mine"
        mine = await client.get(CLUSTER_ROLE, "mine")
        assert mine["rules"] == [rule("get", "pods")] and "labels" not in mine["metadata"]

    server.run(tmp_path, spoil)
    server.run(tmp_path, look, policy_file=own)


@pytest.mark.parametrize("text", ["  get : core : pods", "nonsense x", "clusterrole x\n  get pods", "rolebinding x"])
def test_a_policy_that_cannot_be_read_names_the_line(text):
    with pytest.raises(default_policy.PolicyError, match=r"line \d of the policy"):
        list(default_policy.parse_policy(text))


def test_what_is_refused_to_a_component_is_told_once(caplog):
    refusals = Refusals()
    for name in ("system:kube-scheduler", "system:serviceaccount:kube-system:x", "system:node:n1"):
        for _ in range(2):
            refusals.note(User(name), f"{name} cannot")
    for name in ("alice", "system:anonymous", "system:serviceaccount:default:x"):
        refusals.note(User(name), f"{name} cannot")
    refusals.note(User("system:node:n1"), "no relationship found between node 'n1' and this object")
    assert [r.getMessage() for r in caplog.records] == [
        "component refused: system:kube-scheduler cannot",
        "component refused: system:serviceaccount:kube-system:x cannot",
        "component refused: system:node:n1 cannot",
    ]


def test_default_policy_equals_upstream_s():
    dump = golden.load("api/dumps/rbac-bootstrap.json")
    ours = {
        (k.plural, o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for k, o in default_policy.objects()
    }
    for key in [key for key in dump if "role" in key]:
        for want in dump[key]["items"]:
            metadata = want["metadata"]
            if metadata["name"].endswith(":service-ca-cert-publisher"):
                continue  # the recorded build's own addition
            got = ours.pop((key.split()[0], metadata.get("namespace", ""), metadata["name"]))
            assert {k: v for k, v in got.items() if k not in ("apiVersion", "kind")} == want
    assert not ours


@pytest.mark.parametrize(
    ("kind", "count", "wanted"),
    [
        ("clusterroles", 69, "1ddd5591d5965cea"),
        ("roles", 7, "31c956dc93a64262"),
        ("clusterrolebindings", 50, "9518e87f413b3a85"),
        ("rolebindings", 7, "7ec20d91abea98c7"),
    ],
)
def test_the_default_policy_is_as_it_was_when_it_equalled_upstream_s(kind, count, wanted):
    found = [obj for each, obj in default_policy.objects() if each.plural == kind]
    assert len(found) == count
    assert (
        fingerprint(sorted(found, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))) == wanted
    )
