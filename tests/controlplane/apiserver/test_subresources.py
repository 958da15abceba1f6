import pytest

from apimachinery import errors, kinds
from apimachinery.client import PatchType
from controlplane.apiserver.subresources import binding, eviction, part, scale, token
from tests.controlplane.apiserver.server import run

STAMP = "2026-01-01T00:00:00Z"


def pod(**spec):
    meta = {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "5", "labels": {"app": "a"}}
    return {"metadata": meta, "spec": {"containers": [{"name": "c"}], **spec}}


def to_node(name="n1", **metadata):
    return {"metadata": metadata, "target": {"kind": "Node", "name": name}}


def test_binding_sets_node_annotations_and_condition():
    wished = {**pod(), "status": {"nominatedNodeName": "n2"}}
    bound = binding.bound(wished, to_node(annotations={"a": "b"}), STAMP)
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"a": "b"}
    assert bound["status"]["conditions"] == [
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": STAMP}
    ]
    assert "resourceVersion" not in bound["metadata"] and "nominatedNodeName" not in bound["status"]


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        ({"nodeName": "n0"}, 'already assigned to node "n0"'),
        ({"schedulingGates": [{"name": "g"}]}, "non-empty .spec.schedulingGates"),
    ],
)
def test_binding_refuses_pods_that_are_not_free(taken, why):
    with pytest.raises(errors.Conflict, match=why):
        binding.bound(pod(**taken), to_node(), STAMP)


def test_binding_refuses_a_dying_pod():
    dying = pod()
    dying["metadata"]["deletionTimestamp"] = STAMP
    with pytest.raises(errors.Conflict, match="being deleted"):
        binding.bound(dying, to_node(), STAMP)


def test_binding_is_held_to_the_pod_that_was_looked_at():
    for meta, told in (
        ({"uid": "v"}, "UID in precondition: v, UID in object meta: u"),
        ({"resourceVersion": "4"}, "ResourceVersion in precondition: 4, ResourceVersion in object meta: 5"),
    ):
        with pytest.raises(errors.Conflict, match=told):
            binding.bound(pod(), to_node(**meta), STAMP)
    assert binding.bound(pod(), to_node(uid="u", resourceVersion="5"), STAMP)["spec"]["nodeName"] == "n1"


def test_a_binding_is_written_past_the_rules_and_the_old_collection_asks_for_no_uid(tmp_path):
    async def test(client):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
        meta = {"name": "p", "uid": "v", "labels": {"not valid": "x"}}
        wish = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": {"kind": "Node", "name": "n1"}}
        await client.request("POST", "/api/v1/namespaces/default/bindings", body=wish)
        made = await client.get(kinds.POD, "p", "default")
        assert made["spec"]["nodeName"] == "n1" and made["metadata"]["labels"] == {"not valid": "x"}

    run(tmp_path, test)


def test_binding_target_must_be_a_named_node():
    with pytest.raises(errors.InternalError, match=r'target.kind: Unsupported value: "Pod"'):
        binding.check({"target": {"kind": "Pod", "name": "x"}})
    with pytest.raises(errors.InternalError, match=r"target\.name: Required value"):
        binding.check({"target": {"kind": "Node", "name": ""}})


def budget(**status):
    values = {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 1, "currentHealthy": 2, **status}
    meta = {"name": "b", "generation": 1}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "a"}}}, "status": values}


def test_eviction_spends_the_budget_and_names_the_pod():
    after = eviction.spent(budget(), "p", STAMP)["status"]
    assert after["disruptionsAllowed"] == 0
    assert after["disruptedPods"] == {"p": STAMP}
    assert after["conditions"][0]["reason"] == "InsufficientPods"
    assert "conditions" not in eviction.spent(budget(disruptionsAllowed=2), "p", STAMP)["status"]


def test_eviction_is_told_to_wait_while_the_budget_is_not_counted():
    with pytest.raises(errors.TooManyRequests) as refused:
        eviction.spent(budget(observedGeneration=0), "p", STAMP)
    assert refused.value.status()["details"]["retryAfterSeconds"] == 10


