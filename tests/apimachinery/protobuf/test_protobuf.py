# ruff: noqa: E501 - tables of cases read best one to a line
import base64
import contextlib
import inspect
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import protobuf
from apimachinery.data import wire_fields
from apimachinery.schema import Schema
from controlplane.apiserver.resources import builtin
from tests.apimachinery import golden

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "p",
        "namespace": "n",
        "labels": {"a": "b", "": "x"},
        "annotations": {"k": ""},
        "generation": -5,
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": False}],
        "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {".": {}, "f:x": {}}}}],
    },
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "i",
                "ports": [{"containerPort": 80, "name": "http"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": False}}}],
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "securityContext": {"runAsUser": 0},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "secret": {"secretName": "s", "defaultMode": 420}}],
        "terminationGracePeriodSeconds": 0,
        "hostNetwork": True,
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "startTime": "1969-12-31T23:59:58Z"},
}  # fmt: skip


def test_a_pod_survives_the_round_trip() -> None:
    assert protobuf.decode(protobuf.encode(POD)) == POD


def test_known_bytes() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "2", "a": "1"}}
    meta = b"\x0a\x01a" + b"\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00"
    data = b"\x12\x06\x0a\x01a\x12\x011" + b"\x12\x06\x0a\x01b\x12\x012"
    raw = b"\x0a" + bytes([len(meta)]) + meta + data
    named = b"\x0a\x02v1\x12\x09ConfigMap"
    expected = b"k8s\x00\x0a" + bytes([len(named)]) + named + b"\x12" + bytes([len(raw)]) + raw + b"\x1a\x00\x22\x00"
    assert protobuf.encode(obj) == expected


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "v1", "kind": "Secret", "data": {"a": "AP8=", "b": ""}, "type": "Opaque"},
        {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "web"}]}},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": "2026-01-02T03:04:05.000006Z", "leaseDurationSeconds": 0}},
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"spec": {"z": 1, "a": [None, 1.5]}}, "revision": 3},
        {"apiVersion": "v1", "kind": "PersistentVolume", "spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x", "type": ""}}},
        {"apiVersion": "v1", "kind": "Pod", "spec": {"ephemeralContainers": [{"name": "d", "image": "i", "targetContainerName": "c"}]}},
        {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "Background"}},
        {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "p"}},
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True, "$ref": "#/x", "maximum": 5, "minimum": 0.5,
            "properties": {"a": {"type": "array", "items": {"type": "string"}, "default": ["x"], "enum": ["p", None]}},
            "additionalProperties": {"type": "integer"}, "additionalItems": True,
        }}}]}},
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {"user": {"extra": {"k": ["a", "b"]}}}},
    ],
)  # fmt: skip
def test_special_types(obj: dict[str, Any]) -> None:
    assert protobuf.decode(protobuf.encode(obj)) == obj


def test_every_kind_has_a_message() -> None:
    without = {row.kind for row in builtin.catalog().kinds() if wire_fields.of_kind(row.api_version, row.kind) is None}
    assert without <= {"NodeMetrics", "PodMetrics"}


def test_unknown_fields_are_passed_over() -> None:
    raw = b"\x0a\x03\x0a\x01a" + b"\xf8\x7f\x05" + b"\xfa\x7f\x02hi" + b"\xf9\x7f12345678" + b"\xfd\x7f1234"
    body = protobuf.encode_raw("v1", "ConfigMap", raw)
    assert protobuf.decode(body) == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty data"),
        (b"k8s\x00", "empty body"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (protobuf.encode_raw("v1", "Nope", b""), 'no kind "Nope" is registered for version "v1"'),
        (protobuf.encode_raw("v1", "ConfigMap", b"\x0a\x05ab"), "unexpected EOF"),
        (protobuf.encode_raw("v1", "ConfigMap", b"\x08\x01"), "proto: wrong wireType = 0 for field metadata"),
        (
            protobuf.encode_raw("v1", "ConfigMap", b"\x00\x01"),
            "proto: ConfigMap: illegal tag 0 (wire type 0)",
        ),
        (protobuf.encode_raw("v1", "ConfigMap", b"\xff" * 12), "proto: integer overflow"),
    ],
)
def test_refused(body: bytes, message: str) -> None:
    with pytest.raises(protobuf.ProtobufError) as raised:
        protobuf.decode(body)
    assert str(raised.value) == message


def test_bottomless_messages_are_refused() -> None:
    schema: Any = {}
    for _ in range(150):
        schema = {"not": schema}
    spec = {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}
    body = protobuf.encode({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec})
    limit = sys.getrecursionlimit()
    assert protobuf.decode(body)["spec"] == spec
    sys.setrecursionlimit(len(inspect.stack(0)) + 120)
    try:
        with pytest.raises(protobuf.ProtobufError, match="nested too deeply"):
            protobuf.decode(body)
    finally:
        sys.setrecursionlimit(limit)


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(raw: bytes) -> None:
    with contextlib.suppress(protobuf.ProtobufError):
        protobuf.decode(protobuf.encode_raw("v1", "Pod", raw))
    with contextlib.suppress(protobuf.ProtobufError):
        protobuf.decode(b"k8s\x00" + raw)


@given(st.integers(0, 600), st.integers(0, 255))
def test_damaged_pods_decode_or_are_refused(at: int, byte: int) -> None:
    body = bytearray(protobuf.encode(POD))
    body[at % len(body)] = byte
    with contextlib.suppress(protobuf.ProtobufError):
        protobuf.decode(bytes(body))


def test_recorded_answers() -> None:
    schema, pairs = Schema.load(), 0
    for case in golden.cases("defaults-*.json"):
        texts = [step["answer"] for step in case["steps"] if isinstance(step.get("answer"), dict)]
        for step in case["steps"]:
            body = base64.b64decode(step.get("answer_base64", ""))
            if not protobuf.is_protobuf(body):
                continue
            obj = protobuf.decode(body)
            # Raw JSON keeps its spaces upstream.
            raw = obj["kind"] in ("ControllerRevision", "DeviceClass", "ResourceClaim")
            assert raw or protobuf.encode(obj) == body, case["name"]
            same = [t for t in texts if t.get("kind") == obj["kind"] and t.get("metadata", {}).get("name") == obj.get("metadata", {}).get("name")]  # fmt: skip
            walker = schema.walker(obj["apiVersion"], obj["kind"])
            if not same or walker is None or obj["kind"] in ("StatefulSet", "SubjectAccessReview", "Status"):
                continue
            assert not walker.check(obj).error
            assert any(golden.differences(obj, text) == [] for text in same), case["name"]
            pairs += 1
    assert pairs > 100
