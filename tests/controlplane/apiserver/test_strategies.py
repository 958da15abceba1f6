"""What the server itself writes into objects, and what it takes out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.objects import copy
from controlplane.apiserver import defaults
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.defaults.empties import Empties
from controlplane.apiserver.registry import upkeep
from controlplane.apiserver.resources import batch, core
from controlplane.apiserver.strategies import cluster, gates, storage, workloads
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]


def test_what_a_feature_gate_hides_is_dropped_unless_it_was_there() -> None:
    node: Obj = {"metadata": {"name": "n"}, "spec": {"configSource": {"configMap": {}}}}
    cluster.node_created(node)
    assert node["spec"] == {}
    lease: Obj = {"spec": {"strategy": "Oldest", "preferredHolder": "x", "holderIdentity": "y"}}
    kept: Obj = {"spec": dict(lease["spec"])}
    cluster.lease_changed(kept, {"spec": {"strategy": "Oldest"}})
    assert kept == lease
    cluster.lease_changed(kept, {"spec": {}})
    assert kept == {"spec": {"holderIdentity": "y"}}


def test_limits_without_a_name_get_one() -> None:
    named: Obj = {"metadata": {"name": "n"}}
    nameless: list[Obj] = [{"metadata": {}}, {"metadata": {}}]
    for limits in (named, *nameless):
        cluster.limits_created(limits)
    assert named["metadata"]["name"] == "n"
    assert len({limits["metadata"]["name"] for limits in nameless}) == 2


def job(template: Obj, **metadata: Any) -> Obj:
    spec = {"template": {"metadata": {"labels": template} if template else {}, "spec": {"containers": []}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "uid": "u", **metadata},
        "spec": spec,
    }


def test_a_job_adds_its_labels_to_those_given() -> None:
    made = job({"job-name": "mine"}, labels={"own": "x"})
    workloads.job_created(made)
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels["job-name"], labels["batch.kubernetes.io/job-name"]) == ("mine", "j")
    assert made["metadata"]["labels"] == {"own": "x"}
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}


def test_a_job_without_a_name_is_left_to_the_rules() -> None:
    made = job({})
    del made["metadata"]["name"]
    workloads.job_created(made)
    assert made["spec"]["template"]["metadata"]["labels"]["job-name"] == ""


def test_a_job_without_labels_gets_those_of_its_template_once_it_is_valid() -> None:
    made = job({})
    defaults.apply(made)
    workloads.job_created(made)
    assert "labels" not in made["metadata"]
    defaults.apply(made)
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("/apis/batch/v1/namespaces/default/jobs", {}),
        ("/api/v1/namespaces/default/replicationcontrollers", {"selector": {"a": "b"}}),
    ],
)
def test_a_status_without_labels_leaves_those_of_the_template(tmp_path: Path, path: str, spec: Obj) -> None:
    async def test(client: Client) -> None:
        pod = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never" if "jobs" in path else "Always"}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
        made = await client.request(
            "POST", path, body={"metadata": {"name": "x"}, "spec": {**spec, "template": template}}
        )
        status = {"metadata": {"name": "x"}, "spec": {}, "status": {}}
        changed = await client.request("PUT", f"{path}/x/status", body=status)
        assert changed["metadata"]["labels"] == made["metadata"]["labels"]
        assert changed["metadata"]["labels"].items() >= {"a": "b"}.items()

    run(tmp_path, test)


@pytest.mark.parametrize("row", [batch.JOB, core.POD, core.REPLICATION_CONTROLLER], ids=lambda row: row.kind.kind)
def test_the_last_touch_of_a_status_changes_nothing_of_what_is_stored(row: Resource) -> None:
    """It may have been stored without a default of today, and others read it."""
    pod = {"containers": [{"name": "c", "image": "i"}], "resources": {"limits": {"cpu": "1"}}}
    head = {"kind": row.kind.kind, "apiVersion": row.kind.api_version}
    old = {**head, "metadata": {"name": "x"}, "spec": pod if row is core.POD else {"template": {"spec": pod}}}
    before, new = copy(old), {**head, "metadata": {"name": "x"}, "status": {}}
    row.strategy.prepare_status(new, old)
    row.strategy.finish(new)
    assert old == before
    assert new["spec"] != before["spec"]


def test_a_pod_asks_for_what_a_limit_range_gives_its_containers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        place = "/api/v1/namespaces/default"
        await client.request("POST", f"{place}/serviceaccounts", body={"metadata": {"name": "default"}})
        limits = [{"type": "Container", "default": {"memory": "2Gi"}, "defaultRequest": {"memory": "1Gi"}}]
        await client.request(
            "POST", f"{place}/limitranges", body={"metadata": {"name": "l"}, "spec": {"limits": limits}}
        )
        spec = {"containers": [{"name": "c", "image": "i"}], "resources": {"limits": {"cpu": "1"}}}
        pod = await client.request("POST", f"{place}/pods", body={"metadata": {"name": "p"}, "spec": spec})
        assert pod["spec"]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}

    run(tmp_path, test)


def claim(**spec: Any) -> Obj:
    return {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], **spec}}


def test_data_sources_fill_in_each_other() -> None:
    new = claim(dataSource={"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "x"})
    storage.claim_created(new)
    assert new["spec"]["dataSourceRef"] == new["spec"]["dataSource"]
    new = claim(dataSourceRef={"apiGroup": "e.com", "kind": "Thing", "name": "x"})
    storage.claim_created(new)
    assert new["spec"]["dataSource"] == {"apiGroup": "e.com", "kind": "Thing", "name": "x"}
    new = claim(dataSource={"kind": "Pod", "name": "p"})
    storage.claim_created(new)
    assert "dataSource" not in new["spec"] and "dataSourceRef" not in new["spec"]
    new = claim(dataSourceRef={"kind": "PersistentVolumeClaim", "name": "x", "namespace": "elsewhere"})
    storage.claim_created(new)
    assert "dataSource" not in new["spec"], "the older field cannot say where"


def test_a_volumes_phase_is_dated() -> None:
    old = {
        "metadata": {},
        "spec": {},
        "status": {"phase": "Pending", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"},
    }
    same = {"metadata": {}, "spec": {"x": 1}, "status": {"phase": "Pending"}}
    storage.volume_status(same, old)
    assert same["status"] == old["status"] and same["spec"] == {}
    bound: Obj = {"metadata": {}, "spec": {}, "status": {"phase": "Bound", **{}}}
    storage.volume_status(bound, old)
    assert bound["status"]["lastPhaseTransitionTime"] > "2020-01-01T00:00:00Z"


def test_a_driver_counts_its_changes_from_nothing() -> None:
    old: Obj = {"metadata": {}, "spec": {"podInfoOnMount": False}}
    same: Obj = {"metadata": {}, "spec": {"podInfoOnMount": False}}
    new: Obj = {"metadata": {}, "spec": {"podInfoOnMount": True}}
    storage.driver_changed(same, old)
    storage.driver_changed(new, old)
    assert same["metadata"] == {} and new["metadata"] == {"generation": 1}


def test_fields_of_pods_behind_gates_stay_only_where_they_were() -> None:
    def made() -> Obj:
        sources = [{"clusterTrustBundle": {"path": "x"}}, {"secret": {}, "podCertificate": {}}]
        return {
            "volumes": [{"name": "v", "projected": {"sources": sources}}],
            "containers": [{"lifecycle": {"stopSignal": "SIGTERM"}}, {"lifecycle": {"stopSignal": "X", "preStop": {}}}],
            "schedulingGroup": {"podGroupName": "g"},
        }

    spec = made()
    gates.pod_spec(spec)
    assert spec == {
        "volumes": [{"name": "v", "projected": {"sources": [{}, {"secret": {}}]}}],
        "containers": [{}, {"lifecycle": {"preStop": {}}}],
    }
    kept = made()
    gates.pod_spec(kept, made())
    assert kept == made()
    deployment = {"spec": {"template": {"spec": made()}}}
    workloads.template_created(deployment)
    assert deployment["spec"]["template"]["spec"] == spec


def test_sources_of_claims() -> None:
    snapshot = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    odd = {"apiGroup": "a.b", "kind": "X", "name": "x"}

    def made(before: Obj, **spec: Any) -> Obj:
        storage.claim_sources(spec, before)
        return spec

    assert made({}, dataSource=odd) == {}, "an old client means nothing by it"
    assert made({}, dataSource=snapshot) == {"dataSource": snapshot, "dataSourceRef": snapshot}
    assert made({}, dataSource=odd, dataSourceRef=snapshot)["dataSource"] == odd, "which the rules refuse"
    assert made({}, dataSourceRef={**odd, "namespace": "n"}) == {}, "behind a feature gate"
    assert "dataSource" not in made({"dataSourceRef": odd}, dataSourceRef={**odd, "namespace": "n"})
    assert made({"dataSource": odd}, dataSource=odd)["dataSourceRef"] == odd


def test_to_say_once_more_what_one_owns_is_no_change() -> None:
    entry = {"manager": "m", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}
    old: Obj = {"metadata": {"name": "x", "managedFields": [entry]}, "spec": {"a": 1}}
    later = {**entry, "time": "2026-01-01T00:00:09Z"}
    again = {**old, "metadata": {"name": "x", "managedFields": [later]}}
    assert upkeep.is_as_it_was(again, old)
    assert not upkeep.is_as_it_was({**again, "spec": {"a": 2}}, old)
    more = {**later, "fieldsV1": {"f:spec": {}, "f:data": {}}}
    assert not upkeep.is_as_it_was({**old, "metadata": {"name": "x", "managedFields": [more]}}, old)


def test_a_number_that_becomes_true_is_a_change() -> None:
    old: Obj = {"metadata": {"name": "x", "generation": 1}, "spec": {"a": [{"b": 1}], "c": {}}}
    other: Obj = {**old, "spec": {"c": {}, "a": [{"b": True}]}}
    assert not upkeep.is_as_it_was(other, old)
    assert upkeep.is_as_it_was({**old, "spec": {"c": {}, "a": [{"b": 1.0}]}}, old)
    upkeep.count_generation(Strategy(generation=True), other, old, "", Empties())
    assert other["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("said", "counted"),
    [(None, "1"), ("7", "7"), ("0", "1"), ("-2", "1"), ("x", "1"), (f"{2**63 - 1}",) * 2, (f"{2**63}", "1")],
)
def test_a_daemon_set_begins_with_the_generation_that_its_template_says(said: str | None, counted: str) -> None:
    key = "deprecated.daemonset.template.generation"
    made: Obj = {"metadata": {"annotations": {} if said is None else {key: said}}, "spec": {}}
    workloads.daemon_set_created(made)
    assert made["metadata"]["annotations"] == {key: counted}
