"""What is refused of volumes and claims, and of changes of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, expect, put, teller, told

CLAIM: Obj = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "c", "namespace": "n"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
VOLUME: Obj = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "v"},
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
}
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        (
            {"spec.accessModes": ["ReadWriteOncePod", "ReadWriteMany", "X"]},
            [
                'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany"',
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ],
        ),
        ({"spec.resources.requests.storage": "0"}, ['spec.resources[storage]: Invalid value: "0": must be greater']),
        ({"spec.resources": {}}, ["spec.resources[storage]: Required value"]),
        (
            {"spec.selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            ['spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator'],
        ),
        ({"spec.storageClassName": "A"}, [f'spec.storageClassName: Invalid value: "A": {SUBDOMAIN}']),
        ({"spec.storageClassName": ""}, []),
        (
            {"spec.volumeMode": "X"},
            ['spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'],
        ),
        (
            {"spec.dataSource": {"apiGroup": "A b"}},
            [
                "spec.dataSource.name: Required value",
                "spec.dataSource.kind: Required value",
                f'spec.dataSource.apiGroup: Invalid value: "A b": {SUBDOMAIN}',
            ],
        ),
        (
            {"spec.dataSourceRef": {"kind": "Disk", "name": "d", "namespace": "N"}},
            [
                "spec.dataSourceRef: Invalid value: \"Disk\": must be 'PersistentVolumeClaim' when referencing the d",
                'spec.dataSourceRef.namespace: Invalid value: "N": a lowercase RFC 1123 label',
            ],
        ),
        (
            {
                "spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "x"},
                "spec.dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "y"},
            },
            ["spec: Invalid value: {}: must match dataSourceRef"],
        ),
        ({"spec.volumeAttributesClassName": "A"}, [f'spec.volumeAttributesClassName: Invalid value: "A": {SUBDOMAIN}']),
    ],
)
def test_a_new_claim(changes: Obj, wanted: list[str]) -> None:
    expect(teller(CLAIM)(changes), wanted)


def test_a_claim_that_named_a_group_may_name_any() -> None:
    new = put(CLAIM, {"spec.dataSourceRef": {"kind": "K", "name": "x", "apiGroup": "A"}})
    old = put(CLAIM, {"spec.dataSourceRef": {"kind": "K", "name": "x", "apiGroup": "e.com"}})
    assert any("dataSourceRef.apiGroup" in text for text in told(new))
    assert any("dataSourceRef.apiGroup" in text for text in told(new, CLAIM))
    assert not any("dataSourceRef.apiGroup" in text for text in told(new, old))


def claim(phase: str = "Pending", has: str = "", **changes: Any) -> Obj:
    status = {"phase": phase, **({"capacity": {"storage": has}} if has else {})}
    return put(CLAIM, {"status": status, **{f"spec.{field}": value for field, value in changes.items()}})


def test_a_claim_is_bound_once_and_then_stands() -> None:
    bound = claim(volumeName="v")
    assert told(bound, claim()) == []
    (text,) = told(claim(volumeName="w"), bound)
    assert text.startswith("spec: Forbidden: spec is immutable after creation except resources.requests and volume")
    assert text.endswith(
        '- "VolumeName": "v",\n+ "VolumeName": "w",\n  "StorageClassName": null,\n  "VolumeMode": "Filesystem",\n'
        '  "DataSource": null,\n'
    )


@pytest.mark.parametrize(
    ("phase", "has", "before", "after", "wanted"),
    [
        ("Bound", "1Gi", "1Gi", "2Gi", []),
        ("Pending", "", "1Gi", "2Gi", ["spec: Forbidden"]),
        ("Bound", "1Gi", "3Gi", "2Gi", []),
        (
            "Bound",
            "1Gi",
            "3Gi",
            "500Mi",
            ["spec.resources.requests.storage: Forbidden: field can not be less than sta"],
        ),
        (
            "Bound",
            "1Gi",
            "3Gi",
            "1Gi",
            ["spec.resources.requests.storage: Forbidden: field can not be less than status"],
        ),
    ],
)
def test_a_bound_claim_grows_and_shrinks_down_to_what_it_has(
    phase: str, has: str, before: str, after: str, wanted: list[str]
) -> None:
    old, new = (claim(phase, has, resources={"requests": {"storage": size}}) for size in (before, after))
    expect(told(new, old), wanted)


def test_a_class_may_be_filled_in_but_not_exchanged() -> None:
    beta = {"metadata.annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}
    assert told(claim(storageClassName="a"), claim()) == []
    assert told(put(claim(storageClassName="a"), beta), put(claim(), beta)) == []
    expect(told(claim(storageClassName="b"), claim(storageClassName="a")), ["spec: Forbidden"])
    expect(
        told(put(claim(), beta), claim()),
        ['metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "a": field is immutable'],
    )
    expect(
        told(claim(volumeMode="Block"), claim()),
        ["spec: Forbidden", 'volumeMode: Invalid value: "Block": field is immutable'],
    )


def test_attributes_once_applied_are_not_lost() -> None:
    old = put(claim("Bound", volumeAttributesClassName="gold"), {"status.currentVolumeAttributesClassName": "gold"})
    assert told(put(old, {"spec.volumeAttributesClassName": "silver"}), old) == []
    for value, what in ((ABSENT, "nil"), ("", "empty string")):
        expect(
            told(put(old, {"spec.volumeAttributesClassName": value}), old),
            [f"spec.volumeAttributesClassName: Forbidden: update to {what} is forbidden when status.currentVolume"],
        )


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (
            {"capacity": {"storage": "-1"}},
            ["status.capacity[storage]: Invalid value: -1: must be a valid resource quan"],
        ),
        (
            {"allocatedResourceStatuses": {"disk": "NodeResizePending", "storage": "X"}},
            [
                'status.allocatedResourceStatuses: Unsupported value: "disk": supported values: "storage"',
                'status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResize',
            ],
        ),
        (
            {"allocatedResources": {"a b": "1", "storage": "-1"}},
            [
                'status.allocatedResources: Invalid value: "a b": name part must consist of',
                "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
            ],
        ),
        ({"conditions": [{"type": "", "status": "True"}]}, []),
    ],
)
def test_a_claims_status(status: Obj, wanted: list[str]) -> None:
    expect(told(put(CLAIM, {"status": status}), CLAIM, "status"), wanted)


def source(**given: Any) -> Obj:
    return {"spec.hostPath": ABSENT, **{f"spec.{kind}": value for kind, value in given.items()}}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (source(), ["spec: Required value: must specify a volume type"]),
        ({"spec.nfs": {"server": "s", "path": "/"}}, ["spec.nfs: Forbidden: may not specify more than 1 volume type"]),
        ({"spec.accessModes": []}, ["spec.accessModes: Required value"]),
        ({"spec.capacity": {}}, ["spec.capacity: Required value", "spec.capacity: Unsupported value: null: supported"]),
        (
            {"spec.capacity": {"storage": "1Gi", "cpu": "0"}},
            [
                'spec.capacity: Unsupported value: {"cpu":"0","storage":"1Gi"}: supported values: "storage"',
                'spec.capacity[cpu]: Invalid value: "0": must be greater than zero',
            ],
        ),
        (
            {"spec.persistentVolumeReclaimPolicy": "X"},
            ['spec.persistentVolumeReclaimPolicy: Unsupported value: "X": supported values: "Delete", "Recycle", "'],
        ),
        (
            {"spec.hostPath.path": "//", "spec.persistentVolumeReclaimPolicy": "Recycle"},
            ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
        (
            {"spec.nodeAffinity": {}},
            ["spec.nodeAffinity.required: Required value: must specify required node constrain"],
        ),
        (
            {"spec.nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a"}]}]}}},
            ['spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: "": not a'],
        ),
        ({"spec.storageClassName": "A"}, [f'spec.storageClassName: Invalid value: "A": {SUBDOMAIN}']),
        ({"spec.volumeMode": "X"}, ['spec.volumeMode: Unsupported value: "X"']),
        (
            {"spec.volumeAttributesClassName": ""},
            [
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
        (
            source(local={"path": "/a/../b"}),
            [
                "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
        ),
        (
            source(
                csi={
                    "nodePublishSecretRef": {"name": "s"},
                    "controllerPublishSecretRef": {"name": "S", "namespace": "n"},
                    "nodeStageSecretRef": {},
                }
            ),
            [
                "spec.csi.driver: Required value",
                "spec.csi.volumeHandle: Required value",
                f'spec.csi.controllerPublishSecretRef.name: Invalid value: "S": {SUBDOMAIN}',
                "spec.csi.nodePublishSecretRef.namespace: Required value",
            ],
        ),
        (
            source(glusterfs={"endpointsNamespace": ""}),
            [
                "spec.glusterfs.endpoints: Required value",
                "spec.glusterfs.path: Required value",
                'spec.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set',
            ],
        ),
        (
            source(azureFile={"secretName": "s", "shareName": "s", "secretNamespace": ""}),
            ["spec.azureFile.secretNamespace: Required value"],
        ),
        (
            source(azureFile={"secretName": "s", "shareName": "s", "secretNamespace": None}),
            [],
        ),
        (
            source(cinder={"volumeID": "v", "secretRef": {"name": "s"}}),
            ["spec.cinder.secretRef.namespace: Required value"],
        ),
        (
            source(
                iscsi={
                    "targetPortal": "p" * 64,
                    "iqn": "x",
                    "lun": 0,
                    "initiatorName": "naa." + "0" * 32,
                    "secretRef": {},
                }
            ),
            [
                f'spec.iscsi.targetportal: Invalid value: "{"p" * 64}": Total length of <volume name>:<iscsi.targetP',
                'spec.iscsi.iqn: Invalid value: "x": must be valid format',
                "spec.iscsi.secretRef.name: Required value",
            ],
        ),
        (
            {"metadata.annotations": {"volume.beta.kubernetes.io/mount-options": "ro"}},
            [
                "metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options"
                " for this volume type"
            ],
        ),
        (
            source(nfs={"server": "s", "path": "/"}, flexVolume={})
            | {"metadata.annotations": {"volume.beta.kubernetes.io/mount-options": "ro"}},
            ["spec.flexVolume.driver: Required value"],
        ),
        (source(rbd={}), ["spec.rbd.monitors: Required value", "spec.rbd.image: Required value"]),
        (source(gcePersistentDisk={}), ["spec.persistentDisk.pdName: Required value"]),
    ],
)
def test_a_new_volume(changes: Obj, wanted: list[str]) -> None:
    expect(teller(VOLUME)(changes), wanted)


def test_a_volume_stays_where_it_is() -> None:
    new = put(VOLUME, {"spec.hostPath.path": "/y", "spec.volumeMode": "Block"})
    moved, mode = told(new, VOLUME)
    assert moved.startswith("spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after")
    assert '-  "Path": "/x",\n+  "Path": "/y",\n' in moved
    assert mode == 'volumeMode: Invalid value: "Block": field is immutable'


def test_nodes_of_a_volume_follow_renamed_labels_alone() -> None:
    def on(key: str) -> Obj:
        expression = {"key": key, "operator": "In", "values": ["z"]}
        return put(VOLUME, {"spec.nodeAffinity.required.nodeSelectorTerms": [{"matchExpressions": [expression]}]})

    old = on("failure-domain.beta.kubernetes.io/zone")
    assert told(on("topology.kubernetes.io/zone"), old) == []
    # An ordinary label was never another one, which upstream takes for having been none.
    assert not any("immutable" in text for text in told(on(""), on("other")))
    assert told(old, VOLUME) == []
    expect(
        told(on("other"), old), ['nodeAffinity: Invalid value: {"Required":{"NodeSelectorTerms":[{"MatchExpressions']
    )


def test_a_changed_volume_is_looked_at_twice() -> None:
    assert told(put(VOLUME, {"spec.accessModes": None}), VOLUME) == ["spec.accessModes: Required value"] * 2


def test_a_secret_for_growth_may_come_later() -> None:
    csi = {"driver": "d", "volumeHandle": "h"}
    old = put(VOLUME, source(csi=csi))
    secret = {"name": "s", "namespace": "n"}
    assert told(put(old, {"spec.csi.controllerExpandSecretRef": secret}), old) == []
    (text,) = told(put(old, {"spec.csi.nodeExpandSecretRef": secret}), old)
    assert text.startswith("spec.persistentvolumesource: Forbidden")
