"""What clients are warned of although it is accepted."""

import base64
from typing import Any

import pytest

from controlplane.apiserver.advice import kinds, pods
from controlplane.apiserver.resources import apps, batch

Obj = dict[str, Any]


def pod(annotations: Obj | None = None, name: str = "p", **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "c"}], **spec},
    }


def ports(*listed: Obj) -> Obj:
    return {"containers": [{"name": f"c{index}", "ports": [port]} for index, port in enumerate(listed)]}


FIRST = "spec.containers[1].ports[0]"
TERM = {"topologyKey": "zone"}
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
NO_MATCH = "labelSelector: a null labelSelector results in matching no pod"


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (pod(), []),
        (
            pod(nodeSelector={"beta.kubernetes.io/arch": "x"}),
            ['spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead'],
        ),
        (
            pod({"security.alpha.kubernetes.io/sysctls": "x"}),
            [
                "metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; "
                'use the "sysctls" field instead'
            ],
        ),
        (
            pod(volumes=[{"name": "v", "storageos": {}}]),
            ["spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+"],
        ),
        (pod(hostAliases=[{"ip": "1.2.3.4"}] * 2), ['spec.hostAliases[1].ip: duplicate ip "1.2.3.4"']),
        (
            pod(overhead={"memory": "100m"}),
            ['spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer'],
        ),
        (
            pod(terminationGracePeriodSeconds=-1),
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
        (pod(affinity={"podAffinity": {REQUIRED: [TERM]}}), [f"spec.affinity.podAffinity.{REQUIRED}[0].{NO_MATCH}"]),
        (
            pod(affinity={"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": TERM}]}}),
            [f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.{NO_MATCH}"],
        ),
        (
            pod(**ports({"containerPort": 1}, {"containerPort": 1})),
            [f"{FIRST}: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        (
            pod(**ports({"containerPort": 1}, {"containerPort": 1, "hostPort": 2})),
            [f"{FIRST}: overlapping port definition with spec.containers[0].ports[0]"],
        ),
        (
            pod(**ports({"containerPort": 1, "hostPort": 2}, {"containerPort": 1, "hostPort": 2, "hostIP": "1.2.3.4"})),
            [f"{FIRST}: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
        ),
        (pod(**ports({"containerPort": 1, "hostPort": 2}, {"containerPort": 1, "hostPort": 3})), []),
    ],
)
def test_pods(obj: Obj, wanted: list[str]) -> None:
    assert pods.pod(obj, None) == wanted


@pytest.mark.parametrize(
    ("second", "warns"),
    [({"value": "b"}, True), ({"value": "$(A)b"}, False), ({"value": "$(A)"}, True), ({"valueFrom": {}}, True)],
)
def test_a_variable_may_build_on_its_earlier_self(second: Obj, warns: bool) -> None:
    container = {"name": "c", "env": [{"name": "A", "value": "a"}, {"name": "A", **second}]}
    assert bool(pods.pod(pod(containers=[container]), None)) is warns


def test_a_pods_name_is_its_host_name() -> None:
    dotted = pod(name="a.b")
    assert "a DNS label is recommended: [must not contain dots]" in pods.pod(dotted, None)[0]
    assert pods.pod(dotted, dotted) == []


def test_templates_are_told_of_profiles_in_annotations_pods_are_not() -> None:
    annotated = pod({"container.apparmor.security.beta.kubernetes.io/c": "unconfined"})
    assert pods.pod(annotated, None) == []
    found = apps.DEPLOYMENT.strategy.warn({"spec": {"template": annotated}}, None)
    assert list(found) == [
        "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since "
        'v1.30; use the "appArmorProfile" field instead'
    ]


def test_a_template_is_looked_at_when_it_changes() -> None:
    old, new = {"spec": {"template": pod(nodeSelector={"beta.kubernetes.io/os": "x"})}}, {"spec": {"template": pod()}}
    advise = batch.JOB.strategy.warn
    assert advise(old, old) == () and list(advise(old, new)) != []


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"type": "ClusterIP"}, []),
        (
            {"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP"},
            ["spec.SessionAffinity is ignored for headless services"],
        ),
        (
            {"type": "ClusterIP", "externalName": "x"},
            ['spec.externalName is ignored when spec.type is not "ExternalName"'],
        ),
        (
            {"type": "ExternalName", "externalIPs": ["x"]},
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
    ],
)
def test_services(spec: Obj, wanted: list[str]) -> None:
    assert list(kinds.service({"metadata": {}, "spec": {"sessionAffinity": "None", **spec}}, None)) == wanted


def test_a_tls_secret_should_hold_pem() -> None:
    def secret(certificate: bytes, key: bytes) -> Obj:
        data = {"tls.crt": certificate, "tls.key": key}
        return {"type": "kubernetes.io/tls", "data": {k: base64.b64encode(v).decode() for k, v in data.items()}}

    block = b"-----BEGIN %s-----\nYWJj\n-----END %s-----\n"
    certificate, key = block % ((b"CERTIFICATE",) * 2), block % ((b"PRIVATE KEY",) * 2)
    assert list(kinds.secret(secret(certificate, key), None)) == []
    assert list(kinds.secret(secret(certificate, b"x"), None)) == ["tls: failed to find any PEM data in key input"]


def test_storage_and_slices() -> None:
    old = {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {"rbd": {}}}
    assert [text.partition(":")[0] for text in kinds.volume(old, None)] == [
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]",
        "spec.rbd",
    ]
    assert kinds.driver({"spec": {"tokenRequests": [{}], "serviceAccountTokenInSecrets": False}}, None) == ()
    assert kinds.endpoint_slice({"addressType": "FQDN"}, None) != ()


def test_a_template_that_is_odd_is_told_of_once() -> None:
    port = {"containerPort": 80, "protocol": "TCP"}
    env = [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}, {"name": "E", "value": "$(E)3"}]
    spec = {
        "containers": [{"name": "a", "env": env, "ports": [port]}, {"name": "b", "ports": [port]}],
        "topologySpreadConstraints": [{"topologyKey": "k"}],
    }
    path = "spec.template.spec"
    obj = {"spec": {"template": {"spec": spec}}}
    warn = kinds.template("spec", "template")
    assert list(warn(obj, None)) == [
        f"{path}.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        f'{path}.containers[0].env[1]: hides previous definition of "E", which may be dropped when using apply',
        f"{path}.containers[1].ports[0]: duplicate port definition with {path}.containers[0].ports[0]",
    ]
    assert warn(obj, obj) == ()
    assert pods.pod({"spec": spec}, {"spec": spec}) == []
