"""Patches over HTTPS: what they may say, how refusals read, and who comes to own what."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client, PatchType
from controlplane.apiserver import ownership
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.patching import Patches
from controlplane.apiserver.registry import Context, Registry
from controlplane.apiserver.request import Request
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.writing import Writing
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def deployment(**spec: Any) -> Obj:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default"},
        "spec": spec,
    }


async def patched(client: Client, path: str, body: Any, how: str, **query: str) -> Obj:
    return await client.request("PATCH", path, body=body, content_type=how, query=query)


async def refused(client: Client, path: str, body: Any, how: str, **query: str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await patched(client, path, body, how, **query)
    return caught.value


def owners(obj: Obj) -> dict[tuple[str, str], Obj]:
    return {(e["manager"], e.get("subresource", "")): e for e in obj["metadata"].get("managedFields", [])}


def test_what_a_patch_makes_wrong_is_its_own_fault(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.CONFIG_MAP, config_map("m", a="1"))
        wrong = await refused(client, f"{MAPS}/m", {"data": {"a": 5}, "metadata": {"resourceVersion": None}}, MERGE)
        assert wrong.status_code == 422
        assert '{\\"apiVersion\\":\\"v1\\",\\"data\\":{\\"a\\":5},\\"kind\\":\\"ConfigMap\\"' in wrong.message
        assert wrong.message.endswith(
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        )
        other = await refused(client, f"{MAPS}/m", {"apiVersion": "v2"}, MERGE)
        assert 'no kind "ConfigMap" is registered for version "v2"' in other.message and other.status_code == 422
        strict = await refused(
            client, f"{MAPS}/m", {"bogus": 1, "metadata": {"no": 1}}, MERGE, fieldValidation="Strict"
        )
        assert strict.message.endswith('strict decoding error: unknown field "bogus", unknown field "metadata.no"')
        repeated = b'{"data":{"d":"1","d":"2"}}'
        twice = await refused(client, f"{MAPS}/m", repeated, MERGE, fieldValidation="Strict")
        assert twice.message.endswith('strict decoding error: duplicate field "data.d"')
        odd = [{"op": "add", "path": "/data/q", "value": "1", "bogus": 1}]
        unknown = await refused(client, f"{MAPS}/m", odd, JSON, fieldValidation="Strict")
        assert unknown.message.endswith('strict decoding error: json patch unknown field "[0].bogus"')
        for gone, how in (({"apiVersion": None}, MERGE), ([{"op": "remove", "path": "/apiVersion"}], JSON)):
            untyped = await refused(client, f"{MAPS}/m", gone, how)
            assert untyped.status_code == 400
            assert untyped.message == (
                "the name of the object (m based on URL) was undeterminable: name must be provided"
            )
        kept = await refused(client, f"{MAPS}/m", {"metadata": {"deletionGracePeriodSeconds": 5}}, MERGE)
        assert "metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable" in kept.message
        whole = await refused(client, f"{MAPS}/m", [{"op": "replace", "path": "", "value": [1]}], JSON)
        assert whole.status_code == 422
        assert whole.message.startswith(' "" is invalid: patch: Invalid value: "[1]": couldn\'t get version/kind; json')
        unread = await refused(client, f"{MAPS}/m", [], JSON.upper())
        assert unread.status_code == 415 and unread.status()["details"] == {}

    run(tmp_path, test)


def test_a_refusal_shows_what_was_not_patched_as_it_was_stored() -> None:
    context = Context(builtin.catalog(), manager="me")
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": "1000m"}}}
    stored = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    ask = partial(said, b'{"status": {"phase": 5}}')
    request: Any = SimpleNamespace(headers={"Content-Type": MERGE}, served=kinds.POD, name="p", body=ask)
    patch = asyncio.run(Patches().read(request, kinds.POD, context))
    with pytest.raises(errors.ApiError, match="1000m"):
        patch.apply(stored)


async def said(body: bytes) -> bytes:
    return body


def test_a_merge_of_typed_values_has_its_own_words(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.DEPLOYMENT, deployment())
        path = "/apis/apps/v1/namespaces/default/deployments/d"
        wrong = await refused(client, path, {"spec": {"replicas": "x"}}, STRATEGIC)
        shown = "map[spec:map[replicas:x]]"
        assert wrong.message == f' "" is invalid: patch: Invalid value: "{shown}": unrecognized type: int32'

    run(tmp_path, test)


def test_scale_writes_under_the_name_of_who_scales(tmp_path: Path) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments/d"

    async def test(client: Client) -> None:
        await patched(client, path, deployment(replicas=2), APPLY, fieldManager="alpha")
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
        shown = await client.request("PUT", f"{path}/scale", body=scale, query={"fieldManager": "hpa"})
        assert shown["spec"] == {"replicas": 3} and "managedFields" not in shown["metadata"]
        found = owners(await client.request("GET", path))
        assert found["hpa", "scale"]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
        assert found["hpa", "scale"]["apiVersion"] == "apps/v1"
        assert "f:replicas" not in found["alpha", ""]["fieldsV1"]["f:spec"]
        lost = await refused(client, path, deployment(replicas=2), APPLY, fieldManager="alpha")
        assert 'conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas' in lost.message
        applied = {**scale, "spec": {"replicas": 4}}
        taken = await refused(client, f"{path}/scale", applied, APPLY, fieldManager="other")
        assert 'conflict with "hpa"' in taken.message
        await patched(client, f"{path}/scale", applied, APPLY, fieldManager="other", force="true")
        assert ("other", "scale") in owners(await client.request("GET", path))
        named = await refused(client, f"{path}/scale", {"metadata": {"name": "x"}}, MERGE)
        assert named.status_code == 400 and "does not match the name on the URL" in named.message

    run(tmp_path, test)


def test_apply_creates_with_what_it_says_and_pins_only_to_numbers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        wanted = config_map("c")
        wanted["metadata"] |= {"generation": 7, "deletionGracePeriodSeconds": 3}
        made = await patched(client, f"{MAPS}/c", wanted, APPLY, fieldManager="alpha")
        assert made["metadata"]["generation"] == 7 and made["metadata"]["deletionGracePeriodSeconds"] == 3
        bad = {**config_map("c"), "metadata": {"name": "c", "resourceVersion": "bad"}}
        wrong = await refused(client, f"{MAPS}/c", bad, APPLY, fieldManager="alpha")
        assert wrong.status_code == 500 and wrong.message == 'strconv.ParseUint: parsing "bad": invalid syntax'
        posted = config_map("p")
        posted["metadata"] |= {"deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3}
        assert not {"deletionTimestamp", "deletionGracePeriodSeconds"} & {
            *(await client.create(kinds.CONFIG_MAP, posted))["metadata"]
        }
        twice = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: one\n  a: two\n"
        strict = await refused(client, f"{MAPS}/c", twice, APPLY, fieldManager="alpha", fieldValidation="Strict")
        assert 'line 6: key "a" already set in map' in strict.message and strict.status_code == 400

    run(tmp_path, test)


def test_the_status_of_a_deployment_leaves_its_labels_alone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.DEPLOYMENT, deployment())
        change = {"metadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}}, "status": {"replicas": 1}}
        after = await client.patch(
            kinds.DEPLOYMENT,
            "d",
            change,
            "default",
            subresource="status",
            patch_type=PatchType.MERGE,
            field_manager="ctl",
        )
        assert "labels" not in made["metadata"] and "labels" not in after["metadata"]
        assert after["metadata"]["annotations"] == {"n": "1"}
        assert "f:labels" not in owners(after)["ctl", "status"]["fieldsV1"]["f:metadata"]

    run(tmp_path, test)


def test_both_versions_of_an_autoscaler_are_one_object(tmp_path: Path) -> None:
    one, two = (f"/apis/autoscaling/{v}/namespaces/default/horizontalpodautoscalers" for v in ("v1", "v2"))

    async def test(client: Client) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        obj = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}
        spec = {"scaleTargetRef": target, "maxReplicas": 5, "targetCPUUtilizationPercentage": 50}
        made = await client.request("POST", one, body={**obj, "spec": spec}, query={"fieldManager": "alpha"})
        assert made["apiVersion"] == "autoscaling/v1" and made["spec"]["targetCPUUtilizationPercentage"] == 50
        entry = owners(made)["alpha", ""]
        assert entry["apiVersion"] == "autoscaling/v1"
        assert "f:targetCPUUtilizationPercentage" in entry["fieldsV1"]["f:spec"]
        (metric,) = (await client.request("GET", f"{two}/h"))["spec"]["metrics"]
        assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 50}
        metric["resource"]["target"]["averageUtilization"] = 70
        await patched(client, f"{two}/h", {"spec": {"metrics": [metric]}}, MERGE, fieldManager="beta")
        after = await client.request("GET", f"{one}/h")
        assert after["spec"]["targetCPUUtilizationPercentage"] == 70
        found = owners(after)
        assert "f:targetCPUUtilizationPercentage" not in found["alpha", ""]["fieldsV1"]["f:spec"]
        assert found["beta", ""]["fieldsV1"] == {"f:spec": {"f:metrics": {}}}

    run(tmp_path, test)


def test_binding_makes_nobody_an_owner(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(kinds.SERVICE_ACCOUNT, account)
        spec = {"containers": [{"name": "c", "image": "i"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec}
        made = await client.create(kinds.POD, pod)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p"},
            "target": {"kind": "Node", "name": "n"},
        }
        path = "/api/v1/namespaces/default/pods/p/binding"
        other = {**binding, "metadata": {"name": "p", "uid": "11111111-1111-1111-1111-111111111111"}}
        with pytest.raises(errors.Conflict, match="Precondition failed: UID in precondition"):
            await client.request("POST", path, body=other)
        await client.request("POST", path, body=binding)
        bound = await client.get(kinds.POD, "p", "default")
        assert bound["spec"]["nodeName"] == "n"
        assert bound["metadata"]["managedFields"] == made["metadata"]["managedFields"]

    run(tmp_path, test)


def test_an_event_cannot_be_rewritten_by_way_of_its_own_group(tmp_path: Path) -> None:
    new, old = "/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events"

    async def test(client: Client) -> None:
        involved = {"kind": "Pod", "namespace": "default", "name": "p"}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "involvedObject": involved,
            "message": "m",
        }
        await client.request("POST", old, body=event)
        wrong = await refused(client, f"{new}/e", {"note": "n"}, MERGE)
        assert wrong.message == 'Event "e" is invalid: message: Invalid value: "n": field is immutable'
        assert (await patched(client, f"{old}/e", {"message": "n"}, MERGE))["message"] == "n"

    run(tmp_path, test)


def test_a_status_is_written_by_who_writes_it_before_the_server_corrects_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}}
        await client.create(kinds.SERVICE, {**service, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
        path = "/api/v1/namespaces/default/services/s/status"
        entry = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        # The mode is filled in by the type that the client says, and missed by the one that is stored.
        wrong = await refused(client, path, {"spec": {"type": "ClusterIP"}, "status": entry}, MERGE)
        assert "status.loadBalancer.ingress[0].ipMode: Required value" in wrong.message
        after = await patched(client, path, {"status": entry}, MERGE, fieldManager="lb")
        assert after["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
        assert after["spec"]["type"] == "LoadBalancer" and "f:spec" not in owners(after)["lb", "status"]["fieldsV1"]

    run(tmp_path, test)


def test_nobody_owns_what_a_signing_request_asks_for() -> None:
    obj = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r", "labels": {"l": "1"}},
        "spec": {"signerName": "example.com/s"},
        "status": {},
    }
    ownership.track(None, obj, Context(builtin.catalog(), manager="me"), "")
    assert owners(obj)["me", ""]["fieldsV1"] == {"f:metadata": {"f:labels": {".": {}, "f:l": {}}}}


def test_an_item_without_its_key_has_every_owner_forgotten(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts"
        account = {"metadata": {"name": "a"}, "secrets": [{"name": "q"}, {}]}
        made = await client.request("POST", path, body=account)
        assert "managedFields" not in made["metadata"] and made["secrets"] == account["secrets"]
        labels = {"metadata": {"labels": {"a": "b"}}}
        assert "managedFields" not in (await patched(client, f"{path}/a", labels, MERGE))["metadata"]
        wanted = {"apiVersion": "v1", "kind": "ServiceAccount", **labels}
        unreadable = await refused(client, f"{path}/a", wanted, APPLY, fieldManager="m")
        assert unreadable.message == (
            "failed to create manager for existing fields: failed to convert new object (default/a; /v1, "
            "Kind=ServiceAccount) to smd typed: .secrets: element 1: associative list with keys has an element that "
            'omits all key fields ["name"] (and doesn\'t have default values for any key fields)'
        )
        whole = await patched(client, f"{path}/a", {"secrets": [{"name": "q"}]}, MERGE)
        assert "managedFields" not in whole["metadata"]
        assert owners(await patched(client, f"{path}/a", wanted, APPLY, fieldManager="m"))

    run(tmp_path, test)


def test_what_an_account_says_of_its_secrets_is_its_writers_though_only_the_name_is_kept(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts"
        account = {"metadata": {"name": "a"}, "secrets": [{"name": "s"}]}
        query = {"fieldManager": "first"}
        await client.request("POST", path, body=account, query=query)
        account["secrets"] = [{"name": "s", "kind": "Secret"}]
        told = await client.request("PUT", f"{path}/a", body=account, query={"fieldManager": "second"})
        assert told["secrets"] == [{"name": "s"}]
        assert owners(told)["second", ""]["fieldsV1"] == {"f:secrets": {'k:{"name":"s"}': {}}}

    run(tmp_path, test)


def test_an_empty_list_that_got_its_default_changes_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
        await client.request("POST", path, body={"metadata": {"name": "n"}, "spec": {"podSelector": {}}})
        for field, generation in (("policyTypes", 1), ("egress", 2)):
            told = await patched(client, f"{path}/n", {"spec": {field: []}}, MERGE)
            assert told["metadata"]["generation"] == generation

    run(tmp_path, test)


def test_a_dry_run_answers_with_the_link_and_version_that_it_was_given(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        trial = {"dryRun": "All"}
        link = {"metadata": {"selfLink": "/x"}}
        obj = config_map("m") | {"metadata": {"name": "m", "resourceVersion": "5"}}
        made = await client.request("POST", MAPS, body=obj, query=trial)
        assert made["metadata"]["resourceVersion"] == "5"
        await client.create(kinds.CONFIG_MAP, config_map("m"))
        assert (await patched(client, f"{MAPS}/m", link, MERGE, **trial))["metadata"]["selfLink"] == "/x"
        assert "selfLink" not in (await patched(client, f"{MAPS}/m", link, MERGE))["metadata"]

    run(tmp_path, test)


def test_another_uid_is_refused_in_the_name_of_the_group_that_was_asked(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        event: Obj = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
        await client.request("POST", "/api/v1/namespaces/default/events", body=event)
        other = {"metadata": {"name": "e", "uid": "x"}, "regarding": {"namespace": "default"}}
        for group, named in (("api/v1", "events"), ("apis/events.k8s.io/v1", "events.events.k8s.io")):
            path = f"/{group}/namespaces/default/events/e"
            with pytest.raises(errors.Conflict, match=f'on {named} "e": StorageError.*/events/default/e,'):
                await client.request("PUT", path, body=other)

    run(tmp_path, test)


def test_empty_lists_and_maps_are_shown_as_they_were_written(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.DEPLOYMENT, deployment())
        path = kinds.DEPLOYMENT.path("default", "d")
        for labels, shown in (({"app": None}, "{}"), (None, "null")):
            wrong = await refused(client, path, {"spec": {"template": {"metadata": {"labels": labels}}}}, MERGE)
            assert f"spec.template.metadata.labels: Invalid value: {shown}: `selector` does not" in wrong.message

    run(tmp_path, test)


@pytest.mark.parametrize("turn", [1, 2])
def test_what_others_make_or_remove_meanwhile_is_changed_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """Another server's write is heard of when the write looks for the first time what is new, or for the second."""
    fresh, unheard = Registry.fresh, list[Callable[[Registry], Awaitable[Any]]]()
    ours, looks = ContextVar("ours", default=False), 0

    async def hear(registry: Registry) -> None:
        nonlocal looks
        looks += ours.get()
        if unheard and ours.get() and looks == turn:
            await unheard.pop()(registry)
        await fresh(registry)

    monkeypatch.setattr(Registry, "fresh", hear)
    for verb in ("patch", "update"):
        handler = getattr(Writing, verb)

        async def asked(writing: Writing, request: Request, handler: Any = handler) -> Any:
            ours.set(True)
            return await handler(writing, request)

        monkeypatch.setattr(Writing, verb, asked)

    async def test(client: Client) -> None:
        async def meanwhile(action: Callable[[Registry], Awaitable[Any]], path: str, body: Obj, how: str = "") -> Obj:
            nonlocal looks
            unheard.append(action)
            looks = 0
            verb, query = "PATCH" if how else "PUT", {"fieldManager": "m"}
            found: Obj = await client.request(
                verb, path, body=body, query=query, content_type=how or "application/json"
            )
            assert not unheard
            return found

        def made(obj: Obj, kind: kinds.Kind = kinds.CONFIG_MAP) -> Callable[[Registry], Awaitable[Any]]:
            return lambda registry: registry.create(kind, obj, "default", user=SELF)

        def removed(registry: Registry) -> Awaitable[Any]:
            return registry.delete(kinds.CONFIG_MAP, "default", "a", user=SELF, options={})

        theirs, both = config_map("a", theirs="1"), {"theirs": "1", "ours": "1"}
        found = await meanwhile(made(theirs), f"{MAPS}/a", config_map("a", ours="1"), APPLY)
        assert found["data"] == both
        if turn == 1:
            found = await meanwhile(removed, f"{MAPS}/a", config_map("a", ours="2"), APPLY)
            assert found["data"] == {"ours": "2"}
            found = await meanwhile(made(config_map("b", theirs="1")), f"{MAPS}/b", {"data": {"ours": "1"}}, MERGE)
            assert found["data"] == both
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
        found = await meanwhile(made({**role, "rules": []}, kinds.ROLE), kinds.ROLE.path("default", "r"), role)
        assert found["rules"] == rules

    run(tmp_path, test)
