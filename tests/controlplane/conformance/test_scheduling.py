"""Where pods may go, and for whom others have to: each flow has a resource of its own on one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.kinds import LIMIT_RANGE, NODE, POD, PRIORITY_CLASS, REPLICA_SET
from apimachinery.objects import Obj, is_deleting
from tests.controlplane.conformance.flows import Flow, side_by_side, template, workload


async def room(flow: Flow, amount: int) -> str:
    """So much of a resource on node1 that only this flow's pods ask for; its name."""
    what = f"wht.example/{flow.space}"
    await flow.patch(
        NODE, "node1", {"status": {kind: {what: str(amount)} for kind in ("capacity", "allocatable")}}, "status"
    )
    return what


def asking(what: str, amount: int, **spec: Any) -> Obj:
    told = {kind: {what: str(amount)} for kind in ("requests", "limits")}
    return {"containers": [{"name": "c", "image": "web:1", "resources": told}], **spec}


async def priority(flow: Flow, value: int) -> str:
    called = f"{flow.space}-{value}"
    body = {
        "apiVersion": PRIORITY_CLASS.api_version,
        "kind": "PriorityClass",
        "metadata": {"name": called},
        "value": value,
    }
    await flow.client.create(PRIORITY_CLASS, body)
    return called


async def runs(flow: Flow, pod: str, space: str | None = None) -> None:
    async def told() -> bool:
        found = await flow.client.get(POD, pod, space or flow.space)
        return (found.get("status") or {}).get("phase") == "Running"

    await flow.until(told)


async def refused(flow: Flow, pod: str, text: str) -> None:
    """The pod has no node, and its condition says why."""

    async def told() -> bool:
        conditions = (await flow.status(POD, pod)).get("conditions") or ()
        found = [c for c in conditions if c["type"] == "PodScheduled"]
        return [(c["status"], c["reason"]) for c in found] == [("False", "Unschedulable")] and text in found[0][
            "message"
        ]

    await flow.until(told)


async def what_is_taken_is_not_given_twice(flow: Flow) -> None:
    what = await room(flow, 5)
    for number, amount in enumerate((2, 3)):
        await flow.make(POD, f"fits{number}", asking(what, amount))
    await flow.pods_are(2)
    await flow.make(POD, "more", asking(what, 1))
    await refused(flow, "more", f"Insufficient {what}")
    await flow.delete(POD, "fits0")
    await runs(flow, "more")


async def a_selector_of_nodes_is_kept_to(flow: Flow) -> None:
    mark = f"wht-{flow.space}"
    await flow.make(POD, "nowhere", template(pod={"nodeSelector": {mark: "42"}})["spec"])
    await refused(flow, "nowhere", "didn't match Pod's node affinity/selector")
    await flow.patch(NODE, "node2", {"metadata": {"labels": {mark: "42"}}})
    await runs(flow, "nowhere")
    assert (await flow.get(POD, "nowhere"))["spec"]["nodeName"] == "node2"


async def the_less_important_gives_way(flow: Flow) -> None:
    what = await room(flow, 3)
    low, high = await priority(flow, 1), await priority(flow, 100)
    await flow.make(POD, "low", asking(what, 2, priorityClassName=low))
    await flow.make(POD, "middle", asking(what, 1, priorityClassName=high))
    await flow.pods_are(2)
    await flow.make(POD, "high", asking(what, 2, priorityClassName=high))
    await flow.gone(POD, "low")
    await runs(flow, "high")
    await flow.until(lambda: flow.names() == ["high", "middle"])


async def a_critical_pod_takes_its_room(flow: Flow) -> None:
    what = await room(flow, 2)
    await flow.make(POD, "low", asking(what, 2, priorityClassName=await priority(flow, 2)))
    await flow.pods_are(1)
    critical = asking(what, 2, priorityClassName="system-cluster-critical")
    meta = {"name": f"critical-{flow.space}", "namespace": "kube-system"}
    await flow.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": critical})
    await flow.gone(POD, "low")
    await runs(flow, meta["name"], "kube-system")
    await flow.client.delete(POD, meta["name"], "kube-system")


