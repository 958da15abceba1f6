"""The cloud's loops against the real API server, with a cloud that has opinions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import EVENT, NODE, SERVICE
from apimachinery.objects import Obj, condition, copy, labels, name
from controlplane.cloud.interface import CloudError, Instance, Provider, Route, balancer_name
from controlplane.cloud.nodes.plan import SHUTDOWN, UNINITIALIZED
from controlplane.cloud.services.plan import EXCLUDED, FINALIZER
from tests.controlplane.stage import Stage, stage
from tests.waiting import WHOLE

ADDRESS = "192.0.2.7"
TAINT = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}


class Cloud:
    """Refuses what a cloud would: others' nodes, load balancers that are not there, and everything while `ill`; answers
    a call that is `held` once it is not, and what is asked of the load balancer that is `silent` likewise."""

    def __init__(self) -> None:
        self.machines: dict[str, bool] = {}
        self.balancers: dict[str, list[str]] = {}
        self.ways: list[Route] = []
        self.ill, self.refusals = False, 0
        self.held = ""
        self.silent = ""
        self.hangs = self.told_beside = False
        self.asked: list[str] = []

    def provider(self) -> Provider:
        return Provider("fake", self, Balancers(self), Ways(self))

    async def exists(self, node: Obj) -> bool:
        self.judge(node)
        return name(node) in self.machines

    async def is_shut_down(self, node: Obj) -> bool:
        self.judge(node)
        return not self.machines[name(node)]

    async def describe(self, node: Obj) -> Instance | None:
        if name(node) not in self.machines:
            raise CloudError("no such machine")
        addresses = ({"type": "InternalIP", "address": "10.0.0.5"}, {"type": "ExternalIP", "address": "192.0.2.5"})
        return Instance(f"fake://{name(node)}", addresses, "small", "z1", "r1")

    def judge(self, node: Obj) -> None:
        if not (node["spec"].get("providerID") or "").startswith("fake://"):
            raise CloudError("no machine of this cloud")

    def fall_ill(self) -> None:
        self.ill, self.refusals = True, 3

    async def well(self, asked: str) -> None:
        """A few refusals, then silence: no object may cause more than 25 events, and each refusal causes some."""
        self.asked.append(asked)
        if self.ill and self.refusals:
            self.refusals -= 1
            raise CloudError("the cloud is ill")
        while self.ill or asked == self.held:
            await asyncio.sleep(0.01)


class Balancers:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, service: Obj) -> Obj | None:
        return self._status() if balancer_name(service) in self._cloud.balancers else None

    async def ensure(self, service: Obj, nodes: Sequence[Obj]) -> Obj:
        await self._cloud.well("ensure")
        assert FINALIZER in service["metadata"]["finalizers"]
        self._cloud.balancers[balancer_name(service)] = [name(node) for node in nodes]
        return self._status()

    async def update(self, service: Obj, nodes: Sequence[Obj]) -> None:
        await self._cloud.well("update")
        self._cloud.told_beside |= self._cloud.hangs
        try:
            while balancer_name(service) == self._cloud.silent:
                self._cloud.hangs = True
                await asyncio.sleep(0.01)
        finally:
            self._cloud.hangs = False
        if balancer_name(service) not in self._cloud.balancers:
            raise CloudError("no such load balancer")
        self._cloud.balancers[balancer_name(service)] = [name(node) for node in nodes]

    async def delete(self, service: Obj) -> None:
        await self._cloud.well("delete")
        self._cloud.balancers.pop(balancer_name(service), None)

    def _status(self) -> Obj:
        return {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}


class Ways:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def list(self) -> Sequence[Route]:
        return list(self._cloud.ways)

    async def create(self, route: Route) -> None:
        await self._cloud.well("create")
        assert not any(each.destination == route.destination for each in self._cloud.ways)
        self._cloud.ways.append(route)

    async def delete(self, route: Route) -> None:
        await self._cloud.well("delete")
        self._cloud.ways.remove(route)


def play(root: Path, scenario: Callable[[Stage, Cloud], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        cloud = Cloud()
        async with stage(root) as at:
            await at.start_cloud(cloud.provider(), cluster_cidr=("10.244.0.0/16",), **settings)
            await asyncio.wait_for(scenario(at, cloud), WHOLE)

    asyncio.run(run())


async def node(at: Stage, node_name: str, **spec: Any) -> None:
    meta = {"name": node_name, "labels": {"kubernetes.io/hostname": node_name}}
    await at.client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec})


async def ready(at: Stage, node_name: str, status: str) -> None:
    patch = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
    await at.client.patch(NODE, node_name, patch, subresource="status", patch_type=PatchType.STRATEGIC)


def balanced(service_name: str = "lb", **spec: Any) -> Obj:
    meta = {"name": service_name, "namespace": "default"}
    wanted = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": wanted}


async def ingress(at: Stage) -> list[Obj]:
    service = await at.client.get(SERVICE, "lb", "default")
    return list(service["status"]["loadBalancer"].get("ingress") or [])


async def reasons(at: Stage) -> set[str]:
    return {event["reason"] for event in (await at.client.list(EVENT, "default"))["items"]}


def test_a_service_gets_its_load_balancer_and_goes_after_it(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        cloud.fall_ill()
        created = await at.client.create(SERVICE, balanced())
        own = balancer_name(created)

        async def told(reason: str) -> bool:
            return reason in await reasons(at)

        await at.until(lambda: told("SyncLoadBalancerFailed"))
        assert await ingress(at) == []
        cloud.ill = False
        await at.until(lambda: ingress(at))
        service = await at.client.get(SERVICE, "lb", "default")
        assert service["metadata"]["finalizers"] == [FINALIZER]
        assert service["status"]["loadBalancer"] == {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}
        await at.until(lambda: told("EnsuredLoadBalancer"))
        # It stays until the cloud has let go.
        cloud.fall_ill()
        await at.client.delete(SERVICE, "lb", "default")
        await at.until(lambda: cloud.asked[-1] == "delete")
        assert (await at.client.get(SERVICE, "lb", "default"))["metadata"]["deletionTimestamp"]
        cloud.ill = False

        async def gone() -> bool:
            return not (await at.client.list(SERVICE, "default", field_selector="metadata.name=lb"))["items"]

        await at.until(gone)
        assert own not in cloud.balancers
        await at.until(lambda: told("DeletedLoadBalancer"))

    play(tmp_path, scenario)


def test_another_type_and_another_class_are_left_without(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        other = balanced(loadBalancerClass="example.com/own")
        other["metadata"]["name"] = "other"
        await at.client.create(SERVICE, other)
        await at.client.create(SERVICE, balanced())
        await at.until(lambda: ingress(at))
        assert len(cloud.balancers) == 1
        await at.client.patch(SERVICE, "lb", {"spec": {"type": "ClusterIP"}}, "default")

        async def bare() -> bool:
            service = await at.client.get(SERVICE, "lb", "default")
            return not service["metadata"].get("finalizers") and not service["status"]["loadBalancer"]

        await at.until(bare)
        assert not cloud.balancers
        theirs = await at.client.get(SERVICE, "other", "default")
        assert not theirs["metadata"].get("finalizers") and not theirs["status"]["loadBalancer"]

    play(tmp_path, scenario)


def test_load_balancers_hear_of_nodes(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        await node(at, "a")
        await at.client.create(SERVICE, balanced())
        await at.until(lambda: list(cloud.balancers.values()) == [["a"]])
        await node(at, "b")
        await at.until(lambda: list(cloud.balancers.values()) == [["a", "b"]])
        # A node that is not ready stays: the load balancer's own checks judge it.
        before = len(cloud.asked)
        await ready(at, "b", "False")
        await at.client.patch(NODE, "a", {"metadata": {"labels": {EXCLUDED: "true"}}})
        await at.until(lambda: list(cloud.balancers.values()) == [["b"]])
        assert cloud.asked[before:] == ["update"]
        # A node that comes while the cloud still makes a load balancer is told once it is made.
        cloud.held = "ensure"
        before = len(cloud.asked)
        await at.client.patch(SERVICE, "lb", {"spec": {"ports": [{"port": 81}]}}, "default")
        await at.until(lambda: "ensure" in cloud.asked[before:])
        await node(at, "c")
        await asyncio.sleep(0.3)
        cloud.held = ""
        await at.until(lambda: list(cloud.balancers.values()) == [["b", "c"]])
        await asyncio.sleep(0.1)
        assert list(cloud.balancers.values()) == [["b", "c"]]
        await at.client.delete(NODE, "c")
        await at.until(lambda: list(cloud.balancers.values()) == [["b"]])
        # One that could not be told is told again.
        cloud.fall_ill()
        await at.client.delete(NODE, "b")
        await at.until(lambda: cloud.asked.count("update") >= 2)
        cloud.ill = False
        await at.until(lambda: list(cloud.balancers.values()) == [[]])

        async def told() -> bool:
            return {"UpdatedLoadBalancer", "UnAvailableLoadBalancer"} <= await reasons(at)

        await at.until(told)

    play(tmp_path, scenario)


def test_a_load_balancer_that_hangs_holds_up_no_other_and_has_failed_in_the_end(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        await node(at, "a")
        hanging, other = [
            balancer_name(await at.client.create(SERVICE, balanced(each))) for each in ("hanging", "other")
        ]
        await at.until(lambda: cloud.balancers == {hanging: ["a"], other: ["a"]})
        cloud.silent = hanging
        await node(at, "b")
        await at.until(lambda: cloud.balancers[other] == ["a", "b"])
        assert cloud.told_beside

        async def failed() -> bool:
            events = (await at.client.list(EVENT, "default"))["items"]
            return any("did not answer 'update' within 0.5 s" in event["message"] for event in events)

        await at.until(failed)
        # It is tried again as a Service's own.
        await at.until(lambda: cloud.balancers[hanging] == ["a", "b"])

    play(tmp_path, scenario, cloud_call_deadline=0.5)


def test_a_load_balancer_whose_finalizer_was_taken_off_goes_all_the_same(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        await at.client.create(SERVICE, balanced())
        await at.until(lambda: ingress(at))
        await at.client.patch(SERVICE, "lb", {"metadata": {"finalizers": None}}, "default")
        await at.client.delete(SERVICE, "lb", "default")
        await at.until(lambda: not cloud.balancers)

    play(tmp_path, scenario)


def test_nodes_are_told_of_their_machines(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        cloud.machines = {"a": True, "b": True, "c": True}
        for each in cloud.machines:
            await node(at, each, taints=[TAINT])
        await node(at, "foreign", taints=[TAINT])

        async def initialized() -> bool:
            got = copy(await at.client.get(NODE, "a"))
            return bool(got["spec"].get("providerID")) and bool(got["status"].get("addresses"))

        await at.until(initialized)
        got = await at.client.get(NODE, "a")
        assert UNINITIALIZED not in {taint["key"] for taint in got["spec"].get("taints") or ()}
        assert labels(got)["topology.kubernetes.io/zone"] == "z1"
        assert [each["address"] for each in got["status"]["addresses"]] == ["10.0.0.5", "192.0.2.5"]
        foreign = await at.client.get(NODE, "foreign")
        assert UNINITIALIZED in {taint["key"] for taint in foreign["spec"]["taints"]}

    play(tmp_path, scenario)


def test_nodes_that_fell_silent_are_asked_after(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        cloud.machines = {"a": True, "off": False, "gone": True}
        for each in cloud.machines:
            await node(at, each, providerID=f"fake://{each}")
        await node(at, "foreign")
        await ready(at, "a", "True")
        await ready(at, "gone", "Unknown")
        del cloud.machines["gone"]

        async def taints(node_name: str) -> set[str]:
            got = await at.client.get(NODE, node_name)
            return {taint["key"] for taint in got["spec"].get("taints") or ()}

        async def there() -> set[str]:
            return {name(each) for each in (await at.client.list(NODE))["items"]}

        async def as_wanted() -> bool:
            return "gone" not in await there() and SHUTDOWN in await taints("off")

        await at.until(as_wanted)
        assert await there() == {"a", "off", "foreign"}
        assert SHUTDOWN not in await taints("a")
        cloud.machines["off"] = True
        await ready(at, "off", "True")

        async def back() -> bool:
            return SHUTDOWN not in await taints("off")

        await at.until(back)

    play(tmp_path, scenario)


def test_pod_ranges_get_routes_and_nodes_hear_of_it(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        cloud.fall_ill()
        cloud.ways = [Route("10.244.9.0/24", "gone")]
        await node(at, "a", podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24"])

        async def network() -> Any:
            return (condition(await at.client.get(NODE, "a"), "NetworkUnavailable") or {}).get("status")

        async def is_off() -> bool:
            return bool(await network() == "True")

        async def is_on() -> bool:
            return bool(await network() == "False")

        await at.until(is_off)
        cloud.ill = False
        await at.until(is_on)
        assert [(each.destination, each.node) for each in cloud.ways] == [("10.244.1.0/24", "a")]
        await at.client.delete(NODE, "a")
        await at.until(lambda: not cloud.ways)

    play(tmp_path, scenario)


def test_what_one_process_made_the_next_knows(tmp_path: Path) -> None:
    async def scenario(at: Stage, cloud: Cloud) -> None:
        created = await at.client.create(SERVICE, balanced())
        await at.until(lambda: ingress(at))
        await at.kill_loops()
        await at.client.delete(SERVICE, "lb", "default")
        try:
            await at.client.get(SERVICE, "lb", "default")
        except errors.NotFound as error:
            raise AssertionError("it went before its load balancer") from error
        await at.start_cloud(cloud.provider())
        await at.until(lambda: balancer_name(created) not in cloud.balancers)

    play(tmp_path, scenario)
