# ruff: noqa: E501 - tables of cases read best one to a line
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.patch import strategic_merge
from apimachinery.patch.order import ordered
from apimachinery.schema import Node, Schema
from tests.counted import calls


def node(api_version: str = "apps/v1", kind: str = "Deployment") -> Node:
    found = Schema.load().node(api_version, kind)
    assert found is not None
    return found


def deployment() -> dict[str, Any]:
    return {
        "metadata": {"name": "d", "finalizers": ["a/a", "b/b"], "annotations": {"k": "v", "n": "1"}},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "a", "image": "i:1", "args": ["x", "y"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                        {"name": "b", "image": "i:1"},
                        {"name": "e", "image": "i:1"},
                    ],
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "tolerations": [{"key": "t"}],
                }
            },
        },
    }  # fmt: skip


def pod_patch(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def patched(patch: dict[str, Any]) -> dict[str, Any]:
    return strategic_merge(deployment(), patch, node())[0]


def containers(patch: dict[str, Any]) -> list[Any]:
    found = patched(patch)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, list)
    return found


def names(*items: Any) -> list[str]:
    return [item["name"] for item in containers(pod_patch(containers=list(items)))]


def test_keyed_items_merge() -> None:
    found = containers(pod_patch(containers=[{"name": "b", "image": "i:2"}]))
    assert [item["image"] for item in found] == ["i:1", "i:2", "i:1"]


def test_new_items_stand_where_the_patch_says() -> None:
    assert names({"name": "z"}) == ["z", "a", "b", "e"]
    assert names({"name": "z1"}, {"name": "b"}, {"name": "z0"}) == ["z1", "a", "b", "z0", "e"]


def test_item_directives() -> None:
    assert names({"name": "b", "$patch": "delete"}) == ["a", "e"]
    assert names({"name": "zz", "$patch": "delete"}) == ["a", "b", "e"]
    assert names({"$patch": "replace"}, {"name": "only"}) == ["only"]
    assert names({"name": "a", "$patch": "replace"}) == []
    assert names({"name": "b", "$patch": "delete"}, {"name": "b", "image": "n"}) == ["b", "a", "e"]


def test_element_order() -> None:
    patch = pod_patch(**{"$setElementOrder/containers": [{"name": "z"}, {"name": "e"}, {"name": "a"}], "containers": [{"name": "z"}]})  # fmt: skip
    assert [item["name"] for item in containers(patch)] == ["z", "b", "e", "a"]
    patch = pod_patch(**{"$setElementOrder/containers": [{"name": "nope"}, {"name": "b"}]})
    assert [item["name"] for item in containers(patch)] == ["a", "b", "e"]
    found = patched({"metadata": {"$setElementOrder/finalizers": ["b/b", "a/a"]}})
    assert found["metadata"]["finalizers"] == ["b/b", "a/a"]


def test_primitive_lists() -> None:
    assert patched({"metadata": {"finalizers": ["n/n", "n/n"]}})["metadata"]["finalizers"] == [
        "n/n",
        "a/a",
        "b/b",
    ]
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a", "none"]}}
    assert patched(gone)["metadata"]["finalizers"] == ["b/b"]
    assert containers(pod_patch(containers=[{"name": "a", "args": ["z"]}]))[0]["args"] == ["z"]
    assert containers(pod_patch(containers=[{"name": "a", "$deleteFromPrimitiveList/args": ["x"]}]))[0]["args"] == ["y"]


def test_maps() -> None:
    assert patched({"metadata": {"annotations": {"n": None, "m": "2"}}})["metadata"]["annotations"] == {
        "k": "v",
        "m": "2",
    }
    assert patched({"metadata": {"annotations": {"$patch": "replace", "o": "1"}}})["metadata"]["annotations"] == {
        "o": "1"
    }
    assert patched({"metadata": {"annotations": {"$patch": "delete"}}})["metadata"]["annotations"] == {}
    assert patched({"metadata": {"labels": {"a": None, "b": "1"}}})["metadata"]["labels"] == {"b": "1"}
    assert patched({"$patch": "delete"}) == {}


