"""StatefulSets and DaemonSets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apimachinery.kinds import CONTROLLER_REVISION, DAEMON_SET, NODE, POD, STATEFUL_SET
from apimachinery.objects import Obj, labels, name, uid
from tests.controlplane.conformance.flows import NO_IMAGE, Flow, side_by_side, template, workload
from tests.controlplane.conformance.test_replicas import image


def stateful(replicas: int = 3, **spec: Any) -> Obj:
    return workload(replicas, serviceName="web", **spec)


async def scaling_goes_in_order_and_halts_at_an_unhealthy_pod(flow: Flow) -> None:
    await flow.make(STATEFUL_SET, "web", stateful(1))
    (first,) = await flow.pods_are(1)
    await flow.ready(first, False)
    await flow.has(STATEFUL_SET, "web", replicas=1, readyReplicas=0)
    await flow.patch(STATEFUL_SET, "web", {"spec": {"replicas": 3}})
    generation = (await flow.get(STATEFUL_SET, "web"))["metadata"]["generation"]
    await flow.has(STATEFUL_SET, "web", observedGeneration=generation, replicas=1)
    assert flow.names() == ["web-0"]
    await flow.ready(first, True)
    await flow.has(STATEFUL_SET, "web", readyReplicas=3)
    births = [p["metadata"]["creationTimestamp"] for p in await flow.pods_are(3, ready=False)]
    assert flow.names() == ["web-0", "web-1", "web-2"] and births == sorted(births)
    # All of them: a pod that is well goes, whatever those before it are.
    for pod in flow.pods():
        await flow.ready(pod, False)
    await flow.has(STATEFUL_SET, "web", readyReplicas=0)
    await flow.patch(STATEFUL_SET, "web", {"spec": {"replicas": 0}})
    generation = (await flow.get(STATEFUL_SET, "web"))["metadata"]["generation"]
    await flow.has(STATEFUL_SET, "web", observedGeneration=generation, replicas=3)
    assert len(flow.names()) == 3
    for pod in flow.pods():
        await flow.ready(pod, True)
    await flow.pods_are(0)


async def bursts_wait_for_nobody(flow: Flow) -> None:
    await flow.make(STATEFUL_SET, "web", stateful(1, podManagementPolicy="Parallel"))
    (first,) = await flow.pods_are(1)
    await flow.ready(first, False)
    await flow.patch(STATEFUL_SET, "web", {"spec": {"replicas": 3}})
    await flow.pods_are(3)
    await flow.has(STATEFUL_SET, "web", readyReplicas=2)
    await flow.patch(STATEFUL_SET, "web", {"spec": {"replicas": 0}})
    await flow.pods_are(0)


async def a_failed_pod_of_a_set_is_made_anew(flow: Flow) -> None:
    await flow.make(STATEFUL_SET, "web", stateful(1))
    (first,) = await flow.pods_are(1)
    await flow.tell(first, phase="Failed", reason="Evicted")
    await flow.until(lambda: flow.names() == ["web-0"] and uid(flow.pods()[0]) != uid(first))


async def scale_and_collection_of_a_stateful_set(flow: Flow) -> None:
    await flow.make(STATEFUL_SET, "web", stateful(1), labels={"wht": flow.space})
    await flow.pods_are(1)
    await flow.scale(STATEFUL_SET, "web", 2)
    await flow.has(STATEFUL_SET, "web", readyReplicas=2)
    scale = await flow.client.get(STATEFUL_SET, "web", flow.space, "scale")
    assert scale["status"]["selector"] == "app=web"
    await flow.keeps_conditions(STATEFUL_SET, "web")
    await flow.deletes_collection(STATEFUL_SET, f"wht={flow.space}", 1)


async def a_set_rolls_and_rolls_back_to_the_revision_it_had(flow: Flow) -> None:
    await flow.make(STATEFUL_SET, "web", stateful(3))
    await flow.has(STATEFUL_SET, "web", readyReplicas=3)
    first = (await flow.status(STATEFUL_SET, "web"))["currentRevision"]
    last: list[str] = []

    async def settled(revision_of: str | None = None) -> bool:
        status = await flow.status(STATEFUL_SET, "web")
        last[:] = [status["updateRevision"]]
        same = status["currentRevision"] == status["updateRevision"] and status.get("readyReplicas") == 3
        fitting = {labels(p)["controller-revision-hash"] for p in flow.pods()} == {status["updateRevision"]}
        return same and fitting and (status["updateRevision"] == first) is (revision_of == first)

    await flow.patch(STATEFUL_SET, "web", image("2"))
    await flow.until(settled)
    assert last != [first]
    await flow.patch(STATEFUL_SET, "web", image("1"))
    await flow.until(lambda: settled(first))
    assert len(await flow.every(CONTROLLER_REVISION)) == 2


async def daemons_run_on_every_node_and_failed_ones_again(flow: Flow) -> None:
    await flow.make(DAEMON_SET, "web", workload(None), labels={"wht": flow.space})
    first = (await flow.pods_are(3))[0]
    assert {p["spec"]["nodeName"] for p in flow.pods()} == {"node1", "node2", "node3"}
    await flow.delete(POD, name(first))
    await flow.until(lambda: uid(first) not in map(uid, flow.pods()))
    second = (await flow.pods_are(3))[0]
    await flow.tell(second, phase="Failed")
    await flow.until(lambda: uid(second) not in map(uid, flow.pods()))
    await flow.pods_are(3)
    await flow.has(DAEMON_SET, "web", numberReady=3, numberAvailable=3)
    await flow.keeps_conditions(DAEMON_SET, "web")
    await flow.deletes_collection(DAEMON_SET, f"wht={flow.space}", 1)
    await flow.pods_are(0)


async def daemons_follow_the_labels_of_nodes(flow: Flow) -> None:
    color = f"color-{flow.space}"
    chosen = template(pod={"nodeSelector": {color: "blue"}})
    await flow.make(DAEMON_SET, "web", {**workload(None), "template": chosen})
    await flow.has(DAEMON_SET, "web", observedGeneration=1, desiredNumberScheduled=0)
    assert not flow.pods()
    await flow.patch(NODE, "node1", {"metadata": {"labels": {color: "blue"}}})
    await flow.pods_are(1)
    await flow.patch(NODE, "node1", {"metadata": {"labels": {color: "green"}}})
    await flow.pods_are(0)
    green = {"spec": {"template": {"spec": {"nodeSelector": {color: "green"}}}}}
    await flow.patch(DAEMON_SET, "web", green)
    (pod,) = await flow.pods_are(1)
    assert pod["spec"]["nodeName"] == "node1"


async def a_rollback_restarts_no_daemon_without_need(flow: Flow) -> None:
    await flow.make(DAEMON_SET, "web", workload(None))
    before = {uid(p) for p in await flow.pods_are(3)}
    revision = labels(flow.pods()[0])["controller-revision-hash"]
    await flow.patch(DAEMON_SET, "web", {"spec": {"template": template(NO_IMAGE)}})
    await flow.until(lambda: any(p["spec"]["containers"][0]["image"] == NO_IMAGE for p in flow.pods()))
    # One at a time may be missing: the others are as they were.
    kept = before & {uid(p) for p in flow.pods()}
    assert len(kept) == 2
    await flow.patch(DAEMON_SET, "web", {"spec": {"template": template()}})
    await flow.has(DAEMON_SET, "web", numberReady=3, updatedNumberScheduled=3, observedGeneration=3)
    now = await flow.pods_are(3)
    assert kept <= {uid(p) for p in now}
    assert {labels(p)["controller-revision-hash"] for p in now} == {revision}
    hashes = {labels(r)["controller-revision-hash"]: r["revision"] for r in await flow.every(CONTROLLER_REVISION)}
    assert hashes[revision] == 3


def test_stateful_sets(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            scaling_goes_in_order_and_halts_at_an_unhealthy_pod,
            bursts_wait_for_nobody,
            a_failed_pod_of_a_set_is_made_anew,
            scale_and_collection_of_a_stateful_set,
            a_set_rolls_and_rolls_back_to_the_revision_it_had,
        ),
    )


def test_daemon_sets(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            daemons_run_on_every_node_and_failed_ones_again,
            daemons_follow_the_labels_of_nodes,
            a_rollback_restarts_no_daemon_without_need,
        ),
    )
