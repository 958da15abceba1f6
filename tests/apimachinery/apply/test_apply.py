import copy
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.apply import apply, track_update
from apimachinery.schema import Node, Schema
from tests.counted import calls

T1 = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
T2 = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)


def node(api_version: str, kind: str) -> Node:
    found = Schema.load().node(api_version, kind)
    assert found is not None
    return found


MAP, DEPLOYMENT = node("v1", "ConfigMap"), node("apps/v1", "Deployment")


def config(**data: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    return {**obj, "data": data} if data else obj


def put(live: Any, applied: Any, manager: str, force: bool = False, now: datetime.datetime = T1, **how: Any) -> Any:
    return apply(live, applied, manager=manager, node=MAP, now=now, force=force, **how)


def write(live: Any, new: Any, manager: str, now: datetime.datetime = T1, **how: Any) -> Any:
    new = copy.deepcopy(new)
    entries = track_update(live, new, manager=manager, node=MAP, now=now, **how)
    new["metadata"]["managedFields"] = entries
    return new


def owners(obj: Any) -> dict[tuple[str, str], Any]:
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}


def test_first_apply_creates_and_owns_what_it_says() -> None:
    applied = {**config(a="1"), "metadata": {"name": "c", "labels": {"l": "1"}}}
    created = put(None, applied, "alpha")
    assert created["data"] == {"a": "1"}
    assert created["metadata"]["managedFields"] == [
        {
            "manager": "alpha",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:l": {}}}},
        }
    ]


def test_what_is_no_longer_applied_goes() -> None:
    live = put(None, config(a="1", b="2"), "alpha")
    assert put(live, config(a="1"), "alpha")["data"] == {"a": "1"}
    shared = put(live, config(b="2"), "beta")
    kept = put(shared, config(a="1"), "alpha")
    assert kept["data"] == {"a": "1", "b": "2"}
    assert owners(kept) == {
        ("alpha", "Apply"): {"f:data": {"f:a": {}}},
        ("beta", "Apply"): {"f:data": {"f:b": {}}},
    }
    assert not put(live, config(), "alpha").get("data")


