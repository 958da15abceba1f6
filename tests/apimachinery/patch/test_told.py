import functools
import json
from typing import Any

from apimachinery import patch
from apimachinery.patch import complaints
from apimachinery.schema import Schema

DEPLOYMENT = Schema.load().node("apps/v1", "Deployment")
OWNED = {
    "time": "T",
    "manager": "m",
    "fieldsType": "FieldsV1",
    "operation": "Update",
    "fieldsV1": {},
    "apiVersion": "v1",
}


def names(text: str, *path: str) -> list[str]:
    found: Any = json.loads(text)
    for step in path:
        found = found[int(step)] if isinstance(found, list) else found[step]
    return list(found)


def test_what_a_patch_reaches_into_is_sorted_and_the_rest_stands_as_declared() -> None:
    old = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"uid": "u", "name": "d", "resourceVersion": "1", "managedFields": [OWNED]},
        "spec": {
            "template": {
                "spec": {"containers": [{"image": "i", "name": "c"}]},
                "metadata": {"labels": {"b": "", "a": ""}},
            },
            "replicas": 1,
        },
    }
    operations: list[dict[str, Any]] = [
        {"op": "remove", "path": "/metadata/resourceVersion"},
        {"op": "replace", "path": "/spec/replicas", "value": {"z": 1, "a": 2}},
        {"op": "test", "path": "/spec/template/metadata", "value": {}},
        {"op": "add", "path": "/bogus", "value": 1},
    ]
    work = functools.partial(patch.json_patch, operations=[one for one in operations if one["op"] != "test"])
    text = patch.told(old, work, patch.by_json_patch(operations), DEPLOYMENT)
    assert names(text) == ["apiVersion", "bogus", "kind", "metadata", "spec"]
    assert names(text, "metadata") == ["managedFields", "name", "uid"]
    declared = ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]
    assert names(text, "metadata", "managedFields", "0") == declared
    assert names(text, "spec") == ["replicas", "template"]
    assert names(text, "spec", "replicas") == ["z", "a"]
    assert names(text, "spec", "template") == ["metadata", "spec"]
    assert names(text, "spec", "template", "metadata", "labels") == ["a", "b"]
    assert names(text, "spec", "template", "spec", "containers", "0") == ["name", "image"]


def test_fields_stand_in_the_order_of_their_declaration_and_owners_fields_in_theirs() -> None:
    sets: dict[str, Any] = {"f:spec": {'k:{"port":80}': {}, 'k:{"port":443}': {}}}
    old = {
        "metadata": {"name": "d", "managedFields": [{**OWNED, "fieldsV1": sets}]},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "volumeDevices": [], "env": [], "envFrom": []}]}}},
    }
    text = patch.told(old, lambda ordered: {**ordered, "bogus": 1}, {}, DEPLOYMENT)
    declared = ["name", "envFrom", "env", "volumeDevices"]
    assert names(text, "spec", "template", "spec", "containers", "0") == declared
    assert names(text, "metadata", "managedFields", "0", "fieldsV1", "f:spec") == list(sets["f:spec"])


def test_a_copy_is_as_sorted_as_what_it_was_made_of_and_whole_objects_begin_with_their_type() -> None:
    node = Schema.load("v1.36").node("apps/v1", "StatefulSet")
    claim = {"apiVersion": "v1", "spec": {"volumeMode": "Block", "accessModes": ["a"]}, "kind": "PersistentVolumeClaim"}
    old = {"metadata": {"uid": "u", "name": "d", "annotations": {}}, "spec": {"volumeClaimTemplates": [claim]}}
    operations: list[dict[str, Any]] = [{"op": "copy", "from": "/metadata", "path": "/metadata/annotations/z"}]
    work = functools.partial(patch.json_patch, operations=operations)
    text = patch.told(old, work, patch.by_json_patch(operations), node)
    assert names(text, "metadata", "annotations", "z") == ["annotations", "name", "uid"]
    assert names(text, "spec", "volumeClaimTemplates", "0") == ["kind", "apiVersion", "spec"]
    assert names(text, "spec", "volumeClaimTemplates", "0", "spec") == ["accessModes", "volumeMode"]


def test_copies_of_copies_are_reached_into_so_far_only() -> None:
    operations = [{"op": "test", "path": f"/metadata/{number}", "value": None} for number in range(50)]
    operations += [{"op": "copy", "from": "/metadata", "path": f"/metadata/c{number}"} for number in range(20)]
    assert len(repr(patch.by_json_patch(operations))) < 2_000_000


def test_what_means_something_in_html_is_escaped() -> None:
    old = {"metadata": {"annotations": {"a<": "b&c>\u2028"}}}
    assert '{"a\\u003c":"b\\u0026c\\u003e\\u2028"}' in patch.told(old, lambda ordered: ordered, {}, DEPLOYMENT)


def test_what_a_merge_says_is_sorted_to_its_end() -> None:
    merge = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}], "hostNetwork": "x"}}}}
    old = {
        "spec": {"replicas": 1, "template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": []}}}
    }
    text = patch.told(old, lambda obj: patch.merge_patch(obj, merge), patch.by_merge(merge), DEPLOYMENT)
    assert names(text, "spec", "template", "spec") == ["containers", "hostNetwork", "volumes"]
    assert names(text, "spec", "template", "spec", "containers", "0") == ["image", "name"]
    assert names(text, "spec", "template", "spec", "volumes", "0") == ["name", "emptyDir"]


def test_complaints_name_repeated_keys_and_fields_of_no_operation() -> None:
    merge = b'{"data":{"d":"1","d":"2"},"data":{"e":"1"}}'
    assert complaints.of_merge(merge) == ('duplicate field "data.d"', 'duplicate field "data"')
    body = b'[{"op":"test","path":"/a","value":1,"value":2},{"op":"remove","path":"/b","bogus":1}]'
    told = ('json patch duplicate field "[0].value"', 'json patch unknown field "[1].bogus"')
    assert complaints.of_json_patch(body, json.loads(body)) == told
    assert complaints.of_merge(b'{"a":{"b":1}}') == ()