def test_retain_keys() -> None:
    assert patched({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})["spec"]["strategy"] == {
        "type": "Recreate"
    }
    assert patched({"spec": {"strategy": {"$retainKeys": []}}})["spec"]["strategy"] == {}


def test_atomic_lists_are_replaced() -> None:
    assert patched(pod_patch(tolerations=[{"key": "n"}]))["spec"]["template"]["spec"]["tolerations"] == [{"key": "n"}]


def test_what_is_taken_over_whole_keeps_directives_as_fields_but_nothing_that_is_to_be_patched() -> None:
    env = [{"name": "N", "value": "1"}, {"name": "O", "$patch": "delete"}]
    new = {"name": "z", "$setElementOrder/env": [{"name": "N"}], "env": env, "command": None}
    assert containers(pod_patch(containers=[new]))[0] == new
    replaced = {"$patch": "replace", "x": "y"}
    spec = patched(pod_patch(affinity=replaced, nodeSelector={"a": None, "b": replaced, "$retainKeys": ["c"]}))["spec"]
    assert "affinity" not in spec["template"]["spec"]
    assert spec["template"]["spec"]["nodeSelector"] == {"$retainKeys": ["c"]}


def test_what_is_left_of_a_patch_is_what_refusals_show() -> None:
    patch = pod_patch(affinity={"nodeAffinity": None, "podAffinity": {"a": [{"b": None}]}})
    patch["spec"]["strategy"] = {"$retainKeys": ["type"], "type": "Recreate"}
    merged, left = strategic_merge(deployment(), patch, node())
    # Whoever checks the object takes unknown fields out of it.
    merged["spec"]["template"]["spec"]["affinity"]["podAffinity"].clear()
    assert left["spec"]["template"]["spec"] == {"affinity": {"podAffinity": {"a": [{}]}}}
    assert left["spec"]["strategy"] == {"type": "Recreate"}


def test_a_null_merge_key_reaches_validation() -> None:
    assert containers(pod_patch(containers=[{"name": None, "image": "q"}]))[0] == {"name": None, "image": "q"}