def test_conflict_and_force() -> None:
    live = put(None, config(a="1", c="1"), "alpha")
    with pytest.raises(errors.Conflict) as raised:
        put(live, config(a="2"), "beta")
    error = raised.value
    assert error.message == 'Apply failed with 1 conflict: conflict with "alpha": .data.a'
    assert error.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "alpha"', "field": ".data.a"}]
    }
    with pytest.raises(errors.Conflict) as raised:
        put(live, config(a="2", c="2"), "beta")
    expected = 'Apply failed with 2 conflicts: conflicts with "alpha":\n- .data.a\n- .data.c'
    assert raised.value.message == expected
    taken = put(live, config(a="2"), "beta", force=True)
    assert taken["data"] == {"a": "2", "c": "1"}
    assert owners(taken) == {
        ("alpha", "Apply"): {"f:data": {"f:c": {}}},
        ("beta", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_updaters_take_fields_and_are_named_with_version_and_subresource() -> None:
    live = put(None, config(a="1"), "alpha")
    edited = write(live, {**live, "data": {"a": "9"}}, "hand")
    assert owners(edited) == {("hand", "Update"): {"f:data": {"f:a": {}}}}
    with pytest.raises(errors.Conflict, match='conflict with "hand" using v1: .data.a'):
        put(edited, config(a="1"), "alpha")
    scaled = write(live, {**live, "data": {"a": "9"}}, "hpa", subresource="scale")
    with pytest.raises(errors.Conflict, match='conflict with "hpa" with subresource "scale" using v1: .data.a'):
        put(scaled, config(a="1"), "alpha")


def test_what_stood_there_unrecorded_belongs_to_the_past() -> None:
    live = {**config(a="1"), "metadata": {"name": "c", "uid": "u"}}
    with pytest.raises(errors.Conflict, match='conflict with "before-first-apply" using v1: .data.a'):
        put(live, config(a="2"), "alpha")
    with pytest.raises(errors.Conflict, match='"before-first-apply" with subresource "scale" using v1: .data.a'):
        put(live, config(a="2"), "alpha", subresource="scale")
    assert track_update(live, {**live, "data": {}}, manager="m", node=MAP, now=T1) == []


def test_what_lies_there_without_its_key_is_named() -> None:
    account: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    applied = {**account, "secrets": [{"name": "q"}]}
    live = apply(None, applied, manager="m", node=node("v1", "ServiceAccount"), now=T1)
    live["secrets"].append({})
    wanted = {**account, "metadata": {"name": "a", "labels": {"l": "1"}}}
    why = "failed to create typed live object .*Kind=ServiceAccount.: .secrets: element 1: associative list with keys"
    with pytest.raises(errors.ApiError, match=why):
        apply(live, wanted, manager="m", node=node("v1", "ServiceAccount"), now=T1)


def test_nothing_changed_changes_nothing() -> None:
    live = put(None, config(a="1"), "alpha")
    assert put(live, config(a="1"), "alpha", now=T2) == live
    shared = put(live, config(a="1"), "beta", now=T2)
    assert [e.get("time") for e in shared["metadata"]["managedFields"]] == [None, "2026-01-01T00:00:00Z"]
    updated = write(None, config(a="1"), "m", T1)
    assert write(updated, updated, "m", T2) == updated


def test_what_one_object_loses_another_with_the_same_owners_keeps() -> None:
    first, second = (write(None, config(a="1", b="2"), "m", T1) for _ in range(2))
    for live in (first, second):
        taken = write(live, config(a="3", b="2"), "other", T2)
        assert owners(taken) == {
            ("m", "Update"): {"f:data": {".": {}, "f:b": {}}},
            ("other", "Update"): {"f:data": {"f:a": {}}},
        }


def test_update_on_create_owns_whole_maps() -> None:
    made = write(None, config(a="1"), "kubectl-create")
    assert owners(made) == {("kubectl-create", "Update"): {"f:data": {".": {}, "f:a": {}}}}
    removed = write(made, config(), "other")
    assert owners(removed) == {}


def test_resetting_and_keeping_entries() -> None:
    live = put(None, config(a="1"), "alpha")
    resets: list[list[dict[str, Any]]] = [[], [{}]]
    for forget in resets:
        new = {**config(a="1"), "metadata": {"name": "c", "managedFields": forget}}
        assert track_update(live, new, manager="m", node=MAP, now=T1) == []
    for keep in ({"name": "c"}, {"name": "c", "managedFields": [{"operation": "Odd"}]}):
        new = {**config(a="1"), "metadata": keep}
        entries = track_update(live, new, manager="m", node=MAP, now=T1)
        assert entries == live["metadata"]["managedFields"]


def test_endpoints_do_not_own_what_they_cannot_change() -> None:
    applied: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 2},
        "status": {"replicas": 2},
    }
    main = apply(None, applied, manager="m", node=DEPLOYMENT, now=T1, ignored=[("status",)])
    assert owners(main) == {("m", "Apply"): {"f:spec": {"f:replicas": {}}}}
    status = apply(None, applied, manager="m", node=DEPLOYMENT, now=T1, subresource="status", ignored=[("spec",)])
    assert owners(status) == {("m", "Apply"): {"f:status": {"f:replicas": {}}}}
    assert status["metadata"]["managedFields"][0]["subresource"] == "status"


def deployment(*containers: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": list(containers), **spec}}},
    }


def deploy(live: Any, applied: Any, manager: str, force: bool = False) -> Any:
    return apply(live, applied, manager=manager, node=DEPLOYMENT, now=T1, force=force)


def names(obj: Any) -> list[str]:
    return [container["name"] for container in obj["spec"]["template"]["spec"]["containers"]]


