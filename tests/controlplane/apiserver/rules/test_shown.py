"""Values as upstream's messages show them."""

from __future__ import annotations

import json

from apimachinery.schema import Schema
from controlplane.apiserver.rules.shown import difference, shown, struct


def test_every_field_is_named_as_go_names_it() -> None:
    context = struct("core.v1.SecurityContext", {"privileged": True, "capabilities": {"add": ["A"]}})
    assert json.dumps(context) == (
        '{"Capabilities": {"Add": ["A"], "Drop": null}, "Privileged": true, "SELinuxOptions": null, '
        '"WindowsOptions": null, "RunAsUser": null, "RunAsGroup": null, "RunAsNonRoot": null, '
        '"ReadOnlyRootFilesystem": null, "AllowPrivilegeEscalation": null, "ProcMount": null, '
        '"SeccompProfile": null, "AppArmorProfile": null}'
    )


def test_absent_values_are_zero_where_the_type_holds_them_and_null_where_it_points() -> None:
    assert struct("core.v1.ContainerPort", {}) == {
        "Name": "",
        "HostPort": 0,
        "ContainerPort": 0,
        "Protocol": "",
        "HostIP": "",
    }
    probe = struct("core.v1.Probe", {"httpGet": {"port": "web"}})
    assert list(probe)[:4] == ["Exec", "HTTPGet", "TCPSocket", "GRPC"]
    assert probe["HTTPGet"] == {"Path": "", "Port": "web", "Host": "", "Scheme": "", "HTTPHeaders": None}
    assert struct("core.v1.HTTPGetAction", {})["Port"] == 0
    assert struct("core.v1.SecretKeySelector", {"key": "k"}) == {"Name": "", "Key": "k", "Optional": None}


def test_a_pods_security_context_holds_the_hosts_namespaces() -> None:
    spec = struct("core.v1.PodSpec", {"hostNetwork": True, "hostUsers": False, "containers": [{"name": "c"}]})
    assert "HostNetwork" not in spec
    assert list(spec["SecurityContext"].items())[:6] == [
        ("HostNetwork", True),
        ("HostPID", False),
        ("HostIPC", False),
        ("ShareProcessNamespace", None),
        ("HostUsers", False),
        ("SELinuxOptions", None),
    ]
    assert spec["Containers"][0]["Resources"] == {"Limits": None, "Requests": None, "Claims": None}


def test_types_of_the_machinery_are_shown_as_their_json() -> None:
    node = Schema.load().type("io.k8s.api.core.v1.TopologySpreadConstraint")
    value = shown(node, {"labelSelector": {"matchLabels": {"a": "b"}}})
    assert value["LabelSelector"] == {"matchLabels": {"a": "b"}}
    labels = Schema.load().type("io.k8s.api.core.v1.PodSpec").fields["nodeSelector"]
    assert list(shown(labels, {"b": "1", "a": "2"})) == ["a", "b"]


def test_a_difference_has_three_lines_around_it() -> None:
    one = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v"}
    text = difference("core.v1.PersistentVolumeClaimSpec", one, {**one, "volumeName": "w"})
    assert text == (
        "@@ -9,7 +9,7 @@\n"
        '    "storage": "1Gi"\n'
        "   }\n"
        "  },\n"
        '- "VolumeName": "v",\n'
        '+ "VolumeName": "w",\n'
        '  "StorageClassName": null,\n'
        '  "VolumeMode": null,\n'
        '  "DataSource": null,\n'
    )
    assert difference("core.v1.PersistentVolumeClaimSpec", one, one) == ""


def test_a_template_holds_its_metadata_itself() -> None:
    template = struct("resource.v1.ResourceClaimTemplateSpec", {"metadata": {"name": "n"}})
    assert "ObjectMeta" not in template
    assert list(template)[-1] == "Spec"


def test_a_selector_is_shown_in_the_order_of_its_type() -> None:
    selector = {"matchExpressions": [{"values": ["v"], "key": "k"}], "matchLabels": {"b": "1"}}
    assert json.dumps(struct("meta.v1.LabelSelector", selector)) == (
        '{"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "k", "operator": "", "values": ["v"]}]}'
    )
