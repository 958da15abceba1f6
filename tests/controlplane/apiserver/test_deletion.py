"""What a DELETE does to an object."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, NAMESPACE, POD, SERVICE_ACCOUNT
from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.registry import deletion
from controlplane.apiserver.resources import core
from controlplane.apiserver.strategies import namespaces, pods
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
POD_STRATEGY = Strategy(grace=pods.grace)


def obj(**metadata: Any) -> Obj:
    return {"metadata": {"name": "x", **metadata}}


def pod(node: str = "n1", phase: str = "Running", **metadata: Any) -> Obj:
    return {**obj(**metadata), "spec": {"nodeName": node}, "status": {"phase": phase}}


def test_an_object_without_finalizers_goes_at_once() -> None:
    assert deletion.plan(obj(), {}, PLAIN, NOW) == deletion.Verdict(True)


def test_finalizers_leave_it_marked() -> None:
    verdict = deletion.plan(obj(finalizers=["a/b"], generation=3), {}, PLAIN, NOW)
    assert not verdict.remove and verdict.store is not None
    metadata = verdict.store["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert (metadata["deletionGracePeriodSeconds"], metadata["generation"]) == (0, 4)


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)]
)
def test_propagation_policies_become_finalizers(policy: str, finalizer: str | None) -> None:
    verdict = deletion.plan(obj(), {"propagationPolicy": policy}, PLAIN, NOW)
    if finalizer is None:
        assert verdict == deletion.Verdict(True)
    else:
        assert verdict.store is not None and verdict.store["metadata"]["finalizers"] == [finalizer]


@pytest.mark.parametrize(
    ("node", "phase", "asked", "seconds", "remove"),
    [
        ("n1", "Running", None, 30, False),
        ("n1", "Running", 5, 5, False),
        ("n1", "Running", 0, 0, True),
        ("", "Pending", None, 0, True),
        ("n1", "Succeeded", None, 0, True),
        ("n1", "Running", -3, 1, False),
    ],
)
def test_pods_get_time_to_end(node: str, phase: str, asked: int | None, seconds: int, remove: bool) -> None:
    options = {} if asked is None else {"gracePeriodSeconds": asked}
    verdict = deletion.plan(pod(node, phase), options, POD_STRATEGY, NOW)
    assert verdict.remove is remove and verdict.store is not None
    assert verdict.store["metadata"]["deletionGracePeriodSeconds"] == seconds


def test_a_second_delete_only_shortens() -> None:
    dying: Obj = {"deletionTimestamp": "2026-01-02T03:04:30Z", "deletionGracePeriodSeconds": 30}
    assert deletion.plan(pod(**dying), {}, POD_STRATEGY, NOW) == deletion.Verdict(False)
    assert deletion.plan(pod(**dying), {"gracePeriodSeconds": 60}, POD_STRATEGY, NOW) == deletion.Verdict(False)
    shorter = deletion.plan(pod(**dying), {"gracePeriodSeconds": 10}, POD_STRATEGY, NOW)
    assert shorter.store is not None
    assert shorter.store["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:10Z"
    assert deletion.plan(pod(**dying), {"gracePeriodSeconds": 0}, POD_STRATEGY, NOW).remove


def test_a_time_that_is_over_already_leaves_the_last_word_to_the_node() -> None:
    dying: Obj = {"deletionTimestamp": "2026-01-02T03:04:30Z", "deletionGracePeriodSeconds": 30}
    for asked, left in ((3, 1), (-5, 1), (0, 0)):
        verdict = deletion.plan(pod(**dying, finalizers=["a/b"]), {"gracePeriodSeconds": asked}, POD_STRATEGY, NOW)
        assert verdict.store is not None and not verdict.remove
        assert verdict.store["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
        assert verdict.store["metadata"]["deletionGracePeriodSeconds"] == left


def test_a_pod_without_time_left_is_asked_about_its_dependents_again() -> None:
    dying: Obj = {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 0, "finalizers": ["a/b"]}
    assert deletion.plan(pod(**dying), {}, POD_STRATEGY, NOW) == deletion.Verdict(False)
    verdict = deletion.plan(pod(**dying), {"propagationPolicy": "Foreground"}, POD_STRATEGY, NOW)
    assert verdict.store is not None
    assert verdict.store["metadata"]["finalizers"] == ["a/b", "foregroundDeletion"]


def test_events_wait_for_no_dependents() -> None:
    event = core.EVENT.strategy
    for policy in ("Foreground", "Orphan"):
        assert deletion.plan(obj(), {"propagationPolicy": policy}, event, NOW) == deletion.Verdict(True)


def test_a_namespace_is_marked_before_it_goes_whatever_it_holds() -> None:
    strategy = Strategy(holds=namespaces.holds, deleting=namespaces.deleting)
    first = deletion.plan({**obj(), "spec": {}, "status": {"phase": "Active"}}, {}, strategy, NOW)
    assert first.store is not None and not first.remove
    assert first.store["metadata"] == {"name": "x", "deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert first.store["status"] == {"phase": "Terminating"}
    held = {**first.store, "spec": {"finalizers": ["kubernetes"]}}
    assert deletion.plan(held, {"propagationPolicy": "Orphan"}, strategy, NOW) == deletion.Verdict(False)
    assert deletion.plan({**first.store, "spec": {}}, {}, strategy, NOW) == deletion.Verdict(True)


def test_options_come_in_the_query_and_preconditions_name_the_kind(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(CONFIG_MAP, {"metadata": {"name": "m"}}, "default")
        path, uid = CONFIG_MAP.path("default", "m"), made["metadata"]["uid"]

        async def told(path: str, **query: str) -> str:
            with pytest.raises(errors.ApiError) as refused:
                await client.request("DELETE", path, query=query)
            return refused.value.message

        text = await told(path, uid="u")
        assert text == (
            'Operation cannot be fulfilled on ConfigMap "m": the UID in the precondition (u) does not match the UID '
            f"in record ({uid}). The object might have been deleted and then recreated"
        )
        text = await told(CONFIG_MAP.path("default"), resourceVersion="1")
        assert "on ConfigMap" in text and text.endswith(". The object might have been modified")
        text = await told(NAMESPACE.path(None, "default"), uid="u")
        assert 'on namespaces "default": Precondition failed: UID in precondition: u, UID in object meta: ' in text
        assert await told(path, gracePeriodSeconds="") == 'strconv.ParseInt: parsing "": invalid syntax'
        assert 'propagationPolicy: Unsupported value: ""' in await told(path, propagationPolicy="")
        assert 'dryRun: Unsupported value: [""]' in await told(path, dryRun="")
        await client.request("DELETE", path, query={"uid": uid, "orphanDependents": "False"})

    run(tmp_path, test)


def test_what_is_no_delete_options_deletes_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = CONFIG_MAP.path("default", "kept")
        await client.create(
            CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}, "default"
        )
        for where in (path, CONFIG_MAP.path("default")):
            with pytest.raises(errors.BadRequest, match='^no kind "ConfigMap" is registered for version "v1"'):
                await client.request("DELETE", where, body={"apiVersion": "v1", "kind": "ConfigMap"})
        # Of what cannot be read upstream says no more than what is wrong with it.
        odd: list[tuple[Obj | bytes, str]] = [
            ({"gracePeriodSeconds": "x"}, "json: cannot unmarshal string into Go struct field DeleteOptions.gracePer"),
            ({"apiVersion": "a/b/c"}, "unexpected GroupVersion string: a/b/c$"),
            ({"kind": 5}, "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct"),
            (b"{", "couldn't get version/kind; json parse error: unexpected end of JSON input$"),
            (b"[]", "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of"),
        ]
        for body, why in odd:
            with pytest.raises(errors.BadRequest, match=f"^{why}"):
                await client.request("DELETE", path, body=body)
        assert await client.get(CONFIG_MAP, "kept", "default")
        # Typed clients send theirs in the group of what they delete.
        await client.request("DELETE", path, body={"apiVersion": "apps/v1", "kind": "DeleteOptions"})

    run(tmp_path, test)


def test_an_eviction_for_show_leaves_the_pod(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
        path = POD.path("default", "p", "eviction")

        async def evict(named: list[str], **query: str) -> Any:
            eviction = {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": named}}
            return await client.request("POST", path, body=eviction, query=query)

        assert (await evict(["All"]))["status"] == "Success"
        for body, query in ((["Some"], {}), ([], {"dryRun": "Some"})):
            with pytest.raises(errors.Invalid, match='dryRun: Unsupported value: ..Some..: supported values: "All"'):
                await evict(body, **query)
        odd = {"metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "Odd"}}
        with pytest.raises(errors.Invalid, match='^DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsup'):
            await client.request("POST", path, body=odd)
        with pytest.raises(errors.ApiError, match="Non-matching dry-run options in request and content"):
            await evict(["Some"], dryRun="All")
        assert await client.get(POD, "p", "default")
        await evict([])
        with pytest.raises(errors.NotFound):
            await client.get(POD, "p", "default")

    run(tmp_path, test)