def test_keyed_lists() -> None:
    live = deploy(None, deployment({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "alpha")
    both = deploy(live, deployment({"name": "z", "image": "2"}), "beta")
    assert names(both) == ["a", "b", "z"] or names(both) == ["z", "a", "b"]
    fields = owners(both)[("beta", "Apply")]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert fields == {'k:{"name":"z"}': {".": {}, "f:image": {}, "f:name": {}}}
    assert names(deploy(both, deployment({"name": "a", "image": "1"}), "alpha")) == ["a", "z"]
    message = r'conflict with "alpha": .spec.template.spec.containers\[name="a"\].image'
    with pytest.raises(errors.Conflict, match=message):
        deploy(both, deployment({"name": "a", "image": "9"}), "beta")


def test_what_nobody_applies_keeps_its_place_without_looking_for_it_from_the_start() -> None:
    """Twice as many items that stay are twice the work."""

    def steps(count: int) -> int:
        stay, come = ([f"{one}/{number}" for number in range(count)] for one in ("a", "b"))
        live = put(None, {**config(), "metadata": {"name": "c", "finalizers": stay}}, "one")
        applied = {**config(), "metadata": {"name": "c", "finalizers": come}}
        assert put(live, applied, "two")["metadata"]["finalizers"] == [*stay, *come]
        return calls(lambda: put(live, applied, "two"))

    assert steps(400) < 3 * steps(200)


def test_the_applied_order_rules_and_the_rest_stays_between() -> None:
    live = deploy(None, deployment(*({"name": n} for n in "abc")), "alpha")
    live["spec"]["template"]["spec"]["containers"].insert(1, {"name": "x"})
    merged = deploy(live, deployment(*({"name": n} for n in "cab")), "alpha")
    assert [n for n in names(merged) if n != "x"] == ["c", "a", "b"]
    assert sorted(names(merged)) == ["a", "b", "c", "x"]


def test_conflicts_tell_what_is_owned_at_a_level_before_what_lies_below() -> None:
    def pair(image: str, replicas: int) -> Any:
        obj = deployment({"name": "a", "image": image})
        return {**obj, "spec": {**obj["spec"], "replicas": replicas, "template": obj["spec"]["template"]}}

    live = deploy(None, pair("1", 1), "alpha")
    with pytest.raises(errors.Conflict) as raised:
        deploy(live, pair("2", 2), "beta")
    told = [cause["field"] for cause in (raised.value.details or {})["causes"]]
    assert told == [".spec.replicas", '.spec.template.spec.containers[name="a"].image']


def test_a_keyed_list_has_no_nulls() -> None:
    with pytest.raises(errors.ApiError, match="element 0: associative list with keys may not have a null element"):
        deploy(None, deployment(None), "alpha")


def test_what_loses_all_below_it_and_stays_is_left_empty() -> None:
    live = deploy(None, deployment({"name": "a", "securityContext": {"runAsUser": 1}}), "alpha")
    left = deploy(live, deployment({"name": "a", "securityContext": None}), "alpha")
    assert left["spec"]["template"]["spec"]["containers"] == [{"name": "a", "securityContext": {}}]


def test_default_protocol_is_part_of_the_key() -> None:
    live = deploy(None, deployment({"name": "a", "ports": [{"containerPort": 80}]}), "alpha")
    ports = [{"containerPort": 80, "protocol": "TCP", "name": "n"}, {"containerPort": 80, "protocol": "UDP"}]
    merged = deploy(live, deployment({"name": "a", "ports": ports}), "beta")
    found = merged["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert found == [
        {"containerPort": 80, "protocol": "TCP", "name": "n"},
        {"containerPort": 80, "protocol": "UDP"},
    ]


def test_atomic_values_are_owned_whole() -> None:
    live = deploy(None, deployment(nodeSelector={"a": "1"}), "alpha")
    with pytest.raises(errors.Conflict, match=r"\.spec\.template\.spec\.nodeSelector"):
        deploy(live, deployment(nodeSelector={"b": "1"}), "beta")


def test_sets() -> None:
    def finalizers(*values: str) -> dict[str, Any]:
        return {**config(), "metadata": {"name": "c", "finalizers": list(values)}}

    live = put(put(None, finalizers("a/a"), "alpha"), finalizers("b/b"), "beta")
    assert sorted(live["metadata"]["finalizers"]) == ["a/a", "b/b"]
    assert put(live, config(), "alpha")["metadata"]["finalizers"] == ["b/b"]
    with pytest.raises(errors.ApiError, match=r'\.metadata\.finalizers: duplicate entries for key \[="x/x"\]'):
        put(live, finalizers("x/x", "x/x"), "alpha")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bogus": 1}, ".bogus: field not declared in schema"),
        ({"data": "x"}, ".data: expected map, got &{x}"),
        ({"data": {"a": 5}}, ".data.a: expected string, got &value.valueUnstructured{Value:5}"),
        ({"data": ["x"]}, ".data: expected map, got &{[x]}"),
    ],
)
def test_refused_types(change: dict[str, Any], text: str) -> None:
    with pytest.raises(errors.ApiError) as raised:
        put(None, {**config(), **change}, "alpha")
    prefix = "failed to create typed patch object (/c; /v1, Kind=ConfigMap): "
    assert (raised.value.status_code, raised.value.message) == (500, prefix + text)