REFUSED = [
    (pod_patch(containers=[{"name": "a", "$patch": "merge"}]), 500, "merging lists cannot yet be specified in the patch"),
    (pod_patch(containers=[{"name": "a", "ports": [{"containerPort": 1}]}, {"image": "q"}]), 500, "map: map[image:q] does not contain declared merge key: name"),
    (pod_patch(containers=["a"], volumes=[]), 500, None),
    (pod_patch(volumes=[{"name": "v", "$retainKeys": ["name"], "secret": {}}]), 400, "invalid patch format of retainKeys"),
    ({"spec": {"strategy": {"$retainKeys": "type"}}}, 400, "invalid patch format of retainKeys"),
    (pod_patch(**{"$setElementOrder/containers": "a"}), 500, "expected a []interface {}, but received a string"),
    ({"$setElementOrder/bogus": ["a"]}, 500, 'unable to find api field in struct Deployment for the json field "bogus"'),
    (pod_patch(**{"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "z", "image": "i:1"}]}), 500,
     "The order in patch list:\n[map[image:i:1 name:z]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"),
    ({"metadata": {"annotations": {"$patch": "odd"}}}, 500, "unknown patch type: odd in map: map[$patch:odd]"),
    ({"metadata": {"annotations": {"$patch": 1}}}, 500, "unknown patch type: %!s(int64=1) in map: map[$patch:1]"),
    ({"metadata": {"annotations": {"$patch": [True, None, 1.5, {"a": "b"}]}}}, 500,
     "unknown patch type: [%!s(bool=true) %!s(<nil>) %!s(float64=1.5) map[a:b]] in map: map[$patch:[true <nil> 1.5 map[a:b]]]"),
    ({"metadata": {"annotations": {"$setElementOrder/a": []}}}, 500,
     "merging an object in json but data type is not struct, instead is: map"),
]  # fmt: skip


def test_an_empty_order_says_nothing() -> None:
    merged = patched(pod_patch(**{"$setElementOrder/containers": [], "containers": [{"name": "z", "image": "i:1"}]}))
    # Measured: what has no place in the live list comes first, and last when it is sorted once more.
    assert [item["name"] for item in merged["spec"]["template"]["spec"]["containers"]] == ["a", "b", "e", "z"]


@pytest.mark.parametrize(("patch", "code", "message"), REFUSED)
def test_refused(patch: dict[str, Any], code: int, message: str | None) -> None:
    with pytest.raises(errors.ApiError) as raised:
        patched(patch)
    assert raised.value.status_code == code
    if message is not None:
        assert raised.value.message == message


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"name": None, "labels": {"a": "2", "b": None}}},
        {"spec": {"containers": [{"name": "c", "image": "new", "resources": {"limits": {"cpu": "2"}}}]}},
        {"spec": {"$retainKeys": ["volumes"], "volumes": [{"name": "v", "emptyDir": {}}]}},
        {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}},
        {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}], "containers": [{"name": "d"}]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["f"], "finalizers": ["g"]}},
        {"spec": {"containers": [{"$patch": "replace"}, {"name": "e", "image": "i"}]}},
        {"spec": {"$patch": "replace", "nodeName": "n"}},
    ],
    ids=str,
)
def test_what_is_patched_stays_as_it_was(change: dict[str, Any]) -> None:
    containers = [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}, {"name": "d", "image": "i"}]
    spec = {"containers": containers, "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}
    obj = {"metadata": {"name": "p", "labels": {"a": "1", "b": "1"}, "finalizers": ["f"]}, "spec": spec}
    before = copy.deepcopy((obj, change))
    result, left = strategic_merge(obj, change, node("v1", "Pod"))
    assert (obj, change) == before and result != obj
    # What is left of the patch is nobody else's, either.
    left.clear()
    assert strategic_merge(obj, change, node("v1", "Pod"))[0] == result


names_of_items = st.lists(st.sampled_from("abcdez"), unique=True, max_size=5)


@given(names_of_items, names_of_items, names_of_items)
def test_nothing_is_lost_and_nothing_is_touched(live: list[str], changed: list[str], deleted: list[str]) -> None:
    obj = {"spec": {"containers": [{"name": name, "image": "old"} for name in live]}}
    items: list[dict[str, Any]] = [{"name": name, "image": "new"} for name in changed]
    items += [{"name": name, "$patch": "delete"} for name in deleted if name not in changed]
    patch = {"spec": {"containers": items}}
    before = copy.deepcopy((obj, patch))
    result = strategic_merge(obj, patch, node("v1", "Pod"))[0]
    assert (obj, patch) == before
    found = {item["name"]: item["image"] for item in result["spec"]["containers"]}
    expected = {name: "old" for name in live if name not in deleted} | {name: "new" for name in changed}
    assert found == expected
    order = [item["name"] for item in result["spec"]["containers"]]
    assert [name for name in order if name in changed] == changed
    again = strategic_merge(result, patch, node("v1", "Pod"))[0]
    assert {item["name"] for item in again["spec"]["containers"]} == set(expected)


def test_many_items_that_nobody_has_given_a_place_come_as_they_are_in_no_time() -> None:
    items = [{"name": str(number)} for number in range(30_000)]
    assert ordered(items, [], [], "name") == items


def _items(change: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [{"name": f"c{number}", **change} for number in range(count)]


@pytest.mark.parametrize("directive", [{}, {"$patch": "delete"}])
def test_items_are_found_without_looking_at_all_others(directive: dict[str, str]) -> None:
    """Twice as many are twice the work, of keyed lists and of plain ones."""

    def steps(count: int) -> int:
        live = {
            "metadata": {"finalizers": [f"a/{number}" for number in range(count)]},
            "spec": {"containers": _items({}, count)},
        }
        patch = {
            "metadata": {
                "finalizers": [f"b/{number}" for number in range(count)],
                "$deleteFromPrimitiveList/finalizers": [f"a/{number}" for number in range(count)],
            },
            "spec": {"containers": _items({"image": "i", **directive}, count)},
        }
        merged, _ = strategic_merge(live, patch, node("v1", "Pod"))
        assert merged["spec"]["containers"] == ([] if directive else _items({"image": "i"}, count))
        assert merged["metadata"]["finalizers"] == [f"b/{number}" for number in range(count)]
        return calls(lambda: strategic_merge(live, patch, node("v1", "Pod")))

    assert steps(400) < 3 * steps(200)
