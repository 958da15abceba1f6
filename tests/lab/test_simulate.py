"""Simulated nodes: which stage is next, and a real control plane that takes them for nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.client import Client
from apimachinery.errors import Conflict
from apimachinery.kinds import DEPLOYMENT, JOB, LEASE, NODE, POD, SERVICE_ACCOUNT
from apimachinery.kit.settings import SettingsError
from apimachinery.kit.tasks import end
from apimachinery.objects import Obj, name
from lab.simulate import plan
from lab.simulate.runner import ABREAST, LEASES, Runner
from lab.simulate.stages import DEFAULT_PODS, NodeStage, PodStage, Stages, load
from tests.controlplane.stage import Stage, stage
from tests.waiting import SECONDS, WHOLE, until

NOW = "2026-01-01T00:00:00Z"


def pod(phase: str = "", deleting: bool = False, owner: str = "", ready: bool = False, **labels: str) -> Obj:
    meta: Obj = {"name": "p", "labels": labels}
    if deleting:
        meta["deletionTimestamp"] = NOW
    if owner:
        meta["ownerReferences"] = [{"kind": owner, "name": "o", "uid": "u", "controller": True}]
    conditions = [{"type": "Ready", "status": "True"}] if ready else []
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": phase, "conditions": conditions},
    }


def unready(containers: str) -> Obj:
    """Not Ready, and its containers are (True) or are not, either."""
    made = pod("Running")
    made["status"]["conditions"] = [
        {"type": "Ready", "status": "False"},
        {"type": "ContainersReady", "status": containers},
    ]
    return made


def node(which: str, ready: str) -> Obj:
    return {"metadata": {"name": which}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


NEXT = [
    (pod(), DEFAULT_PODS, "Running"),
    (pod("Pending", deleting=True), DEFAULT_PODS, "Gone"),
    (pod("Running", deleting=True), DEFAULT_PODS, "Gone"),
    (pod("Succeeded", deleting=True), DEFAULT_PODS, "Gone"),
    (pod("Running", ready=True), DEFAULT_PODS, None),
    (pod("Running", owner="Job", ready=True), DEFAULT_PODS, "Succeeded"),
    (pod("Running", owner="ReplicaSet", ready=True), DEFAULT_PODS, None),
    (pod("Succeeded", owner="Job"), DEFAULT_PODS, None),
    (pod("Running", x="y"), (PodStage("Running", "Failed", labels={"x": "y"}),), "Failed"),
    (pod("Running", x="z"), (PodStage("Running", "Failed", labels={"x": "y"}),), None),
    # From Running to Running: it becomes Ready, or unready.
    (pod("Running"), (PodStage("Running", "Running"),), "Running"),
    (pod("Running", ready=True), (PodStage("Running", "Running"),), None),
    (pod("Running", ready=True), (PodStage("Running", "Running", ready=False),), "Running"),
    # Its node was silent, and is back; or a stage has said that it is unready.
    (unready("True"), DEFAULT_PODS, "Running"),
    (unready("False"), DEFAULT_PODS, None),
]


@pytest.mark.parametrize(("there", "stages", "to"), NEXT)
def test_the_first_stage_that_fits_is_next(there: Obj, stages: tuple[PodStage, ...], to: str | None) -> None:
    found = plan.pod_stage(there, stages)
    assert (found.to if found else None) == to


def test_what_a_stage_says_of_a_pod() -> None:
    running = plan.pod_status(pod(), PodStage("Pending", "Running", ready=False), "240.0.0.1", NOW)["status"]
    assert (running["phase"], running["podIP"], running["startTime"]) == ("Running", "240.0.0.1", NOW)
    assert {c["type"]: c["status"] for c in running["conditions"]}["Ready"] == "False"
    failed = plan.pod_status({**pod(), "status": running}, PodStage("Running", "Failed", reason="Why"), "x", "later")
    (ended,) = failed["status"]["containerStatuses"]
    terminated = {"exitCode": 1, "reason": "Why", "startedAt": NOW, "finishedAt": "later"}
    assert (failed["status"]["podIP"], ended["state"]["terminated"]) == ("240.0.0.1", terminated)


def test_addresses_are_not_used_twice() -> None:
    assert len({plan.address(number) for number in range(70000)}) == 70000


def test_nodes_turn_by_labels_and_state() -> None:
    here = plan.node(2, Stages(), NOW)
    stages = (NodeStage(False, {plan.ZONE: "zone-2"}, after=1), NodeStage(True, after=2))
    assert plan.node_stage(here, True, stages) == stages[0]
    assert plan.node_stage(here, False, stages) == stages[1]
    assert plan.node_stage(plan.node(1, Stages(), NOW), True, stages) is None


def test_the_file_of_stages(tmp_path: Path) -> None:
    example = load(Path(__file__).parents[2] / "docs/examples/stages.yaml")
    assert example.pods[4].labels == {"wherry.io/fails": "yes"}
    assert [one.ready for one in example.nodes] == [False, True]
    assert load(None) == Stages()
    wrong = tmp_path / "stages.yaml"
    for text, said in (
        ("{phase: Late, to: Gone}", "phase: 'Late'"),
        ("{phase: Running, to: Gone, after: -1}", "negative"),
    ):
        wrong.write_text(f"pods: [{text}]")
        with pytest.raises(SettingsError, match=said):
            load(wrong)


def test_a_deployment_of_somebody_else_is_left_alone() -> None:
    wrote: list[str] = []

    class Server:
        async def get(self, *_: Any) -> Obj:
            return {"metadata": {"name": plan.PODS, "namespace": plan.NAMESPACE, "uid": "u"}}

        async def list(self, *_: Any, **__: Any) -> Obj:
            return {"metadata": {"resourceVersion": "1"}, "items": []}

        def __getattr__(self, verb: str) -> Any:
            wrote.append(verb)
            raise AssertionError(verb)

    async def scenario() -> None:
        runner = Runner(cast(Client, Server()), Stages(), lambda _: None)
        with pytest.raises(Conflict, match="is not simulated"):
            await runner.start(1, 1)
        await runner.stop()
        assert not wrote

    asyncio.run(scenario())


def test_a_write_is_not_cut_off_by_what_the_watch_tells_of_it() -> None:
    """The watch tells of a write before its answer comes: cut off there, each pod would cost a connection."""
    answered: list[str] = []

    async def main() -> None:
        here = pod("Pending")
        here["metadata"] |= {"namespace": "default", "uid": "u"}
        here["spec"]["nodeName"] = "simulated-1"

        class Server:
            async def patch(self, kind: Any, which: str, patch: Obj, *where: Any, **how: Any) -> None:
                # As the watch does, which is a task of its own.
                asyncio.get_running_loop().call_soon(runner._on_pod, here, {**here, "status": patch["status"]})
                for _ in range(3):
                    await asyncio.sleep(0)
                answered.append(patch["status"]["phase"])

        runner = Runner(cast(Client, Server()), Stages(pods=(PodStage("Pending", "Running"),)), lambda _text: None)
        runner._ready = {"simulated-1": True}
        runner._on_pod(None, here)
        (move,) = runner._moves.values()
        await asyncio.wait((move,))
        assert answered == ["Running"]
        assert not runner._moves and not runner._writing

    asyncio.run(main())


def test_a_node_is_heard_of_however_much_there_is_to_say_of_pods() -> None:
    async def main() -> None:
        beats = asyncio.Event()

        class Server:
            async def patch(self, kind: Any, which: str, *what: Any, **how: Any) -> None:
                if kind is LEASE:
                    beats.set()
                else:
                    await asyncio.Event().wait()

        runner = Runner(cast(Client, Server()), Stages(pods=(PodStage("Pending", "Running"),)), lambda _text: None)
        runner._ready = {"simulated-1": True}
        for number in range(3 * ABREAST):
            here = pod("Pending")
            here["metadata"] |= {"namespace": "default", "uid": f"u{number}"}
            here["spec"]["nodeName"] = "simulated-1"
            runner._on_pod(None, here)
        await until(lambda: runner._abreast.locked())
        runner._spawn(runner._live("simulated-1"))
        await asyncio.wait_for(beats.wait(), SECONDS)
        await runner.leave()

    asyncio.run(main())


def test_pods_are_ready_again_with_their_node() -> None:
    """Declared unready because the node was silent, or said itself that it is NotReady: then not before it is Ready."""
    wrote: list[str] = []

    async def main() -> None:
        class Server:
            async def patch(self, kind: Any, which: str, patch: Obj, *where: Any, **how: Any) -> None:
                if kind is not LEASE:
                    wrote.append(which)
                if kind is NODE:
                    here = node(which, patch["status"]["conditions"][0]["status"])
                    # As the watch does, which is a task of its own.
                    asyncio.get_running_loop().call_soon(runner.nodes._replace, which, here)

        runner = Runner(cast(Client, Server()), Stages(nodes=(NodeStage(True),)), lambda _text: None)
        runner._ready = {"simulated-1": True, "simulated-2": False, "simulated-3": True}
        for number, ready in ((1, "True"), (2, "False"), (3, "Unknown")):
            runner.nodes._replace(f"simulated-{number}", node(f"simulated-{number}", ready))
            here = unready("True")
            here["metadata"] |= {"name": f"p{number}", "namespace": "default", "uid": f"u{number}"}
            here["spec"]["nodeName"] = f"simulated-{number}"
            runner.pods._replace(f"default/p{number}", here)
            runner._on_pod(None, here)
        await until(lambda: wrote == ["p1"])
        runner._spawn(runner._turn("simulated-2"))
        await until(lambda: wrote == ["p1", "simulated-2", "p2"])
        # Heard of again after it was silent for too long; the others have nothing more to say.
        for number in (1, 2, 3):
            await runner._beat(f"simulated-{number}")
        await until(lambda: wrote == ["p1", "simulated-2", "p2", "simulated-3", "p3"])
        await runner.leave()

    asyncio.run(main())


def test_a_control_plane_takes_them_for_nodes(tmp_path: Path) -> None:
    """A Deployment runs on them, a Job completes, a node in trouble is seen; and nothing is left at the end."""

    async def scenario(at: Stage) -> None:
        await at.start_loops()
        at.watch_pods()
        await at.until(lambda: _there(at, SERVICE_ACCOUNT, "default", "default"))
        troubled = (NodeStage(False, {plan.ZONE: "zone-2"}),)
        runner = Runner(at.client, Stages(nodes=troubled), lambda _: None)
        await runner.start(3, 6)
        await at.client.create(JOB, _job(), "default")
        await at.until(lambda: _status(at, DEPLOYMENT, plan.PODS, "readyReplicas", 6))
        await at.until(lambda: _status(at, JOB, "job", "succeeded", 2))
        await at.until(lambda: _is_out_of_use(at, "simulated-2"))
        assert {p["spec"]["nodeName"] for p in at.pods.items()} <= {plan.node_name(n) for n in (1, 2, 3)}
        await at.client.delete(JOB, "job", "default", propagation="Background")
        await runner.stop()
        await at.until(lambda: not at.pods.items())
        for kind, space in ((NODE, None), (LEASE, LEASES), (POD, None)):
            assert (await at.client.list(kind, space))["items"] == []

    async def run() -> None:
        async with stage(tmp_path) as at:
            await asyncio.wait_for(scenario(at), WHOLE)

    asyncio.run(run())


@pytest.mark.parametrize("fails", [False, True])
def test_a_start_that_was_cut_off_or_failed_is_taken_away_and_nobody_elses_node(tmp_path: Path, fails: bool) -> None:
    async def run() -> None:
        async with stage(tmp_path) as at:
            runner = Runner(at.client, Stages(), lambda _: None)
            if fails:
                theirs = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": plan.node_name(20)}}
                await at.client.create(NODE, theirs)
            starting = asyncio.ensure_future(runner.start(500, 0))
            if fails:
                with pytest.raises(Conflict):
                    await starting
            else:
                await at.until(lambda: _there(at, NODE, plan.node_name(1)))
                await end([starting], 5.0)
            await runner.stop()
            left = [name(node) for node in (await at.client.list(NODE))["items"]]
            assert left == ([plan.node_name(20)] if fails else [])

    asyncio.run(run())


def _job() -> Obj:
    toleration = {"key": plan.LABEL, "operator": "Exists"}
    template: dict[str, Any] = {"restartPolicy": "Never", "tolerations": [toleration]}
    template["containers"] = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": "job"}, "spec": {"completions": 2, "parallelism": 2, "template": {"spec": template}}}


async def _there(at: Stage, kind: Any, item: str, space: str | None = None) -> bool:
    return item in {name(obj) for obj in (await at.client.list(kind, space))["items"]}


async def _status(at: Stage, kind: Any, item: str, field: str, value: int) -> bool:
    return (await at.client.get(kind, item, "default")).get("status", {}).get(field) == value


async def _is_out_of_use(at: Stage, node: str) -> bool:
    taints = (await at.client.get(NODE, node))["spec"].get("taints") or ()
    return "node.kubernetes.io/not-ready" in {taint["key"] for taint in taints}