def test_old_updaters_are_merged_beyond_ten() -> None:
    live = write(None, config(k0="0"), "m00")
    for number in range(1, 14):
        when = T1 + datetime.timedelta(seconds=number)
        data = {**live["data"], f"k{number}": "1"}
        live = write(live, {**live, "data": data}, f"m{number:02d}", when)
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    assert entries[0]["manager"] == "ancient-changes"
    assert set(entries[0]["fieldsV1"]["f:data"]) == {".", "f:k0", "f:k1", "f:k2", "f:k3", "f:k4"}
    assert [entry["manager"] for entry in entries[1:]] == [f"m{number:02d}" for number in range(5, 14)]


def test_kubectl_takes_over_its_client_side_applies() -> None:
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    body = {**config(a="1"), "metadata": {"name": "c", "annotations": {annotation: text}}}
    live = write(None, body, "kubectl-client-side-apply")
    merged = put(live, config(a="2"), "kubectl")
    assert merged["data"] == {"a": "2"}
    assert '"a":"2"' in merged["metadata"]["annotations"][annotation]
    with pytest.raises(errors.Conflict):
        put(live, config(a="2"), "someone")


def test_kubectl_does_not_take_over_what_others_changed_since_its_client_side_apply() -> None:
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","b":"1"}}'
    body = {**config(a="1", b="1"), "metadata": {"name": "c", "annotations": {annotation: text}}}
    live = write(None, body, "kubectl-client-side-apply")
    scaled = write(live, {**live, "data": {"a": "3", "b": "1"}}, "scaler")
    with pytest.raises(errors.Conflict) as raised:
        put(scaled, config(a="2", b="2"), "kubectl")
    # What is still as it was applied is no conflict.
    assert raised.value.message == 'Apply failed with 1 conflict: conflict with "scaler" using v1: .data.a'
    assert put(scaled, config(a="3", b="2"), "kubectl")["data"] == {"a": "3", "b": "2"}


keys = st.sampled_from(["a", "b", "c"])
datas = st.dictionaries(keys, st.sampled_from(["1", "2"]), max_size=3)
steps = st.lists(st.tuples(st.sampled_from(["x", "y"]), datas, st.booleans()), min_size=1, max_size=6)


@given(steps)
def test_laws_of_apply(history: list[tuple[str, dict[str, str], bool]]) -> None:
    live: Any = None
    for manager, data, force in history:
        before = copy.deepcopy(live)
        try:
            result = put(live, config(**data), manager, force)
        except errors.Conflict:
            assert not force and live == before
            continue
        assert live == before
        found = result.get("data") or {}
        assert all(found[key] == value for key, value in data.items())
        mine = owners(result).get((manager, "Apply"), {}).get("f:data", {})
        assert set(mine) == {f"f:{key}" for key in data}
        owned = {key for fields in owners(result).values() for key in fields.get("f:data", {})}
        assert owned == {f"f:{key}" for key in found}
        assert put(result, config(**data), manager, force, now=T2) == result
        live = result


