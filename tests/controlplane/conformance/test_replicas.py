"""Deployments, ReplicaSets and ReplicationControllers."""

from __future__ import annotations

from pathlib import Path

from apimachinery import objects
from apimachinery.kinds import DEPLOYMENT, POD, REPLICA_SET, REPLICATION_CONTROLLER, Kind
from apimachinery.objects import Obj, controller_of, name, uid
from tests.controlplane.conformance.flows import NO_IMAGE, Flow, owned_by, side_by_side, template, workload

REVISION = "deployment.kubernetes.io/revision"


async def sizes(flow: Flow) -> dict[str, int]:
    """Replicas of the ReplicaSets by image."""
    found = await flow.every(REPLICA_SET)
    return {s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"] for s in found}


async def sized(flow: Flow, **wanted: int) -> None:
    """Wait for sizes by tag: `_1` is web:1."""
    expected = {f"web:{tag.lstrip('_')}": count for tag, count in wanted.items()}

    last: dict[str, int] = {}

    async def are() -> bool:
        nonlocal last
        last = await sizes(flow)
        return last == expected

    try:
        await flow.until(are)
    except AssertionError as error:
        raise AssertionError(f"wanted {expected}, last {last}") from error


def image(tag: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": f"web:{tag}"}]}}}}


async def lifecycle_of_a_deployment(flow: Flow) -> None:
    await flow.make(DEPLOYMENT, "web", workload(1), labels={"wht": flow.space})
    await flow.has(DEPLOYMENT, "web", availableReplicas=1, readyReplicas=1)
    grown = {"metadata": {"labels": {"more": "patched"}}, "spec": {"replicas": 2, **image("2")["spec"]}}
    await flow.patch(DEPLOYMENT, "web", grown)
    await flow.has(DEPLOYMENT, "web", availableReplicas=2, readyReplicas=2, updatedReplicas=2, replicas=2)
    # What somebody else writes into the status is put right again.
    await flow.patch(DEPLOYMENT, "web", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status")
    await flow.has(DEPLOYMENT, "web", readyReplicas=2, availableReplicas=2)
    await flow.keeps_conditions(DEPLOYMENT, "web")
    await flow.deletes_collection(DEPLOYMENT, f"wht={flow.space}", 1)
    await flow.pods_are(0)


async def scale_of_a_deployment(flow: Flow) -> None:
    await _scales(flow, DEPLOYMENT)


async def scale_of_a_replica_set(flow: Flow) -> None:
    await _scales(flow, REPLICA_SET)


async def _scales(flow: Flow, kind: Kind) -> None:
    await flow.make(kind, "web", workload(1))
    await flow.pods_are(1)
    await flow.scale(kind, "web", 2)
    await flow.pods_are(2)
    await flow.client.patch(kind, "web", {"spec": {"replicas": 4}}, flow.space, subresource="scale")
    await flow.has(kind, "web", availableReplicas=4)
    scale = await flow.client.get(kind, "web", flow.space, "scale")
    assert scale["status"] == {"replicas": 4, "selector": "app=web"}


async def a_rolling_update_takes_over_a_replica_set_and_counts_on_from_its_revision(flow: Flow) -> None:
    marks = {"labels": {"app": "web"}, "annotations": {REVISION: "3546343826724305832"}}
    old = await flow.make(REPLICA_SET, "older", workload(1), **marks)
    await flow.pods_are(1)
    made = await flow.make(DEPLOYMENT, "web", workload(1, "web:2"))
    await sized(flow, _1=0, _2=1)
    await flow.has(DEPLOYMENT, "web", availableReplicas=1, updatedReplicas=1, replicas=1)
    assert objects.annotations(await flow.get(DEPLOYMENT, "web"))[REVISION] == "3546343826724305833"
    sets = {name(s): s for s in await flow.every(REPLICA_SET)}
    assert owned_by(sets[name(old)], made)
    (new,) = (s for s in sets.values() if name(s) != name(old))
    assert objects.annotations(new)[REVISION] == "3546343826724305833"


async def old_replica_sets_are_cleaned_up(flow: Flow) -> None:
    await flow.make(REPLICA_SET, "older", workload(1), labels={"app": "web"})
    await flow.pods_are(1)
    await flow.make(DEPLOYMENT, "web", workload(1, "web:2", revisionHistoryLimit=0))
    await sized(flow, _2=1)


async def a_rollover_gives_up_what_was_not_finished(flow: Flow) -> None:
    await flow.make(REPLICA_SET, "older", workload(1), labels={"app": "web"})
    await flow.pods_are(1)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    await flow.make(DEPLOYMENT, "web", workload(1, NO_IMAGE, minReadySeconds=1, strategy=rolling))
    await sized(flow, _1=1, _404=1)
    await flow.patch(DEPLOYMENT, "web", image("3"))
    await sized(flow, _1=0, _404=0, _3=1)
    await flow.has(DEPLOYMENT, "web", availableReplicas=1, updatedReplicas=1, replicas=1)


async def scaling_between_two_revisions_is_proportional(flow: Flow) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2, "maxSurge": 3}}
    await flow.make(DEPLOYMENT, "web", workload(10, strategy=rolling))
    await flow.has(DEPLOYMENT, "web", availableReplicas=10)
    await flow.patch(DEPLOYMENT, "web", image("404"))
    await sized(flow, _1=8, _404=5)
    await flow.has(DEPLOYMENT, "web", availableReplicas=8, updatedReplicas=5)
    await flow.patch(DEPLOYMENT, "web", {"spec": {"replicas": 30}})
    await sized(flow, _1=20, _404=13)


async def a_replica_set_adopts_and_releases(flow: Flow) -> None:
    await flow.client.create(
        POD,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "alone", "namespace": flow.space, "labels": {"app": "web"}},
            "spec": template()["spec"],
        },
    )
    await flow.pods_are(1)
    made = await flow.make(REPLICA_SET, "web", workload(1))
    await flow.until(lambda: owned_by(flow.pods()[0], made))
    await flow.has(REPLICA_SET, "web", replicas=1)
    assert flow.names() == ["alone"]
    await flow.patch(POD, "alone", {"metadata": {"labels": {"app": "other"}}})
    await flow.until(lambda: any(name(p) == "alone" and controller_of(p) is None for p in flow.pods()))
    await flow.pods_are(1, app="web")


