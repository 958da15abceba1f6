"""Scheduler and controllers against the real API server, with nodes that pretend."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery import discovery, errors
from apimachinery.client import Client
from apimachinery.kinds import (
    API_SERVICE,
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    IP_ADDRESS,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE,
    SERVICE_ACCOUNT,
    SERVICE_CIDR,
    VALIDATING_ADMISSION_POLICY,
)
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.objects import Obj, copy, name, uid
from tests.controlplane.apiserver.aggregated import GROUP, aggregated
from tests.controlplane.apiserver.aggregated import settings as fronted
from tests.controlplane.stage import Stage, stage
from tests.waiting import WHOLE

Scenario = Callable[[Stage], Awaitable[None]]


def deployment(replicas: int, space: str = "default", **spec: Any) -> Obj:
    container = {"name": "c", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


SERVICE_OF_WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}


def pod(pod_name: str, cpu: str = "100m", **spec: Any) -> Obj:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_name, "namespace": "default"},
        "spec": {"containers": [container], **spec},
    }


def play(root: Path, scenario: Scenario, nodes: int = 3, cpu: str = "4", **settings: Any) -> None:
    async def run() -> None:
        async with stage(root) as at:
            await at.start_loops(**settings)
            at.watch_pods()
            await at.add_nodes(nodes, cpu)
            await at.until(lambda: _there(at.client.get(SERVICE_ACCOUNT, "default", "default")))
            await asyncio.wait_for(scenario(at), WHOLE)

    asyncio.run(run())


def test_what_died_on_a_stage_is_told_at_once(tmp_path: Path) -> None:
    async def dies() -> None:
        raise OSError("gone")

    async def scenario(*, is_loop: bool) -> None:
        at = Stage(tmp_path, cast(Client, None))
        if is_loop:
            at._loops.append(Lifecycle())
            at._loops[0].spawn("loop", dies())
        else:
            at._tasks.append(asyncio.ensure_future(dies()))
        with pytest.raises(RuntimeError, match="a part of the stage has died: OSError\\('gone'\\)"):
            await at.until(lambda: False, within=1)

    for is_loop in (True, False):
        asyncio.run(scenario(is_loop=is_loop))


def test_taints_evict_pods_after_their_tolerations_and_may_be_taken_back(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        at.silent.add("node1")
        for pod_name, seconds in (("brief", 1), ("long", 300)):
            fits = [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]
            await at.client.create(POD, pod(pod_name, nodeName="node1", tolerations=fits))
        # As a person's: nothing says when it was added.
        taint = {"key": "k", "effect": "NoExecute"}
        await at.client.patch(NODE, "node1", {"spec": {"taints": [taint]}})

        async def marked() -> Any:
            return (await at.client.get(POD, "brief", "default"))["metadata"].get("deletionTimestamp")

        await at.until(marked)
        (mark,) = [
            c
            for c in (await at.client.get(POD, "brief", "default"))["status"]["conditions"]
            if c["type"] == "DisruptionTarget"
        ]
        assert (mark["status"], mark["reason"]) == ("True", "DeletionByTaintManager")
        assert mark["message"] == "Taint manager: deleting due to NoExecute taint"
        assert not (await at.client.get(POD, "long", "default"))["metadata"].get("deletionTimestamp")
        await at.client.patch(NODE, "node1", {"spec": {"taints": None}})

        async def told() -> bool:
            events = (await at.client.list(EVENT, "default"))["items"]
            return any(each["message"] == "Cancelling deletion of Pod default/long" for each in events)

        await at.until(told)
        # Who tolerates for less from now on goes sooner.
        await at.client.patch(NODE, "node1", {"spec": {"taints": [taint]}})
        less = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        kept = (await at.client.get(POD, "long", "default"))["spec"]["tolerations"]
        await at.client.patch(POD, "long", {"spec": {"tolerations": [{**kept[0], **less}, *kept[1:]]}}, "default")

        async def gone_too() -> Any:
            return (await at.client.get(POD, "long", "default"))["metadata"].get("deletionTimestamp")

        await at.until(gone_too)

    play(tmp_path, scenario, nodes=1)


def test_quotas_are_counted_by_the_loop_where_the_server_leaves_it_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path, disable_admission=("ResourceQuota",)) as at:
            await at.start_loops(controllers=("resourcequota-controller",))
            account = {"metadata": {"name": "default"}}
            await at.client.create(SERVICE_ACCOUNT, account, "default")
            for pod_name in ("a", "b"):
                await at.client.create(POD, pod(pod_name, cpu="500m"))
            meta = {"name": "q", "namespace": "default"}
            hard = {"pods": "3", "requests.cpu": "4", "count/configmaps": "5"}
            await at.client.create(RESOURCE_QUOTA, {"metadata": meta, "spec": {"hard": hard}})

            async def told(used: Obj, limits: Obj = hard) -> bool:
                status = (await at.client.get(RESOURCE_QUOTA, "q", "default")).get("status") or {}
                return status.get("used") == used and status.get("hard") == limits

            maps = str(len((await at.client.list(CONFIG_MAP, "default"))["items"]))
            await at.until(lambda: told({"pods": "2", "requests.cpu": "1", "count/configmaps": maps}))
            await at.client.delete(POD, "a", "default", grace_period=0)
            await at.until(lambda: told({"pods": "1", "requests.cpu": "500m", "count/configmaps": maps}))
            done: Obj = {"status": {"phase": "Succeeded"}}
            await at.client.patch(POD, "b", done, "default", subresource="status")
            await at.until(lambda: told({"pods": "0", "requests.cpu": "0", "count/configmaps": maps}))
            await at.client.patch(RESOURCE_QUOTA, "q", {"spec": {"hard": {**hard, "pods": "1"}}}, "default")
            await at.until(
                lambda: told({"pods": "0", "requests.cpu": "0", "count/configmaps": maps}, {**hard, "pods": "1"})
            )

    asyncio.run(asyncio.wait_for(scenario(), WHOLE))


def test_of_a_policy_the_generation_that_was_seen_is_told(tmp_path: Path) -> None:
    """And that the types of its expressions were looked at, and fit."""
    validations = [{"expression": "object.spec.replicas < 5"}]
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    # Of what another server serves nobody publishes a type.
    other = {"apiGroups": [GROUP], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["flunders"]}

    async def scenario() -> None:
        async with aggregated(tmp_path) as behind, stage(tmp_path, **fronted(tmp_path)) as at:
            await behind.register(at.client)
            await at.until(lambda: discovered(at.client))
            await at.start_loops(controllers=("validatingadmissionpolicy-status-controller",))

            async def status() -> Obj:
                found = await at.client.get(VALIDATING_ADMISSION_POLICY, "p")
                return cast(Obj, found.get("status") or {})

            await at.client.create(VALIDATING_ADMISSION_POLICY, {"metadata": {"name": "p"}, "spec": spec})
            await at.until(lambda: equals(status, {"observedGeneration": 1, "typeChecking": {}}))
            await at.client.patch(VALIDATING_ADMISSION_POLICY, "p", {"spec": {"failurePolicy": "Ignore"}})
            await at.until(lambda: equals(status, {"observedGeneration": 2, "typeChecking": {}}))
            more = {"spec": {"matchConstraints": {"resourceRules": [rule, other]}}}
            await at.client.patch(VALIDATING_ADMISSION_POLICY, "p", more)
            await at.until(lambda: equals(status, {"observedGeneration": 3, "typeChecking": {}}))
            owned = (await at.client.get(VALIDATING_ADMISSION_POLICY, "p"))["metadata"]["managedFields"]
            own = [(o["manager"], o["operation"], o.get("subresource")) for o in owned if o.get("subresource")]
            assert own == [("validatingadmissionpolicy-status", "Apply", "status")]

    async def discovered(client: Client) -> bool:
        return any(kind.group == GROUP for kind in (await discovery.served(client)).kinds)

    async def equals(what: Callable[[], Awaitable[Obj]], wanted: Obj) -> bool:
        return await what() == wanted

    asyncio.run(asyncio.wait_for(scenario(), WHOLE))


async def ready_addresses(at: Stage) -> int:
    """Ready endpoints of the Service, from all its slices."""
    slices = (await at.client.list(ENDPOINT_SLICE, "default", label_selector="kubernetes.io/service-name=web"))["items"]
    return sum(e["conditions"]["ready"] for s in slices for e in s.get("endpoints") or ())


def test_a_deployment_comes_rolls_and_goes(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(SERVICE, SERVICE_OF_WEB)
        await at.client.create(DEPLOYMENT, deployment(6))
        await at.until(lambda: len(at.ready_pods()) == 6)
        assert Counter(p["spec"]["nodeName"] for p in at.ready_pods()) == {"node1": 2, "node2": 2, "node3": 2}
        await at.until(lambda: _is(ready_addresses(at), 6))
        (first,) = (await at.client.list(REPLICA_SET, "default"))["items"]
        image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}}}
        await at.client.patch(DEPLOYMENT, "web", image, "default")
        lowest = 6

        async def rolled() -> bool:
            nonlocal lowest
            lowest = min(lowest, await ready_addresses(at))
            status = (await at.client.get(DEPLOYMENT, "web", "default"))["status"]
            return status.get("updatedReplicas") == status.get("replicas") == status.get("availableReplicas") == 6

        await at.until(rolled)
        # maxUnavailable 25 % of 6, rounded down.
        assert lowest >= 5
        await at.until(lambda: all(p["spec"]["containers"][0]["image"] == "web:2" for p in at.ready_pods()))
        assert max(at.most.values()) <= 6
        old = await at.client.get(REPLICA_SET, name(first), "default")
        assert old["spec"]["replicas"] == 0
        await at.client.delete(DEPLOYMENT, "web", "default", propagation="Background")
        await at.until(lambda: not at.pods.items())
        await at.until(lambda: _is(ready_addresses(at), 0))
        await at.until(lambda: _none(at.client.list(REPLICA_SET, "default")))

    play(tmp_path, scenario)


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.25])
def test_killed_loops_lose_nothing_and_do_nothing_twice(tmp_path: Path, after: float) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(SERVICE, SERVICE_OF_WEB)
        await at.client.create(DEPLOYMENT, deployment(20))
        await asyncio.sleep(after)
        await at.kill_loops()
        await at.start_loops()
        await at.until(lambda: len(at.ready_pods()) == 20)
        await at.until(lambda: _is(ready_addresses(at), 20))
        assert max(at.most.values()) == 20

        async def ranges() -> list[str]:
            return [n["spec"].get("podCIDR", "") for n in (await at.client.list(NODE))["items"]]

        await at.until(lambda: _all(ranges()))
        assert len(set(await ranges())) == 3

    play(tmp_path, scenario)


def test_a_namespace_is_furnished_and_emptied(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        await at.until(lambda: _there(at.client.get(SERVICE_ACCOUNT, "default", "x")))
        kept = {"name": "kept", "namespace": "x", "finalizers": ["example.com/hold"]}
        await at.client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": kept})
        await at.client.create(DEPLOYMENT, deployment(2, "x"))
        await at.until(lambda: len(at.ready_pods()) == 2)
        await at.client.delete(NAMESPACE, "x")
        await at.until(lambda: not at.pods.items())

        async def told() -> bool:
            conditions = (await at.client.get(NAMESPACE, "x"))["status"].get("conditions") or ()
            return any("example.com/hold in 1 resource instances" in c["message"] for c in conditions)

        await at.until(told)
        await at.client.patch(CONFIG_MAP, "kept", {"metadata": {"finalizers": None}}, "x")
        await at.until(lambda: _absent(at.client.get(NAMESPACE, "x")))

    play(tmp_path, scenario)


def test_a_second_range_gives_addresses_and_stays_while_one_is_used(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        spare = {"apiVersion": SERVICE_CIDR.api_version, "kind": "ServiceCIDR", "metadata": {"name": "spare"}}
        await at.client.create(SERVICE_CIDR, {**spare, "spec": {"cidrs": ["10.111.0.0/24"]}})

        async def ready(status: str) -> bool:
            found = (await at.client.get(SERVICE_CIDR, "spare")).get("status") or {}
            return [(c["type"], c["status"]) for c in found.get("conditions") or ()] == [("Ready", status)]

        await at.until(lambda: ready("True"))
        service = copy(SERVICE_OF_WEB)
        service["spec"]["clusterIP"] = "10.111.0.9"
        made = await at.client.create(SERVICE, service)
        assert made["spec"]["clusterIPs"] == ["10.111.0.9"]
        await at.until(lambda: _there(at.client.get(IP_ADDRESS, "10.111.0.9")))
        await at.client.delete(SERVICE_CIDR, "spare")
        await at.until(lambda: ready("False"))
        service["metadata"]["name"], service["spec"]["clusterIP"] = "late", "10.111.0.10"
        with pytest.raises(errors.Invalid, match="does not match the current range"):
            await at.client.create(SERVICE, service)
        await at.client.delete(SERVICE, name(made), "default")
        await at.until(lambda: _absent(at.client.get(SERVICE_CIDR, "spare")))

    play(tmp_path, scenario)


def test_a_namespace_waits_for_servers_that_do_not_tell_what_they_hold(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        service = {"namespace": "default", "name": "nobody", "port": 443}
        spec = {"group": "silent.test", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10}
        silent = {"metadata": {"name": "v1.silent.test"}, "spec": {**spec, "service": service}}
        await at.client.create(API_SERVICE, silent)

        async def stale() -> bool:
            return (await discovery.served(at.client)).stale == ("silent.test/v1",)

        await at.until(stale)
        await at.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone", "namespace": "x"}}
        await at.client.create(CONFIG_MAP, config)
        await at.client.delete(NAMESPACE, "x")

        async def told() -> bool:
            conditions = (await at.client.get(NAMESPACE, "x"))["status"].get("conditions") or ()
            found = {c["type"]: (c["status"], c["reason"], c["message"]) for c in conditions}
            return found.get("NamespaceDeletionDiscoveryFailure") == (
                "True",
                "DiscoveryFailed",
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs:"
                " silent.test/v1: stale GroupVersion discovery: silent.test/v1",
            )

        await at.until(told)
        # What others hold has gone meanwhile.
        await at.until(lambda: _absent(at.client.get(CONFIG_MAP, "gone", "x")))
        await at.client.delete(API_SERVICE, "v1.silent.test")
        await at.until(lambda: _absent(at.client.get(NAMESPACE, "x")))

    play(tmp_path, scenario)


def test_a_namespaces_pods_go_before_all_else(tmp_path: Path) -> None:
    """What a pod needs while it ends, and what guards it, stays until the last pod is gone."""

    async def scenario(at: Stage) -> None:
        await at.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        await at.until(lambda: _there(at.client.get(SERVICE_ACCOUNT, "default", "x")))
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "needed", "namespace": "x"}}
        await at.client.create(CONFIG_MAP, config)
        held = pod("held", "100m")
        held["metadata"] |= {"namespace": "x", "finalizers": ["example.com/hold"]}
        await at.client.create(POD, held)
        await at.until(lambda: len(at.ready_pods()) == 1)
        await at.client.delete(NAMESPACE, "x")

        async def told() -> bool:
            conditions = (await at.client.get(NAMESPACE, "x"))["status"].get("conditions") or ()
            messages = {c["type"]: c["message"] for c in conditions}
            return "pods. has 1 resource instances" in messages.get("NamespaceContentRemaining", "")

        await at.until(told)
        assert (await at.client.get(POD, "held", "x"))["metadata"]["deletionTimestamp"]
        for kind, wanted in ((CONFIG_MAP, "needed"), (SERVICE_ACCOUNT, "default")):
            assert "deletionTimestamp" not in (await at.client.get(kind, wanted, "x"))["metadata"]
        await at.client.patch(POD, "held", {"metadata": {"finalizers": None}}, "x")
        await at.until(lambda: _absent(at.client.get(NAMESPACE, "x")))

    play(tmp_path, scenario)


def test_a_silent_node_loses_its_traffic_then_a_deleted_one_its_pods(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(SERVICE, SERVICE_OF_WEB)
        await at.client.create(DEPLOYMENT, deployment(6))
        await at.until(lambda: _is(ready_addresses(at), 6))
        at.silent.add("node2")
        await at.until(lambda: _is(ready_addresses(at), 4))
        taints = (await at.client.get(NODE, "node2"))["spec"]["taints"]
        assert {(t["key"], t["effect"]) for t in taints} >= {("node.kubernetes.io/unreachable", "NoExecute")}
        await at.client.delete(NODE, "node2")
        await at.until(lambda: _is(ready_addresses(at), 6))
        await at.until(lambda: {p["spec"]["nodeName"] for p in at.ready_pods()} == {"node1", "node3"})

    play(tmp_path, scenario, node_monitor_grace=1.0)


def test_waiting_pods_say_why_and_come_in_when_there_is_room(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(POD, pod("first", "800m"))
        await at.until(lambda: len(at.ready_pods()) == 1)
        await at.client.create(POD, pod("second", "800m"))
        text = (
            "0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        )

        async def told() -> bool:
            waiting = await at.client.get(POD, "second", "default")
            conditions = (waiting.get("status") or {}).get("conditions") or ()
            return any(
                (c["type"], c["status"], c.get("message")) == ("PodScheduled", "False", text) for c in conditions
            )

        await at.until(told)

        async def said() -> bool:
            events = (await at.client.list(EVENT, "default"))["items"]
            return text in [e["message"] for e in events if e["reason"] == "FailedScheduling"]

        await at.until(said)
        await at.client.delete(POD, "first", "default")
        await at.until(lambda: [name(p) for p in at.ready_pods()] == ["second"])

    play(tmp_path, scenario, nodes=1, cpu="1")


def test_orphans_are_left_and_taken_in_again(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(DEPLOYMENT, deployment(2))
        await at.until(lambda: len(at.ready_pods()) == 2)
        before = {uid(p) for p in at.ready_pods()}
        await at.client.delete(DEPLOYMENT, "web", "default", propagation="Orphan")
        await at.until(lambda: _absent(at.client.get(DEPLOYMENT, "web", "default")))
        (left,) = (await at.client.list(REPLICA_SET, "default"))["items"]
        assert not left["metadata"].get("ownerReferences")
        made = await at.client.create(DEPLOYMENT, deployment(2))

        async def adopted() -> bool:
            sets = (await at.client.list(REPLICA_SET, "default"))["items"]
            return [r["uid"] for s in sets for r in s["metadata"].get("ownerReferences") or ()] == [uid(made)]

        await at.until(adopted)
        await at.client.delete(DEPLOYMENT, "web", "default", propagation="Foreground")
        await at.until(lambda: _absent(at.client.get(DEPLOYMENT, "web", "default")))
        assert {uid(p) for p in at.pods.items()} <= before
        await at.until(lambda: not at.pods.items())

    play(tmp_path, scenario)


async def _is(value: Awaitable[int], wanted: int) -> bool:
    return await value == wanted


def test_a_claim_stays_while_a_pod_uses_it(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await at.make_volumes()
        for claim in ("used", "idle"):
            await at.client.create(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": claim}, "spec": spec}, "default")
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "used"}}
        await at.client.create(POD, pod("user", volumes=[volume]))
        await at.until(lambda: len(at.ready_pods()) == 1)
        for claim in ("used", "idle"):
            await at.client.delete(PERSISTENT_VOLUME_CLAIM, claim, "default")
        await at.until(lambda: _absent(at.client.get(PERSISTENT_VOLUME_CLAIM, "idle", "default")))
        assert (await at.client.get(PERSISTENT_VOLUME_CLAIM, "used", "default"))["metadata"]["deletionTimestamp"]
        await at.client.delete(POD, "user", "default")
        await at.until(lambda: _absent(at.client.get(PERSISTENT_VOLUME_CLAIM, "used", "default")))

    play(tmp_path, scenario, nodes=1, local_path_directory="/volumes")


async def _none(call: Awaitable[Obj]) -> bool:
    return not (await call)["items"]


async def _all(values: Awaitable[list[str]]) -> bool:
    return all(await values)


async def _there(call: Awaitable[Obj]) -> bool:
    return not await _absent(call)


async def _absent(call: Awaitable[Obj]) -> bool:
    try:
        await call
    except errors.NotFound:
        return True
    return False