def test_the_name_stays_when_the_last_label_goes() -> None:
    first = put(None, {**config(), "metadata": {"name": "c", "namespace": "n", "labels": {"l": "1"}}}, "alpha")
    live = {**first, "metadata": {**first["metadata"], "uid": "u"}}
    left = put(live, {**config(), "metadata": {"name": "c", "namespace": "n"}}, "alpha")
    assert left["metadata"]["name"] == "c" and "labels" not in left["metadata"]


def test_who_creates_an_object_may_bring_its_owners() -> None:
    brought = {"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}
    brought["fieldsV1"] = {"f:data": {"f:kept": {}, "f:gone": {}}}

    def created(**change: Any) -> dict[tuple[str, str], Any]:
        obj = config(kept="1", own="2")
        return owners(write(None, {**obj, "metadata": {"name": "c", "managedFields": [{**brought, **change}]}}, "me"))

    mine: dict[str, Any] = {"f:data": {".": {}, "f:kept": {}, "f:own": {}}}
    assert created() == {("a", "Update"): {"f:data": {"f:gone": {}}}, ("me", "Update"): mine}
    for unread in ({"fieldsType": ""}, {"apiVersion": ""}, {"operation": "Odd"}):
        assert created(**unread) == {("me", "Update"): mine}
    assert created(apiVersion="a/b/c") == {}


def test_who_owns_nothing_is_not_listed() -> None:
    assert "managedFields" not in put(None, config(), "alpha")["metadata"]


def test_an_item_without_its_key_has_the_zero_of_it() -> None:
    template = {"spec": {"containers": [{"image": "i", "ports": [{"name": "p"}]}]}}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": template}}
    made = apply(None, wanted, manager="alpha", node=DEPLOYMENT, now=T1)
    (entry,) = made["metadata"]["managedFields"]
    container = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":""}']
    assert 'k:{"containerPort":0,"protocol":"TCP"}' in container["f:ports"]


def test_what_an_endpoint_does_not_touch_still_makes_an_apply_a_change() -> None:
    said = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    first = apply(None, said, manager="alpha", node=DEPLOYMENT, now=T1, ignored=[("status",)])
    again = apply(first, said, manager="alpha", node=DEPLOYMENT, now=T2, ignored=[("status",)])
    assert again["metadata"]["managedFields"][0]["time"] == "2026-01-01T00:00:00Z"
    more = {**said, "status": {"replicas": 7}}
    touched = apply(first, more, manager="alpha", node=DEPLOYMENT, now=T2, ignored=[("status",)])
    assert touched["metadata"]["managedFields"][0]["time"] == "2026-01-02T00:00:00Z"
    assert "f:status" not in touched["metadata"]["managedFields"][0]["fieldsV1"]


@pytest.mark.parametrize(
    "element",
    ["k:5", "k:[]", "k:", f'k:{{"a":{"[" * 300}{"]" * 300}}}', f"v:{'[' * 300}{']' * 300}", "i:²", "x"],
    ids=["number", "list", "none", "deep", "deep value", "digit", "unknown"],
)
def test_entries_whose_paths_are_none_change_no_owner_and_stop_an_apply(element: str) -> None:
    live = write(None, {**config(a="1"), "metadata": {"name": "c", "uid": "u"}}, "alpha")
    entry = {**live["metadata"]["managedFields"][0], "manager": "beta", "fieldsV1": {element: {}}}
    brought = {**live, "metadata": {**live["metadata"], "managedFields": [entry]}}
    assert owners(write(live, brought, "gamma")) == owners(live)
    with pytest.raises(errors.ApiError, match="failed to decode managed fields: "):
        put(brought, config(a="2"), "beta")
