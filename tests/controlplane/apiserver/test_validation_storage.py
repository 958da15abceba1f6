"""What is refused of claims, volumes and the storage group, and what the server makes of them."""

from typing import Any

import pytest

from controlplane.apiserver import defaults
from controlplane.apiserver.strategies import storage as strategy
from controlplane.apiserver.validation import storage

Obj = dict[str, Any]


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


def claim(**spec: Any) -> Obj:
    return {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], **spec}}


def storage_class(**fields: Any) -> Obj:
    obj: Obj = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s"}}
    obj |= {"provisioner": "example.com/disks", **fields}
    defaults.apply(obj)
    return obj


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, []),
        ({"provisioner": ""}, ["provisioner: Required value"]),
        (
            {"reclaimPolicy": "Recycle"},
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        ),
        ({"parameters": {"": "v"}}, ['parameters: Invalid value: "": field can not be empty.']),
        ({"parameters": {f"k{n}": "v" for n in range(513)}}, ["parameters: Too long: may not be more than 512 bytes"]),
        (
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]}]},
            ['allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"'],
        ),
    ],
)
def test_storage_classes(fields: Obj, wanted: list[str]) -> None:
    assert texts(storage.storage_class(storage_class(**fields))) == wanted


def test_a_storage_class_is_what_it_was() -> None:
    old, new = (
        storage_class(),
        storage_class(provisioner="example.com/other", parameters={"a": "b"}, mountOptions=["ro"]),
    )
    assert texts(storage.storage_class_change(new, old)) == [
        'parameters: Invalid value: {"a":"b"}: field is immutable',
        'provisioner: Invalid value: "example.com/other": field is immutable',
    ]


def driver(**spec: Any) -> Obj:
    obj: Obj = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "d"}, "spec": spec}
    defaults.apply(obj)
    return obj


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"fsGroupPolicy": "Always"}, ["spec.fsGroupPolicy"]),
        ({"volumeLifecycleModes": ["Sometimes"]}, ["spec.volumeLifecycleModes"]),
        ({"tokenRequests": [{"audience": "a"}, {"audience": "a"}]}, ["spec.tokenRequests[1].audience"]),
        ({"tokenRequests": [{"expirationSeconds": 599}]}, ["spec.tokenRequests[0].expirationSeconds"]),
        ({"nodeAllocatableUpdatePeriodSeconds": 9}, ["spec.nodeAllocatableUpdatePeriodSeconds"]),
    ],
)
def test_drivers(spec: Obj, fields: list[str]) -> None:
    assert [error.field for error in storage.driver(driver(**spec))] == fields


def test_a_driver_attaches_or_does_not_for_good() -> None:
    found = storage.driver_change(driver(attachRequired=False), driver())
    assert texts(found) == ["spec.attachedRequired: Invalid value: false: field is immutable"]
    assert storage.driver_change(driver(podInfoOnMount=True), driver()) == []


def test_a_nodes_driver_keeps_its_identity() -> None:
    def node(**entry: Any) -> Obj:
        return {"spec": {"drivers": [{"name": "d", "nodeID": "n", **entry}]}}

    assert storage.node(node(allocatable={"count": 3})) == []
    assert [error.field for error in storage.node({"spec": {"drivers": [{"name": ""}]}})] == [
        "spec.drivers[0].name",
        "spec.drivers[0].nodeID",
    ]
    assert storage.node_change(node(allocatable={"count": 3}), node()) == []
    assert [error.field for error in storage.node_change(node(nodeID="m"), node())] == ["spec.drivers[0]"]


def attachment(**spec: Any) -> Obj:
    return {"spec": {"attacher": "a.b", "source": {"persistentVolumeName": "v"}, "nodeName": "n", **spec}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        (
            {"source": {}},
            ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (
            {"source": {"persistentVolumeName": ""}},
            ["spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName"],
        ),
        ({"nodeName": ""}, ["spec.nodeName: Required value"]),
        ({"attacher": ""}, ["spec.attacher: Required value"]),
    ],
)
def test_attachments(spec: Obj, wanted: list[str]) -> None:
    assert texts(storage.attachment(attachment(**spec))) == wanted


def test_an_attachment_is_shown_under_upstreams_names() -> None:
    (found,) = storage.attachment_change(attachment(nodeName="m"), attachment())
    assert found.text == (
        'Invalid value: {"Attacher":"a.b","Source":{"PersistentVolumeName":"v","InlineVolumeSpec":null},"NodeName":"m"}'
        ": field is immutable"
    )


def test_capacities_and_attributes_classes() -> None:
    old = {"storageClassName": "a", "capacity": "1Gi"}
    assert storage.capacity(old) == []
    assert texts(storage.capacity_change({**old, "storageClassName": "b"}, old)) == [
        'storageClassName: Invalid value: "b": field is immutable'
    ]
    assert texts(storage.attributes_class({"driverName": "d", "parameters": {}})) == [
        "parameters: Required value: must contain at least one key/value pair"
    ]
    gold = {"driverName": "d", "parameters": {"iops": "5"}}
    assert texts(storage.attributes_class_change({**gold, "parameters": {"iops": "6"}}, gold)) == [
        "parameters: Forbidden: updates to parameters are forbidden."
    ]


def test_data_sources_fill_in_each_other() -> None:
    new = claim(dataSource={"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "x"})
    strategy.claim_created(new)
    assert new["spec"]["dataSourceRef"] == new["spec"]["dataSource"]
    new = claim(dataSourceRef={"apiGroup": "e.com", "kind": "Thing", "name": "x"})
    strategy.claim_created(new)
    assert new["spec"]["dataSource"] == {"apiGroup": "e.com", "kind": "Thing", "name": "x"}
    new = claim(dataSource={"kind": "Pod", "name": "p"})
    strategy.claim_created(new)
    assert "dataSource" not in new["spec"] and "dataSourceRef" not in new["spec"]
    new = claim(dataSourceRef={"kind": "PersistentVolumeClaim", "name": "x", "namespace": "elsewhere"})
    strategy.claim_created(new)
    assert "dataSource" not in new["spec"], "the older field cannot say where"


def test_a_volumes_phase_is_dated() -> None:
    old = {
        "metadata": {},
        "spec": {},
        "status": {"phase": "Pending", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"},
    }
    same = {"metadata": {}, "spec": {"x": 1}, "status": {"phase": "Pending"}}
    strategy.volume_status(same, old)
    assert same["status"] == old["status"] and same["spec"] == {}
    bound: Obj = {"metadata": {}, "spec": {}, "status": {"phase": "Bound", **{}}}
    strategy.volume_status(bound, old)
    assert bound["status"]["lastPhaseTransitionTime"] > "2020-01-01T00:00:00Z"
