"""What is refused of the storage group."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.defaults.empties import Empties, known, note
from controlplane.apiserver.rules.tables import rules
from tests.controlplane.apiserver.rules.cases import Obj, complete, expect, kind_of, put, teller, told

SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"


def made(kind: str, **fields: Any) -> Obj:
    return {"apiVersion": "storage.k8s.io/v1", "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **fields}


CLASS = made("StorageClass", provisioner="example.com/disks")
TERM = "allowedTopologies[0].matchLabelExpressions"


def zones(*expressions: Obj) -> Obj:
    return {"allowedTopologies": [{"matchLabelExpressions": list(expressions)}]}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"provisioner": "Example.com/Disks"}, []),
        ({"provisioner": ""}, ["provisioner: Required value"]),
        ({"provisioner": "A b"}, ['provisioner: Invalid value: "a b": name part must consist of']),
        (
            {"reclaimPolicy": "Recycle"},
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        ),
        ({"volumeBindingMode": ""}, ['volumeBindingMode: Unsupported value: "": supported values: "Immediate", "Wai']),
        ({"volumeBindingMode": "X"}, ['volumeBindingMode: Unsupported value: "X": supported values: "Immediate", "Wa']),
        ({"parameters": {"": "v"}}, ['parameters: Invalid value: "": field can not be empty.']),
        ({"parameters": {f"k{n}": "v" for n in range(513)}}, ["parameters: Too long: may not be more than 512 bytes"]),
        (zones({"key": "zone", "values": ["a", "a"]}), [f'{TERM}[0].values[1]: Duplicate value: "a"']),
        (
            zones({"key": "zone"}, {"key": "zone", "values": ["a"]}),
            [f"{TERM}[0].values: Required value", f'{TERM}[1].key: Duplicate value: "zone"'],
        ),
        (
            {"allowedTopologies": [{}]},
            ['allowedTopologies[0].matchLabelExpressions: Duplicate value: ""'],
        ),
        (
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": ["a"]}]}] * 2},
            ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""'],
        ),
    ],
)
def test_classes(changes: Obj, wanted: list[str]) -> None:
    expect(teller(CLASS)(changes), wanted)


def test_a_class_is_what_it_was() -> None:
    changed = put(CLASS, {"provisioner": "", "parameters": {"a": "b"}, "mountOptions": ["ro"]})
    assert told(changed, CLASS) == [
        "provisioner: Required value",
        'parameters: Invalid value: {"a":"b"}: field is immutable',
        'provisioner: Invalid value: "": field is immutable',
    ]


DRIVER = made("CSIDriver", spec={})
TOKENS = "spec.tokenRequests"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.fsGroupPolicy": "X"}, ['spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None"']),
        (
            {"spec.volumeLifecycleModes": ["X"]},
            ['spec.volumeLifecycleModes: Unsupported value: "X": supported values: "Persistent", "Ephemeral"'],
        ),
        ({TOKENS: [{"audience": "a"}, {"audience": "a"}]}, [f'{TOKENS}[1].audience: Duplicate value: "a"']),
        ({TOKENS: [{"expirationSeconds": 599}]}, [f"{TOKENS}[0].expirationSeconds: Invalid value: 599: may not speci"]),
        (
            {"spec.nodeAllocatableUpdatePeriodSeconds": 9},
            ["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"],
        ),
        (
            {"spec.serviceAccountTokenInSecrets": True},
            ["spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no"],
        ),
    ],
)
def test_drivers(changes: Obj, wanted: list[str]) -> None:
    expect(teller(DRIVER)(changes), wanted)


def test_a_driver_attaches_or_does_not_for_good() -> None:
    attached = "spec.attachedRequired: Invalid value: false: field is immutable"
    assert told(put(DRIVER, {"spec.attachRequired": False}), DRIVER) == [attached]
    assert told(put(DRIVER, {"spec.podInfoOnMount": True}), DRIVER) == []


NODE = made("CSINode", spec={"drivers": [{"name": "d", "nodeID": "n"}]})
AT = "spec.drivers[0]"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"spec.drivers.0.allocatable": {"count": 3}}, []),
        (
            {"spec.drivers.0.allocatable": {"count": -1}},
            [f"{AT}.allocatable.count: Invalid value: -1: must be greater"],
        ),
        ({"spec.drivers.0": {"name": ""}}, [f"{AT}.name: Required value", f"{AT}.nodeID: Required value"]),
        ({"spec.drivers.0.nodeID": "n" * 257}, [f'{AT}.nodeID: Invalid value: "{"n" * 257}": must be 256 characters']),
        ({"spec.drivers.1": {"name": "d", "nodeID": "m"}}, ['spec.drivers[1].name: Duplicate value: "d"']),
        (
            {"spec.drivers.0.topologyKeys": ["a", "a", "b c"]},
            [f'{AT}: Duplicate value: "a"', f'{AT}: Invalid value: "b c": name part must consist of'],
        ),
    ],
)
def test_nodes(changes: Obj, wanted: list[str]) -> None:
    expect(teller(NODE)(changes), wanted)


def test_a_nodes_driver_keeps_its_identity() -> None:
    assert told(put(NODE, {"spec.drivers.0.allocatable": {"count": 3}}), NODE) == []
    assert told(put(NODE, {"spec.drivers.0.nodeID": "m"}), NODE) == [
        'spec.drivers: Invalid value: {"Name":"d","NodeID":"m","TopologyKeys":null,"Allocatable":null}: '
        "field is immutable"
    ]
    changed, before = complete(put(NODE, {"spec.drivers.0.nodeID": "m"})), complete(NODE)
    with known(Empties()):
        note(changed["spec"]["drivers"][0], "topologyKeys", [])
        (error,) = rules().check(kind_of(changed), changed, before)
    assert '"NodeID":"m","TopologyKeys":[],"Allocatable":null}' in str(error)


ATTACHMENT = made(
    "VolumeAttachment", spec={"attacher": "a.b", "source": {"persistentVolumeName": "v"}, "nodeName": "n"}
)
SOURCE = "spec.source"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({SOURCE: {}}, [f"{SOURCE}: Required value: must specify exactly one of inlineVolumeSpec and"]),
        (
            {f"{SOURCE}.inlineVolumeSpec": {}},
            [f"{SOURCE}: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (
            {f"{SOURCE}.persistentVolumeName": ""},
            [
                f"{SOURCE}.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
                f'{SOURCE}.persistentVolumeName: Invalid value: "": {SUBDOMAIN}',
            ],
        ),
        ({SOURCE: {"inlineVolumeSpec": {}}}, [
            f"{SOURCE}.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
            f"{SOURCE}.inlineVolumeSpec.accessModes: Required value",
            f"{SOURCE}.inlineVolumeSpec: Required value: must specify a volume type",
        ]),
        ({"spec.nodeName": ""}, [f'spec.nodeName: Invalid value: "": {SUBDOMAIN}']),
        ({"spec.attacher": ""}, ["spec.attacher: Required value"]),
        ({"spec.attacher": "a" * 64}, ["spec.attacher: Too long: may not be more than 63 bytes"]),
    ],
)  # fmt: skip
def test_attachments(changes: Obj, wanted: list[str]) -> None:
    expect(teller(ATTACHMENT)(changes), wanted)


def test_an_attachment_stands_and_tells_of_its_failures() -> None:
    assert told(put(ATTACHMENT, {"spec.nodeName": "m"}), ATTACHMENT) == [
        'spec: Invalid value: {"Attacher":"a.b","Source":{"PersistentVolumeName":"v","InlineVolumeSpec":null},'
        '"NodeName":"m"}: field is immutable'
    ]
    whole = complete(ATTACHMENT)
    status = {"attached": False, "attachError": {"errorCode": -1, "message": "x" * 1025}}
    found = rules().check(kind_of(whole), {**whole, "status": status}, whole, "status")
    expect(
        [str(error) for error in found],
        [
            "status.attachError.message: Too long: may not be more than 262144 bytes",
            "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    )


def test_capacities_and_attributes_classes() -> None:
    room = made("CSIStorageCapacity", storageClassName="a", capacity="1Gi")
    assert told(room) == []
    expect(told(put(room, {"capacity": "-1"})), ['capacity: Invalid value: "-1": must be greater than or equal to 0'])
    changed = put(room, {"storageClassName": "b", "capacity": "2Gi"})
    assert told(changed, room) == ['storageClassName: Invalid value: "b": field is immutable']
    gold = made("VolumeAttributesClass", driverName="d", parameters={"iops": "5"})
    assert told(gold) == []
    none = put(gold, {"parameters": {}})
    assert told(none) == ["parameters: Required value: must contain at least one key/value pair"]
    changed = put(gold, {"parameters": {"iops": "6"}})
    assert told(changed, gold) == ["parameters: Forbidden: updates to parameters are forbidden."]