async def who_gave_way_says_for_what(flow: Flow) -> None:
    what = await room(flow, 1)
    low, high = await priority(flow, 3), await priority(flow, 300)
    await flow.make(POD, "victim", asking(what, 1, priorityClassName=low), finalizers=["example.com/kept"])
    await flow.pods_are(1)
    await flow.make(POD, "preemptor", asking(what, 1, priorityClassName=high))

    async def marked() -> bool:
        victim = await flow.get(POD, "victim")
        found = [c for c in victim["status"]["conditions"] if c["type"] == "DisruptionTarget"]
        return is_deleting(victim) and [(c["status"], c["reason"]) for c in found] == [
            ("True", "PreemptionByScheduler")
        ]

    await flow.until(marked)
    # The finalizer keeps it in the way of nobody but itself.
    await flow.update(POD, "victim", lambda pod: pod["metadata"].update(finalizers=[]))
    await flow.gone(POD, "victim")
    await runs(flow, "preemptor")


async def sets_of_several_priorities_lose_the_lowest(flow: Flow) -> None:
    what = await room(flow, 5)
    for value, replicas in ((1001, 2), (1002, 2), (1003, 1)):
        named = asking(what, 1, priorityClassName=await priority(flow, value))
        made = {**workload(replicas), "selector": {"matchLabels": {"of": str(value)}}}
        made["template"] = {"metadata": {"labels": {"of": str(value)}}, "spec": named}
        await flow.make(REPLICA_SET, f"of-{value}", made)
        await flow.has(REPLICA_SET, f"of-{value}", readyReplicas=replicas)
    await flow.make(POD, "urgent", asking(what, 3, priorityClassName=await priority(flow, 1004)))
    await runs(flow, "urgent")
    await flow.has(REPLICA_SET, "of-1001", readyReplicas=0)
    await flow.has(REPLICA_SET, "of-1002", readyReplicas=1)
    await flow.has(REPLICA_SET, "of-1003", readyReplicas=1)


async def the_value_of_a_priority_stays(flow: Flow) -> None:
    called = await priority(flow, 77)
    await flow.patch(PRIORITY_CLASS, called, {"metadata": {"labels": {"wht": flow.space}}, "description": "new"})
    with pytest.raises(errors.Invalid, match="value: Forbidden: may not be changed in an update"):
        await flow.patch(PRIORITY_CLASS, called, {"value": 78})
    found = await flow.get(PRIORITY_CLASS, called)
    assert (found["value"], found["description"]) == (77, "new")
    with pytest.raises(errors.Invalid, match="value"):
        await flow.client.update(PRIORITY_CLASS, {**found, "value": 78})
    await flow.client.delete_collection(PRIORITY_CLASS, label_selector=f"wht={flow.space}")
    await flow.gone(PRIORITY_CLASS, called)


async def a_range_gives_pods_what_they_do_not_say(flow: Flow) -> None:
    limits = {
        "type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi"},
        "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "500m", "memory": "500Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
    }
    await flow.make(LIMIT_RANGE, "range", {"limits": [limits]}, labels={"wht": flow.space})
    bare = await flow.make(POD, "bare", template()["spec"])
    given = bare["spec"]["containers"][0]["resources"]
    assert given == {"limits": limits["default"], "requests": limits["defaultRequest"]}
    some = template()["spec"]
    some["containers"][0]["resources"] = {"requests": {"cpu": "300m"}, "limits": {"memory": "300Mi"}}
    told = (await flow.make(POD, "some", some))["spec"]["containers"][0]["resources"]
    # Where a limit is said and no request, the limit is the request.
    assert told["requests"] == {"cpu": "300m", "memory": "300Mi"}
    assert told["limits"] == {"cpu": "500m", "memory": "300Mi"}
    for wrong, text in (
        ({"cpu": "10m"}, "minimum cpu usage per Container is 50m"),
        ({"cpu": "600m"}, "maximum cpu usage"),
    ):
        some["containers"][0]["resources"] = {"requests": wrong, "limits": wrong}
        with pytest.raises(errors.Forbidden, match=text):
            await flow.make(POD, "wrong", some)
    await flow.update(LIMIT_RANGE, "range", lambda r: r["spec"]["limits"][0].update(min={"cpu": "9m", "memory": "1Mi"}))
    some["containers"][0]["resources"] = {"requests": {"cpu": "10m"}}
    await flow.make(POD, "less", some)
    await flow.deletes_collection(LIMIT_RANGE, f"wht={flow.space}", 1)
    assert not (await flow.make(POD, "free", template()["spec"]))["spec"]["containers"][0].get("resources")


def test_where_pods_may_go_and_what_they_are_given(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            what_is_taken_is_not_given_twice,
            a_selector_of_nodes_is_kept_to,
            the_less_important_gives_way,
            a_critical_pod_takes_its_room,
            who_gave_way_says_for_what,
            sets_of_several_priorities_lose_the_lowest,
            the_value_of_a_priority_stays,
            a_range_gives_pods_what_they_do_not_say,
        ),
    )
