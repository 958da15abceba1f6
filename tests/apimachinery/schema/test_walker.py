# ruff: noqa: E501 - tables of cases read best one to a line
import copy
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from apimachinery.schema import Node, Schema, SchemaMissing, Walker, as_before, duplicate_fields
from controlplane.apiserver.resources import builtin

SCHEMA = Schema.load("v1.36")


def walker(api_version: str, kind: str) -> Walker:
    found = SCHEMA.walker(api_version, kind)
    assert found is not None
    return found


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "busybox:1", "ports": [{"containerPort": 80}]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": containers, **spec},
    }


def test_a_good_object_stays_as_it_is() -> None:
    obj = pod(nodeSelector={"a": "b"}, terminationGracePeriodSeconds=30, hostNetwork=True)
    obj["spec"]["containers"][0]["resources"] = {}
    obj["status"] = {}
    before = copy.deepcopy(obj)
    findings = walker("v1", "Pod").check(obj)
    assert (findings.error, findings.unknown) == ("", ())
    assert obj == before


@pytest.mark.parametrize("data", [{"a": None}, [1], "x", 5])
def test_what_is_kept_as_its_writer_wrote_it_may_be_any_json(data: Any) -> None:
    obj = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": data, "revision": 1}
    assert walker("apps/v1", "ControllerRevision").check(obj).error == ""
    assert obj["data"] == data


def test_unknown_fields_are_removed_and_named_in_order() -> None:
    obj = pod(nope=1)
    obj["spec"]["containers"][0]["imagee"] = "x"
    obj["spec"]["containers"].append({"name": "d", "ports": [{"containerPort": 1, "odd": {"x": 1}}]})
    obj["Metadata"] = {}
    findings = walker("v1", "Pod").check(obj)
    assert findings.unknown == (
        "spec.containers[0].imagee",
        "spec.containers[1].ports[0].odd",
        "spec.nope",
        "Metadata",
    )
    assert findings.unknown_texts[2] == 'unknown field "spec.nope"'
    assert not findings.error
    assert obj["spec"]["containers"][1] == {
        "name": "d",
        "ports": [{"containerPort": 1}],
        "resources": {},
    }
    assert "nope" not in obj["spec"] and "Metadata" not in obj


def test_null_is_absence() -> None:
    obj = pod(nodeName=None, tolerations=None, securityContext=None)
    assert not walker("v1", "Pod").check(obj).error
    assert set(obj["spec"]) == {"containers"}
    obj = pod(nodeName=None, nope=1, tolerations=None)
    assert walker("v1", "Pod").check(obj).unknown == ("spec.nope",)
    assert set(obj["spec"]) == {"containers"}


def test_null_inside_a_map_or_list_is_the_zero_value() -> None:
    obj = {"metadata": {"labels": {"a": None}, "finalizers": [None]}, "data": {"b": None}}
    assert not walker("v1", "ConfigMap").check(obj).error
    assert obj == {"metadata": {"labels": {"a": ""}, "finalizers": [""]}, "data": {"b": ""}}


def test_values_are_rewritten_canonically() -> None:
    obj = pod()
    obj["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05.9+01:00"
    obj["spec"]["containers"][0]["resources"] = {"limits": {"cpu": 0.5, "memory": "1024Ki"}}
    assert not walker("v1", "Pod").check(obj).error
    assert obj["metadata"]["deletionTimestamp"] == "2026-01-02T02:04:05Z"
    assert obj["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m", "memory": "1Mi"}}
    lease = {"spec": {"renewTime": "2026-01-31T04:04:05.000000+01:00"}}
    assert not walker("coordination.k8s.io/v1", "Lease").check(lease).error
    assert lease["spec"]["renewTime"] == "2026-01-31T03:04:05.000000Z"
    secret = {"data": {"a": "aGVs\nbG8="}}
    assert not walker("v1", "Secret").check(secret).error
    assert secret["data"] == {"a": "aGVsbG8="}


