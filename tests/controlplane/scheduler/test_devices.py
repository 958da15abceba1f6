"""Which devices claims get, and what keeps two pods from getting one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apimachinery.objects import Obj
from controlplane.scheduler.devices import results, selectors, wishes
from controlplane.scheduler.devices.pools import Pool, Published
from controlplane.scheduler.devices.search import Endless, Impossible, Search
from controlplane.scheduler.devices.slices import Device, Slice, view
from controlplane.scheduler.devices.taken import Taken

CLASSES: dict[str, Obj] = {
    "c": {"metadata": {"name": "c"}, "spec": {}},
    "other": {"metadata": {"name": "other"}, "spec": {}},
}


def published(
    *devices: Any, name: str = "s", pool: str = "p", count: int = 1, generation: int = 1, **spec: Any
) -> Slice:
    listed = [each if isinstance(each, dict) else {"name": each} for each in devices]
    about = {"name": pool, "generation": generation, "resourceSliceCount": count}
    where = {} if spec.keys() & {"nodeName", "nodeSelector", "perDeviceNodeSelection"} else {"allNodes": True}
    return view(
        {"metadata": {"name": name}, "spec": {"driver": "d", "pool": about, "devices": listed, **where, **spec}}
    )


def request(name: str = "r", **exactly: Any) -> Obj:
    return {"name": name, "exactly": {"deviceClassName": "c", **exactly}}


def claim(*requests: Obj, name: str = "claim", **devices: Any) -> wishes.Wish:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return wishes.view({"metadata": meta, "spec": {"devices": {"requests": list(requests or [request()]), **devices}}})


def taken(*names: str, **more: Any) -> Taken:
    found = Taken()
    for name in names:
        found.count({"devices": {"results": [{"driver": "d", "pool": "p", "device": name, **more}]}}, 1)
    return found


def is_named(expression: str, device: Device, spend: Callable[[int], None]) -> bool:
    """A selector in the tests: the name of the device it means, or what is wrong with it."""
    spend(expression.count("dear"))
    if expression == "wrong":
        raise ValueError("CEL compile error: it is wrong")
    return device.id[2] in expression.split()


def search(slices: list[Slice], has: Taken | None = None, node: str = "n", steps: int = 10_000) -> Search:
    return Search(reached(slices, node), CLASSES, has or Taken(), is_named, steps)


def reached(slices: list[Slice], node: str = "n") -> list[Pool]:
    known = Published()
    for each in slices:
        known.add(each)
    return known.reached(node, {"zone": "a"})


def chosen(slices: list[Slice], *claims: wishes.Wish, **more: Any) -> list[list[str]] | None:
    found = search(slices, **more).find(claims or [claim()])
    return None if found is None else [[pick.device.id[2] for pick in picks] for picks in found]


def test_devices_are_taken_in_the_order_of_their_pools_slices_and_names() -> None:
    slices = [published("z", name="s2", count=2), published("y", "x", name="s1", count=2)]
    assert chosen([*slices, published("a", pool="q", name="s0")]) == [["y"]]
    assert chosen(slices, claim(request(count=3))) == [["y", "x", "z"]]
    assert chosen(slices, claim(request(count=4))) is None
    assert chosen(slices, claim(), claim(name="second")) == [["y"], ["x"]]
    assert chosen(slices, has=taken("y")) == [["x"]]


def test_a_choice_that_leaves_another_request_without_is_taken_back() -> None:
    """The first request could have either device, the second only the one that would come first."""
    only = request("picky", selectors=[{"cel": {"expression": "a"}}])
    assert chosen([published("a", "b")], claim(request("any"), only)) == [["b", "a"]]
    assert chosen([published("a", "b")], claim(request("any")), claim(only, name="second")) == [["b"], ["a"]]


def test_selectors_of_the_class_and_the_request_both_hold_and_a_wrong_one_is_told() -> None:
    picky = {"metadata": {"name": "picky"}, "spec": {"selectors": [{"cel": {"expression": "a b"}}]}}
    asked = claim(request(deviceClassName="picky", selectors=[{"cel": {"expression": "b c"}}]))
    pools = reached([published("a", "b", "c")])
    found = Search(pools, {"picky": picky}, Taken(), is_named, 100).find([asked])
    assert found is not None and [pick.device.id[2] for pick in found[0]] == ["b"]
    wrong = claim(request(selectors=[{"cel": {"expression": "wrong"}}]))
    with pytest.raises(Impossible, match="claim default/claim: selector #0: CEL compile error"):
        chosen([published("a")], wrong)


def test_all_devices_means_all_that_suit_and_none_that_is_in_use() -> None:
    every = claim(request(allocationMode="All", selectors=[{"cel": {"expression": "a b"}}]))
    assert chosen([published("a", "b", "c")], every) == [["a", "b"]]
    assert chosen([published("a", "b", "c")], every, has=taken("b")) is None
    assert chosen([published("c")], every) is None
    with pytest.raises(Impossible, match="asks for all devices, but resource pool d/p is currently being updated"):
        chosen([published("a", count=2)], every)


def test_an_unfinished_or_outdated_pool_gives_nothing_and_a_newer_generation_replaces_it() -> None:
    assert chosen([published("a", count=2)]) is None
    newer = [published("old", name="s1"), published("new", name="s2", generation=2)]
    assert chosen(newer, claim(request(count=2))) is None
    assert chosen(newer) == [["new"]]
    elsewhere = published("new", name="s2", generation=2, nodeName="elsewhere")
    here = published("old", name="s1", nodeName="n", count=2)
    assert chosen([here, elsewhere]) is None


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ({"nodeName": "n"}, True),
        ({"nodeName": "m"}, False),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [{"matchExpressions": [_ := {"key": "zone", "operator": "Exists"}]}]
                }
            },
            True,
        ),
        ({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{**_, "key": "rack"}]}]}}, False),
    ],
)
def test_a_node_gets_what_it_reaches_by_slice_or_by_device(where: Mapping[str, Any], reached: bool) -> None:
    wanted = [["a"]] if reached else None
    assert chosen([published("a", **where)]) == wanted
    assert chosen([published({"name": "a", **where}, perDeviceNodeSelection=True)]) == wanted
    found = search([published("a", **where)]).find([claim()])
    if found:
        allocation = results.allocation(claim(), found[0], CLASSES, "n", ())
        by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
        selector = where.get("nodeSelector") or {"nodeSelectorTerms": [by_name]}
        assert allocation["nodeSelector"] == selector


def test_counters_of_a_pool_are_shared_by_its_devices_wherever_they_are() -> None:
    """A device that is cut up: the whole, and two halves."""

    def cut(name: str, amount: str, **more: Any) -> Obj:
        counters = {"memory": {"value": amount}}
        return {"name": name, "consumesCounters": [{"counterSet": "card", "counters": counters}], **more}

    def cards(amount: str = "10Gi") -> Slice:
        told = [{"name": "card", "counters": {"memory": {"value": amount}}}]
        return published(name="s0", count=2, sharedCounters=told)

    parts = [cut("whole", "10Gi"), cut("half-1", "5Gi"), cut("half-2", "5Gi")]
    slices = [cards(), published(*parts, name="s1", count=2)]
    assert chosen(slices) == [["whole"]]
    assert chosen(slices, claim(request(count=2))) == [["half-1", "half-2"]]
    assert chosen(slices, claim(request(count=3))) is None
    assert chosen(slices, has=taken("half-1")) == [["half-2"]]
    assert chosen(slices, has=taken("whole")) is None
    away = published(cut("half-1", "5Gi", nodeName="m"), cut("whole", "10Gi", allNodes=True), name="s1", count=2,
                     perDeviceNodeSelection=True)  # fmt: skip
    assert chosen([cards(), away]) == [["whole"]]
    assert chosen([cards(), away], has=taken("half-1")) is None
    unknown = [cards(), published(cut("a", "1Gi") | {"consumesCounters": [{"counterSet": "x", "counters": {}}]},
                                  name="s1", count=2)]  # fmt: skip
    assert reached(unknown)[0].invalid == "counter set x not found"


def test_tainted_devices_go_to_those_who_tolerate_it() -> None:
    taints = [{"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "told", "effect": "None"}]
    slices = [published({"name": "a", "taints": taints})]
    assert chosen(slices) is None
    for toleration, fits in [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
    ]:
        assert (chosen(slices, claim(request(tolerations=[toleration]))) is not None) is fits, toleration


def test_an_administrator_gets_a_device_that_is_in_use_and_takes_it_from_nobody() -> None:
    admin = claim(request(adminAccess=True))
    slices = [published("a")]
    assert chosen(slices, admin, has=taken("a")) == [["a"]]
    assert chosen(slices, claim(request(adminAccess=True, count=2))) is None
    assert chosen(slices, has=taken("a", adminAccess=True)) == [["a"]]
    found = search(slices).find([admin])
    assert found is not None
    assert results.allocation(admin, found[0], CLASSES, "n", ())["devices"]["results"] == [
        {"request": "r", "driver": "d", "pool": "p", "device": "a", "adminAccess": True}
    ]


def test_the_first_alternative_that_can_be_had_counts_and_is_told_with_its_class() -> None:
    def one(name: str, **more: Any) -> Obj:
        return {"name": name, "deviceClassName": "c", **more}

    first = one("big", selectors=[{"cel": {"expression": "big"}}])
    asked = claim(
        {"name": "r", "firstAvailable": [first, one("small", count=2, deviceClassName="other")]},
        config=[
            {"requests": ["r/small"], "opaque": {"driver": "d", "parameters": {"for": "small"}}},
            {"requests": ["r/big"], "opaque": {"driver": "d", "parameters": {"for": "big"}}},
            {"opaque": {"driver": "d", "parameters": {"for": "all"}}},
        ],
    )
    classes: dict[str, Obj] = {
        **CLASSES,
        "other": {"metadata": {"name": "other"}, "spec": {"config": [{"opaque": {"driver": "d"}}]}},
    }
    assert chosen([published("small-1", "big")], asked) == [["big"]]
    found = search([published("s1", "s2")]).find([asked])
    assert found is not None
    allocation = results.allocation(asked, found[0], classes, "n", ())
    assert [each["request"] for each in allocation["devices"]["results"]] == ["r/small", "r/small"]
    assert "nodeSelector" not in allocation
    assert allocation["devices"]["config"] == [
        {"source": "FromClass", "requests": ["r/small"], "opaque": {"driver": "d"}},
        {"source": "FromClaim", "requests": ["r/small"], "opaque": {"driver": "d", "parameters": {"for": "small"}}},
        {"source": "FromClaim", "opaque": {"driver": "d", "parameters": {"for": "all"}}},
    ]
    assert results.score(asked, allocation) == 7


@pytest.mark.parametrize(
    ("constraint", "devices"),
    [
        ({"matchAttribute": "d/numa"}, ["a", "c"]),
        ({"distinctAttribute": "d/numa"}, ["a", "b"]),
        ({"matchAttribute": "d/numa", "requests": ["another"]}, ["a", "b"]),
        ({"matchAttribute": "example.com/numa"}, None),
    ],
)
def test_constraints_choose_devices_that_may_be_together(constraint: Obj, devices: list[str] | None) -> None:
    def on(name: str, numa: int) -> Obj:
        return {"name": name, "attributes": {"numa": {"int": numa}}}

    slices = [published(on("a", 0), on("b", 1), on("c", 0))]
    found = chosen(slices, claim(request(count=2), constraints=[constraint]))
    assert found == (None if devices is None else [devices])


def test_a_shared_device_goes_to_many_until_its_capacity_is_given_away() -> None:
    policy = {"default": "2Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}
    device = {
        "name": "a",
        "allowMultipleAllocations": True,
        "capacity": {"memory": {"value": "8Gi", "requestPolicy": policy}},
    }
    slices = [published(device)]

    def part(amount: str = "") -> wishes.Wish:
        return claim(request(capacity={"requests": {"memory": amount} if amount else {}}))

    half = part("3500Mi")
    found = search(slices).find([half, half])
    assert found is not None
    written = results.allocation(half, found[0], CLASSES, "n", ["share-1"])
    assert written["devices"]["results"] == [
        {
            "request": "r",
            "driver": "d",
            "pool": "p",
            "device": "a",
            "shareID": "share-1",
            "consumedCapacity": {"memory": "4Gi"},
        }
    ]
    assert search(slices).find([half, half, part()]) is None
    has = taken("a", shareID="share-1", consumedCapacity={"memory": "4Gi"})
    assert chosen(slices, half, has=has) == [["a"]]
    assert chosen(slices, part("5Gi"), has=has) is None
    assert chosen(slices, part(), part(), has=has) == [["a"], ["a"]]
    assert chosen(slices, claim(request(capacity={"requests": {"cores": "1"}}))) is None


def test_a_search_ends_however_many_ways_there_are() -> None:
    slices = [published(*(f"d{number}" for number in range(30)))]
    apart = claim(request(count=16), constraints=[{"matchAttribute": "d/missing"}])
    assert chosen(slices, apart) is None
    many = [{"name": f"d{n}", "attributes": {"numa": {"int": n % 2}}} for n in range(30)]
    with pytest.raises(Endless):
        chosen([published(*many)], claim(request(count=16), constraints=[{"matchAttribute": "d/numa"}]), steps=1000)
    with pytest.raises(Impossible, match="number of requested devices 33 exceeds the claim limit of 32"):
        chosen(slices, claim(request(count=33)))


def test_what_selectors_cost_counts_as_steps() -> None:
    dear = claim(request(selectors=[{"cel": {"expression": "dear dear b"}}]))
    slices = [published("a", "b")]
    assert chosen(slices, dear, steps=6) == [["b"]]
    with pytest.raises(Endless):
        chosen(slices, dear, steps=5)


def test_verdicts_are_remembered_of_so_many_selectors_only() -> None:
    (device,) = published("a").devices
    spent: list[int] = []
    dear = "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(x, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(y, x + y < 20))"
    assert selectors.matches(dear, device, spent.append) and selectors.matches(dear, device, spent.append)
    assert len(spent) == 1 and spent[0] > 1
    for number in range(200):
        assert not selectors.matches(f"device.driver == 'd{number}'", device, spent.append)
    assert len(device.verdicts) <= 64


def test_a_device_that_is_shared_no_longer_is_had_once_all_have_given_their_parts_back() -> None:
    assert chosen([published("a")], has=taken("a", shareID="share-1", consumedCapacity={"memory": "1Gi"})) is None


def test_steps_of_nothing_lead_nowhere() -> None:
    policy = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "0"}}
    memory = {"value": "8Gi", "requestPolicy": policy}
    slices = [published({"name": "a", "allowMultipleAllocations": True, "capacity": {"memory": memory}})]
    for amount, devices in (("1Gi", [["a"]]), ("2Gi", None)):
        assert chosen(slices, claim(request(capacity={"requests": {"memory": amount}}))) == devices