async def replace_patch_and_status_of_a_replica_set(flow: Flow) -> None:
    await flow.make(REPLICA_SET, "web", workload(1), labels={"wht": flow.space})
    await flow.pods_are(1)
    await flow.update(REPLICA_SET, "web", lambda stored: stored["spec"].update(replicas=2))
    await flow.pods_are(2)
    patch = {"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "web:5"}]}}}}
    await flow.patch(REPLICA_SET, "web", patch)
    await flow.has(REPLICA_SET, "web", availableReplicas=3)
    await flow.keeps_conditions(REPLICA_SET, "web")
    await flow.deletes_collection(REPLICA_SET, f"wht={flow.space}", 1)


async def lifecycle_of_a_replication_controller(flow: Flow) -> None:
    spec = {"replicas": 1, "selector": {"app": "web"}, "template": template()}
    await flow.make(REPLICATION_CONTROLLER, "web", spec, labels={"wht": flow.space})
    await flow.has(REPLICATION_CONTROLLER, "web", readyReplicas=1)
    await flow.patch(REPLICATION_CONTROLLER, "web", {"metadata": {"labels": {"more": "patched"}}})
    await flow.patch(REPLICATION_CONTROLLER, "web", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status")
    await flow.has(REPLICATION_CONTROLLER, "web", readyReplicas=1, availableReplicas=1)
    await flow.scale(REPLICATION_CONTROLLER, "web", 2)
    await flow.has(REPLICATION_CONTROLLER, "web", readyReplicas=2)
    # Of this kind nothing is deleted with the owner unless the client says so.
    await flow.deletes_collection(REPLICATION_CONTROLLER, f"wht={flow.space}", 1)
    await flow.pods_are(2)


async def a_replication_controller_goes_with_its_pods(flow: Flow) -> None:
    spec = {"replicas": 2, "selector": {"app": "web"}, "template": template()}
    await flow.make(REPLICATION_CONTROLLER, "web", spec)
    await flow.until(lambda: flow.pods())
    await flow.delete(REPLICATION_CONTROLLER, "web", propagation="Background")
    await flow.gone(REPLICATION_CONTROLLER, "web")
    await flow.pods_are(0)


async def owners_in_a_circle_go_all_the_same(flow: Flow) -> None:
    spec = template()["spec"]
    made = [await flow.make(POD, f"pod{number}", spec) for number in (1, 2, 3)]
    for each, owner in ((1, 3), (2, 1), (3, 2)):
        of = {"apiVersion": "v1", "kind": "Pod", "name": f"pod{owner}", "uid": uid(made[owner - 1])}
        reference = {**of, "controller": True, "blockOwnerDeletion": True}
        await flow.patch(POD, f"pod{each}", {"metadata": {"ownerReferences": [reference]}})
    await flow.delete(POD, "pod1", propagation="Foreground")
    for number in (1, 2, 3):
        await flow.gone(POD, f"pod{number}")


def test_deployments(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            lifecycle_of_a_deployment,
            scale_of_a_deployment,
            a_rolling_update_takes_over_a_replica_set_and_counts_on_from_its_revision,
        ),
    )


def test_deployments_that_roll(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            old_replica_sets_are_cleaned_up,
            a_rollover_gives_up_what_was_not_finished,
            scaling_between_two_revisions_is_proportional,
        ),
    )


def test_replica_sets_and_replication_controllers(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            scale_of_a_replica_set,
            a_replica_set_adopts_and_releases,
            replace_patch_and_status_of_a_replica_set,
            lifecycle_of_a_replication_controller,
            a_replication_controller_goes_with_its_pods,
            owners_in_a_circle_go_all_the_same,
        ),
    )