def test_eviction_is_refused_when_nothing_is_left():
    with pytest.raises(errors.TooManyRequests) as refused:
        eviction.spent(budget(disruptionsAllowed=0, currentHealthy=1), "p", STAMP)
    (cause,) = refused.value.status()["details"]["causes"]
    assert cause["message"] == "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert refused.value.retry_after is None


def test_budgets_match_by_selector_and_unready_pods_may_go_when_enough_are_healthy():
    assert eviction.matching([budget(), {"metadata": {"name": "x"}, "spec": {}}], pod()) == [budget()]
    running = {**pod(), "status": {"phase": "Running"}}
    assert eviction.may_go_unready(budget(), running)
    assert not eviction.may_go_unready(budget(currentHealthy=0), running)
    running["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert not eviction.may_go_unready(budget(), running)
    assert not eviction.ignores_budget(running)
    assert eviction.ignores_budget({**running, "status": {"phase": "Pending"}})


def test_eviction_marks_the_pod_it_was_asked_about():
    marked = eviction.marked(pod(), {"uid": "u", "resourceVersion": "5"}, STAMP)
    assert marked["status"]["conditions"][0]["reason"] == "EvictionByEvictionAPI"
    for wanted in ({"uid": "x"}, {"resourceVersion": "4"}):
        with pytest.raises(errors.Conflict, match="in the precondition"):
            eviction.marked(pod(), wanted, STAMP)


@pytest.mark.parametrize(
    ("condition", "status", "told"),
    [
        ({}, {"currentHealthy": 1}, "needs 1 healthy pods and has 1 currently"),
        ({}, {}, "does not allow evicting pods currently"),
        ({"reason": "X", "message": "why"}, {}, "does not allow evicting pods currently (X): why"),
        (
            {"reason": "SyncFailed", "message": "why"},
            {"currentHealthy": 1},
            "does not allow evicting pods currently because it failed sync: why",
        ),
    ],
)
def test_a_refused_eviction_is_told_why(condition, status, told):
    conditions = [{"type": "DisruptionAllowed", "status": "False", **condition}]
    with pytest.raises(errors.TooManyRequests) as refused:
        eviction.spent(budget(disruptionsAllowed=0, conditions=conditions, **status), "p", STAMP)
    assert refused.value.status()["details"]["causes"][0]["message"] == f"The disruption budget b {told}"


def test_a_deletion_is_held_to_the_pod_that_was_looked_at():
    held = eviction.as_it_is({"gracePeriodSeconds": 3}, pod())
    assert held == {"gracePeriodSeconds": 3, "preconditions": {"resourceVersion": "5"}}
    pinned = {"preconditions": {"resourceVersion": "4"}}
    assert eviction.as_it_is(pinned, pod()) == pinned and eviction.is_pinned(pinned)


def evicted(name="p", version="policy/v1", **options):
    found = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": name} if name else {}}
    return {**found, "deleteOptions": options}


REFUSED = (
    (evicted(version="policy/v1alpha1"), 400, "Eviction in version"),
    (evicted(version="apps/v1"), 400, "Eviction in version"),
    (evicted("other"), 400, "name in URL does not match name in Eviction object"),
    (evicted(""), 400, "name in URL does not match name in Eviction object"),
    (evicted(preconditions={"resourceVersion": "1"}), 409, "the ResourceVersion in the precondition (1)"),
    (
        evicted(ignoreStoreReadErrorWithClusterBreakingPotential=True),
        422,
        'Eviction.policy "p" is invalid: deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential: '
        "Invalid value: true: can not be set for pod eviction",
    ),
)


def test_evictions_of_either_version_and_of_no_other(tmp_path):
    async def test(client):
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
        path = kinds.POD.path("default", "p", "eviction")
        for version in ("policy/v1", "policy/v1beta1"):
            await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
            for sent, status, message in REFUSED:
                with pytest.raises(errors.ApiError) as refused:
                    await client.request("POST", path, body=sent)
                assert refused.value.status_code == status and message in refused.value.message
            assert (await client.request("POST", path, body=evicted(version=version)))["status"] == "Success"
            with pytest.raises(errors.NotFound):
                await client.get(kinds.POD, "p", "default")

    run(tmp_path, test)


def deployment():
    spec = {"replicas": 2, "selector": {"matchLabels": {"b": "2", "a": "1"}}}
    return {"metadata": {"name": "d", "resourceVersion": "5", "labels": {"x": "y"}}, "spec": spec}


def test_scale_shows_replicas_and_selector_and_nothing_else_of_the_metadata():
    shown = scale.scale_of(deployment())
    assert shown["spec"] == {"replicas": 2}
    assert shown["status"] == {"replicas": 0, "selector": "a=1,b=2"}
    assert shown["metadata"] == {"name": "d", "resourceVersion": "5"}


def scaled(spec, **metadata):
    wanted = {"metadata": {"name": "d", "namespace": "n", **metadata}, "spec": spec}
    return scale.scaled(kinds.DEPLOYMENT, deployment(), wanted)


def test_scale_changes_replicas_and_pins_only_when_asked():
    free = scaled({"replicas": 7})
    assert free["spec"]["replicas"] == 7 and "resourceVersion" not in free["metadata"]
    pinned = scaled({}, resourceVersion="4")
    assert pinned["spec"]["replicas"] == 0 and pinned["metadata"]["resourceVersion"] == "4"
    with pytest.raises(
        errors.Invalid, match=r"metadata.labels: Invalid value: .* spec.replicas: .*: must be greater th"
    ):
        scaled({"replicas": -1}, labels={"a b": "c"})


def test_ephemeral_containers_are_taken_over_and_nothing_else():
    wanted = pod(ephemeralContainers=[{"name": "e", "image": "i"}], nodeName="elsewhere")
    after = part.ephemeral_containers(pod(), wanted)
    assert [c["name"] for c in after["spec"]["ephemeralContainers"]] == ["e"]
    assert "nodeName" not in after["spec"]
    assert "ephemeralContainers" not in part.ephemeral_containers(after, pod())["spec"]


def test_of_a_part_of_a_pod_its_writer_is_told_to_own_all_that_was_written(tmp_path):
    async def test(client):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
        wish = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "other"}]}}
        for subresource in ("ephemeralcontainers", "resize"):
            made = await client.patch(
                kinds.POD, "p", wish, "default", subresource=subresource, patch_type=PatchType.STRATEGIC
            )
            assert "labels" not in made["metadata"] and made["spec"]["containers"][0]["image"] == "i"
            (own,) = [e for e in made["metadata"]["managedFields"] if e.get("subresource") == subresource]
            assert own["fieldsV1"] == {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}},
            }

    run(tmp_path, test)