BAD = [
    ("v1", "ConfigMap", {"metadata": "x"}, "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
    ("v1", "ConfigMap", {"metadata": {"name": 5}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
    ("v1", "ConfigMap", {"metadata": {"name": True}}, "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string"),
    ("v1", "ConfigMap", {"metadata": {"labels": {"a": 1}}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ("v1", "ConfigMap", {"metadata": {"labels": ["a"]}}, "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
    ("v1", "ConfigMap", {"data": {"a": {}}}, "json: cannot unmarshal object into Go struct field ConfigMap.data of type string"),
    ("v1", "ConfigMap", {"binaryData": {"a": "%"}}, "illegal base64 data at input byte 0"),
    ("v1", "Secret", {"data": {"a": "not base64!"}}, "illegal base64 data at input byte 3"),
    ("apps/v1", "Deployment", {"spec": {"replicas": "3"}}, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("apps/v1", "Deployment", {"spec": {"replicas": 1.5}}, "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("apps/v1", "Deployment", {"spec": {"replicas": 3.0}}, "json: cannot unmarshal number 3.0 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("apps/v1", "Deployment", {"spec": {"replicas": 99999999999}}, "json: cannot unmarshal number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("v1", "Pod", {"spec": {"containers": [{"image": 1}]}}, "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"),
    ("v1", "Pod", {"spec": {"containers": {}}}, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    ("v1", "Pod", {"spec": {"containers": [{"resources": {"limits": {"cpu": "one"}}}]}}, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ("coordination.k8s.io/v1", "Lease", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}, 'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'),
    ("v1", "Pod", {"metadata": {"deletionTimestamp": "now"}}, 'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"'),
    ("v1", "Pod", {"metadata": {"deletionTimestamp": "2026-02-30T00:00:00Z"}}, 'parsing time "2026-02-30T00:00:00Z": day out of range'),
    ("v1", "Pod", {"metadata": {"deletionTimestamp": 7}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.deletionTimestamp of type string"),
    ("v1", "Service", {"spec": {"ports": [{"targetPort": 1.5}]}}, "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.targetPort of type int32"),
    ("coordination.k8s.io/v1", "Lease", {"spec": {"renewTime": {}}}, "json: cannot unmarshal object into Go struct field LeaseSpec.spec.renewTime of type string"),
    ("v1", "Pod", [], "json: cannot unmarshal array into Go value of type v1.Pod"),
    # Texts, lists and maps whose type has a name of its own.
    ("v1", "Pod", {"spec": {"restartPolicy": 5}}, "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
    ("v1", "Pod", {"spec": {"containers": [{"resources": {"limits": "x"}}]}}, "json: cannot unmarshal string into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList"),
    ("v1", "PersistentVolumeClaim", {"spec": {"accessModes": 7}}, "json: cannot unmarshal number into Go struct field PersistentVolumeClaimSpec.spec.accessModes of type []v1.PersistentVolumeAccessMode"),
    ("v1", "PersistentVolumeClaim", {"spec": {"accessModes": [7]}}, "json: cannot unmarshal number into Go struct field PersistentVolumeClaimSpec.spec.accessModes of type v1.PersistentVolumeAccessMode"),
    ("v1", "ConfigMap", {"metadata": {"ownerReferences": [{"uid": 7}]}}, "json: cannot unmarshal number into Go struct field OwnerReference.metadata.ownerReferences.uid of type types.UID"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": {"metrics": [{"type": 1}]}}, "json: cannot unmarshal number into Go struct field MetricSpec.spec.metrics.type of type v2.MetricSourceType"),
    ("resource.k8s.io/v1", "ResourceSlice", {"spec": {"devices": [{"attributes": 1}]}}, "json: cannot unmarshal number into Go struct field Device.spec.devices.attributes of type map[v1.QualifiedName]v1.DeviceAttribute"),
    # Fields of a struct within another that has no name in JSON.
    ("v1", "Pod", {"spec": {"volumes": [{"hostPath": 1}]}}, "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource"),
    ("v1", "Pod", {"spec": {"volumes": [{"name": 1}]}}, "json: cannot unmarshal number into Go struct field Volume.spec.volumes.name of type string"),
    ("v1", "Pod", {"spec": {"containers": [{"livenessProbe": {"httpGet": {"path": 1}}}]}}, "json: cannot unmarshal number into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.path of type string"),
    ("v1", "Pod", {"spec": {"ephemeralContainers": [{"image": 1}]}}, "json: cannot unmarshal number into Go struct field EphemeralContainer.spec.ephemeralContainers.EphemeralContainerCommon.image of type string"),
    ("networking.k8s.io/v1", "Ingress", {"spec": {"rules": [{"http": {"paths": [{"pathType": 5}]}}]}}, "json: cannot unmarshal number into Go struct field HTTPIngressPath.spec.rules.IngressRuleValue.http.paths.pathType of type v1.PathType"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", {"spec": {"matchConstraints": {"resourceRules": [{"apiGroups": 5}]}}}, "json: cannot unmarshal number into Go struct field NamedRuleWithOperations.spec.matchConstraints.resourceRules.RuleWithOperations.Rule.apiGroups of type []string"),
]  # fmt: skip


@pytest.mark.parametrize(("api_version", "kind", "obj", "error"), BAD)
def test_wrong_types(api_version: str, kind: str, obj: Any, error: str) -> None:
    assert walker(api_version, kind).check(obj).error == error


def test_the_first_wrong_type_is_told_and_a_bad_spelling_wins() -> None:
    obj: dict[str, Any] = {"metadata": {"name": 1}, "spec": {"nodeName": 2}}
    assert "metadata.name" in walker("v1", "Pod").check(obj).error
    obj = {"metadata": {"name": 1, "creationTimestamp": "x"}}
    assert walker("v1", "Pod").check(obj).error.startswith("parsing time")


def test_spellings_after_a_merge_are_told_without_their_place() -> None:
    secret = {"data": {"a": "%"}}
    error = "error decoding from json: illegal base64 data at input byte 0"
    assert walker("v1", "Secret").check(secret, merged=True).error == error
    lease = {"spec": {"renewTime": 1}}
    error = "json: cannot unmarshal number into Go value of type string"
    assert walker("coordination.k8s.io/v1", "Lease").check(lease, merged=True).error == error


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"replicas": "x"}, "unrecognized type: int32"),
        ("x", "cannot restore struct from: string"),
        ([], "cannot restore struct from: slice"),
        ({"replicas": 1.5}, "cannot convert float64 to int32"),
        ({"template": {"spec": {"containers": [{"name": 5}]}}}, "cannot convert int64 to string"),
        ({"template": {"spec": {"containers": "a"}}}, "cannot restore slice from string"),
        ({"template": {"spec": {"restartPolicy": 5}}}, "cannot convert int64 to v1.RestartPolicy"),
        ({"template": {"spec": {"restartPolicy": True}}}, "unrecognized type: string"),
        ({"replicas": 3.0}, ""),
    ],
)
def test_wrong_types_after_a_merge(spec: Any, error: str) -> None:
    obj = {"spec": spec}
    assert walker("apps/v1", "Deployment").check(obj, merged=True).error == error
    if not error:
        assert obj["spec"]["replicas"] == 3 and type(obj["spec"]["replicas"]) is int


def test_bytes_may_be_numbers() -> None:
    def maps(data: Any) -> dict[str, Any]:
        return {"metadata": {"name": "a"}, "binaryData": data}

    check = walker("v1", "ConfigMap").check
    for merged in (False, True):
        obj = maps({"a": [104, 105, None], "b": []})
        assert check(obj, merged).error == "" and obj["binaryData"] == {"a": "aGkA", "b": ""}
    where = "Go struct field ConfigMap.binaryData of type uint8"
    assert check(maps({"a": [1, 256]})).error == f"json: cannot unmarshal number 256 into {where}"
    assert check(maps({"a": ["x"]})).error == f"json: cannot unmarshal string into {where}"
    assert check(maps({"a": ["x"]}), True).error == "unrecognized type: uint8"
    assert check(maps({"a": 1}), True).error == "cannot restore slice from int64"


def test_whole_numbers_wrap_after_a_merge() -> None:
    obj = {"spec": {"replicas": 3000000000}}
    assert walker("apps/v1", "Deployment").check(obj, True).error == "" and obj["spec"]["replicas"] == -1294967296


def test_bottomless_objects_are_refused() -> None:
    inner: dict[str, Any] = {}
    for _ in range(3000):
        inner = {"not": inner}
    crd = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": inner}}]}}
    found = walker("apiextensions.k8s.io/v1", "CustomResourceDefinition").check(crd)
    assert found.error == "exceeded max depth"


def test_recursive_types() -> None:
    inner: dict[str, Any] = {"type": "object", "properties": {"a": {"type": 5}}}
    crd = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": inner}}]}}
    assert walker("apiextensions.k8s.io/v1", "CustomResourceDefinition").check(crd).error == (
        "json: cannot unmarshal number into Go struct field "
        "JSONSchemaProps.spec.versions.schema.openAPIV3Schema.properties.type of type string"
    )


def test_every_kind_compiles() -> None:
    missing = [row for row in builtin.catalog().kinds() if SCHEMA.definition_name(row.api_version, row.kind) is None]
    assert {row.group for row in missing} <= {"metrics.k8s.io"}
    for row in builtin.catalog().kinds():
        if row not in missing:
            assert SCHEMA.compiled(row).check({}).error == ""
    assert SCHEMA.walker("nope/v1", "Nope") is None


def test_merge_facts_by_path() -> None:
    root = SCHEMA.node("v1", "Pod")
    assert root is not None
    containers = root.at("spec", "containers")
    assert containers is not None
    assert (containers.merge_key, containers.list_type, containers.list_map_keys) == (
        "name",
        "map",
        ("name",),
    )
    assert containers.strategies == {"merge"}
    ports = containers.at("*", "ports")
    assert ports is not None
    assert (ports.merge_key, ports.list_map_keys) == ("containerPort", ("containerPort", "protocol"))
    volumes = root.at("spec", "volumes")
    assert volumes is not None and volumes.strategies == {"merge", "retainKeys"}
    selector = root.at("spec", "nodeSelector")
    assert selector is not None and not selector.granular
    finalizers = root.at("metadata", "finalizers")
    assert finalizers is not None and finalizers.list_type == "set"
    assert root.at("spec", "nope") is None


def test_duplicates() -> None:
    text = b'{"a":{"b":1,"b":2},"l":[{"x":1,"x":2,"x":3}],"a":1}'
    assert duplicate_fields(text) == ("a.b", "l[0].x", "a")
    assert duplicate_fields(b"[1]") == ()


def test_a_version_that_is_not_there() -> None:
    with pytest.raises(SchemaMissing):
        Schema.load("v0.1")


def nulled(node: Node, within: tuple[str, ...] = ()) -> Iterator[Any]:
    """A value for every list and map of a type, in which that one holds null alone."""
    if node.shape == "struct" and node.type_name not in within:
        for name, field in node.fields.items():
            for value in nulled(field, (*within, node.type_name)):
                yield {name: value}
    elif node.element is not None:
        for item in (None, *nulled(node.element, within)):
            yield [item] if node.shape == "list" else {"a": item}


def test_null_is_an_item_of_every_list_and_map() -> None:
    for row in builtin.catalog():
        if (check := SCHEMA.walker(row.kind.api_version, row.kind.kind)) is not None:
            for obj in nulled(check.node):
                assert check.check(copy.deepcopy(obj)).error == "", obj


def test_null_stays_where_there_is_no_zero_for_it() -> None:
    request = {"spec": {"extra": {"a": None, "b": ["c"]}}}
    walker("certificates.k8s.io/v1", "CertificateSigningRequest").check(request)
    assert request["spec"]["extra"] == {"a": None, "b": ["c"]}
    definition: dict[str, Any] = {"enum": ["a", None], "dependencies": {"a": None}, "items": {"enum": [None]}}
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": copy.deepcopy(definition)}}]
    found = walker("apiextensions.k8s.io/v1", "CustomResourceDefinition").check({"spec": {"versions": versions}})
    assert found.error == "" and versions[0]["schema"] == {"openAPIV3Schema": definition}


def test_what_was_found_of_a_custom_resource_goes_with_its_definition() -> None:
    meta = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    spec = {"type": "object", "properties": {"a": {"type": "string"}}}
    identity = {"group": "example.com", "version": "v1", "kind": "Widget"}
    widget = {
        "type": "object",
        "properties": {"metadata": meta, "spec": spec},
        "x-kubernetes-group-version-kind": [identity],
    }
    definitions = {"com.example.v1.Widget": widget}
    schema = SCHEMA.extended()

    def used() -> list[weakref.ref[Node]]:
        node = schema.node("example.com/v1", "Widget")
        assert node is not None
        new, old = {"spec": {"a": "b"}}, {"spec": {"a": "c"}}
        assert as_before(node, new, old) is new
        found = schema.walker("example.com/v1", "Widget")
        assert found is not None and not found.check(new).error
        return [weakref.ref(node), weakref.ref(node.fields["spec"])]

    schema.add(definitions)
    nodes = used()
    schema.remove(definitions)
    gc.collect()
    assert [node() for node in nodes] == [None, None]
