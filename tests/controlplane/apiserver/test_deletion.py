"""What a DELETE does to an object."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT
from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.registry import deletion
from controlplane.apiserver.strategies import pods
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


def test_what_is_no_delete_options_deletes_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = CONFIG_MAP.path("default", "kept")
        await client.create(
            CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}, "default"
        )
        for where in (path, CONFIG_MAP.path("default")):
            with pytest.raises(errors.BadRequest, match='^no kind "ConfigMap" is registered for version "v1"'):
                await client.request("DELETE", where, body={"apiVersion": "v1", "kind": "ConfigMap"})
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
        # Upstream looks at whether anything is named, not at what.
        assert (await evict(["Some"]))["status"] == "Success"
        with pytest.raises(errors.Invalid, match='dryRun: Unsupported value: ..Some..: supported values: "All"'):
            await evict([], dryRun="Some")
        with pytest.raises(errors.ApiError, match="Non-matching dry-run options in request and content"):
            await evict(["Some"], dryRun="All")
        assert await client.get(POD, "p", "default")
        await evict([])
        with pytest.raises(errors.NotFound):
            await client.get(POD, "p", "default")

    run(tmp_path, test)