def test_resize_takes_resources_alone():
    wanted = pod(nodeName="elsewhere")
    wanted["spec"]["containers"] = [{"name": "c", "image": "other", "resources": {"requests": {"cpu": "1"}}}]
    after = part.resources(pod(), wanted)
    assert after["spec"]["containers"] == [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]
    assert "nodeName" not in after["spec"]


@pytest.mark.parametrize(("seconds", "why"), [(10, "less than 10 minutes"), (1 << 33, "larger than 2^32")])
def test_token_lifetimes_have_bounds(seconds, why):
    with pytest.raises(errors.Invalid) as refused:
        token.check({"expirationSeconds": seconds})
    assert why in refused.value.message


def test_a_token_of_another_accounts_pod_is_refused_for_that_before_its_uid(tmp_path):
    async def test(client):
        for name in ("default", "other"):
            await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": name}}, "default")
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
        asked = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"}}
        for account, refused in (("other", errors.BadRequest), ("default", errors.Conflict)):
            with pytest.raises(refused):
                await client.create(
                    kinds.SERVICE_ACCOUNT, {"spec": asked}, "default", name=account, subresource="token"
                )

    run(tmp_path, test)


def test_a_status_says_nothing_of_when_a_pod_goes(tmp_path):
    async def test(client):
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
        await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
        wish = {"metadata": {"deletionTimestamp": STAMP}, "status": {"phase": "Running"}}
        made = await client.patch(kinds.POD, "p", wish, "default", subresource="status")
        assert made["status"]["phase"] == "Running" and "deletionTimestamp" not in made["metadata"]
        await client.delete(kinds.POD, "p", "default")
        gone = await client.patch(kinds.POD, "p", {"status": {"phase": "Failed"}}, "default", subresource="status")
        assert gone["metadata"]["deletionTimestamp"] not in (STAMP, None)

    run(tmp_path, test)
