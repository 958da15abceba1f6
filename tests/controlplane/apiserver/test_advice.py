"""What clients are warned of although it is accepted."""

import base64
from typing import Any

import pytest

from controlplane.apiserver.advice import addresses, kinds, pods, workloads
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.resources import apps, batch
from controlplane.apiserver.strategies import pods as strategy

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
        (
            pod(hostAliases=[{"ip": "::ffff:1.2.3.4"}], dnsConfig={"nameservers": ["FE80::1", "010.0.0.1"]}),
            [
                'spec.dnsConfig.nameservers[0]: IPv6 address "FE80::1" should be in RFC 5952 canonical format '
                '("fe80::1")',
                'spec.dnsConfig.nameservers[1]: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"',
                'spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"',
            ],
        ),
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "s", "items": [{"path": "a"}, {"path": "a/b"}]}}]),
            ['volume "v" (Secret "s"): overlapping paths: "a/b" with "a"'],
        ),
        (
            pod(
                volumes=[
                    {
                        "name": "v",
                        "projected": {
                            "sources": [
                                {"configMap": {"name": "c", "items": [{"path": "x/"}]}},
                                {},
                                {"serviceAccountToken": {"path": "x"}},
                            ]
                        },
                    }
                ]
            ),
            [
                'volume "v" (Projected) has no sources provided',
                'volume "v" (Projected): overlapping paths: "x" (ServiceAccountToken) with "x" (ConfigMap "c")',
            ],
        ),
        (
            pod(**ports({"name": "p", "containerPort": 1, "protocol": "TCP", "hostIP": "1.2.3.4"}, {"name": "p"})),
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: {Name:p HostPort:0 ContainerPort:1 "
                "Protocol:TCP HostIP:1.2.3.4}",
                f'{FIRST}: duplicate port name "p" with spec.containers[0].ports[0], services and probes that select '
                "ports by name will use spec.containers[0].ports[0]",
            ],
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
    told = (
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "
        '"appArmorProfile" field instead'
    )
    found = apps.DEPLOYMENT.strategy.warn({"metadata": {"name": "d"}, "spec": {"template": annotated}}, None)
    assert list(found) == [f"spec.template.{told}"]
    # A pod is told when it is sent: then the profile becomes a field.
    assert list(pods.pod_sent(annotated)) == [told]
    strategy.prepare_create(annotated)
    assert annotated["spec"]["containers"][0]["securityContext"] == {"appArmorProfile": {"type": "Unconfined"}}
    assert list(pods.pod_sent(annotated)) == []


def test_a_template_is_looked_at_when_it_changes() -> None:
    odd = {"template": pod(nodeSelector={"beta.kubernetes.io/os": "x"})}
    old, new = ({"metadata": {"name": "j", "generation": number}, "spec": odd} for number in (1, 2))
    advise = batch.JOB.strategy.warn
    assert list(advise(old, old)) == [] and len(list(advise(new, old))) == 1


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
            {"type": "ExternalName", "externalIPs": ["1.2.3.4"]},
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
    driver: dict[str, Any] = {"spec": {"tokenRequests": [{}]}}
    assert len(kinds.driver(driver, None)) == 1 and kinds.driver(driver, driver) == ()
    names = {"metadata": {}, "addressType": "FQDN"}
    assert len(kinds.endpoint_slice(names, None)) == 1 and kinds.endpoint_slice(names, names) == []


def test_a_template_that_is_odd_is_told_of_once() -> None:
    port = {"containerPort": 80, "protocol": "TCP"}
    env = [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}, {"name": "E", "value": "$(E)3"}]
    spec = {
        "containers": [{"name": "a", "env": env, "ports": [port]}, {"name": "b", "ports": [port]}],
        "topologySpreadConstraints": [{"topologyKey": "k"}],
    }
    path = "spec.template.spec"
    obj = {"metadata": {"name": "n"}, "spec": {"template": {"spec": spec}}}
    warn = workloads.template("spec", "template")
    assert list(warn(obj, None)) == [
        f"{path}.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        f'{path}.containers[0].env[1]: hides previous definition of "E", which may be dropped when using apply',
        f"{path}.containers[1].ports[0]: duplicate port definition with {path}.containers[0].ports[0]",
    ]
    assert list(warn(obj, obj)) == []
    assert pods.pod({"spec": spec}, {"spec": spec}) == []


def test_a_container_is_told_of_its_profiles_before_its_amounts_and_variables() -> None:
    variable = {"name": "E", "value": "1"}
    container = {"name": "c", "env": [variable, variable], "resources": {"limits": {"memory": "1m"}}}
    old = ("container.seccomp.security.alpha.kubernetes.io/c", "container.apparmor.security.beta.kubernetes.io/c")
    metadata = {"annotations": dict.fromkeys(old, "runtime/default")}
    told = pods.template("template", {"metadata": metadata, "spec": {"containers": [container]}})
    assert [text.partition(": ")[0] for text in told] == [
        *(f"template.metadata.annotations[{key}]" for key in old),
        "template.spec.containers[0].resources.limits[memory]",
        "template.spec.containers[0].env[1]",
    ]


SHOULD_BE = "in this context (should be"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.0/8", []),
        ("fe80::/10", []),
        (
            "10.1.0.0/8",
            ['CIDR value "10.1.0.0/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.0.0/32"?)'],
        ),
        ("010.0.0.0/8", ['non-standard CIDR value "010.0.0.0/8" is invalid: use "10.0.0.0/8"']),
        ("::ffff:10.0.0.0/104", ['non-standard CIDR value "::ffff:10.0.0.0/104" is invalid: use "10.0.0.0/8"']),
        ("FE80::/10", ['IPv6 CIDR value "FE80::/10" should be in RFC 5952 canonical format ("fe80::/10")']),
        ("nonsense", []),
    ],
)
def test_ranges_that_can_be_read_in_two_ways(text: str, wanted: list[str]) -> None:
    assert list(addresses.network("p", text)) == [f"p: {told}" for told in wanted]


def test_kinds_around_the_nodes() -> None:
    old = "beta.kubernetes.io/os"
    scheduled = {"scheduling": {"nodeSelector": {old: "x"}}}
    topologies = [{"matchLabelExpressions": [{"key": old}]}]
    assert kinds.runtime_class(scheduled, None)[0].startswith("scheduling.nodeSelector: deprecated since v1.14")
    (told,) = kinds.storage_class({"allowedTopologies": topologies}, None)
    assert told.startswith("allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14")
    (told,) = kinds.storage_capacity({"nodeTopology": {"matchLabels": {old: "x"}}}, None)
    assert told.startswith(f"nodeTopology.matchLabels.{old}: deprecated since v1.14")
    found = kinds.node({"spec": {"externalID": "x", "podCIDRs": ["10.0.0.1/8"]}}, None)
    assert [text.partition(":")[0] for text in found] == ["spec.externalID", "spec.podCIDRs[0]"]


def test_more_requests_than_limits() -> None:
    hard = {"cpu": "2", "limits.cpu": "1", "requests.memory": "1Gi", "limits.memory": "2Gi"}
    assert list(kinds.quota({"spec": {"hard": hard}}, None)) == [
        "ResourceQuota cpu (2) should be less than limits.cpu (1)"
    ]
    assert list(kinds.quota({"spec": {"hard": hard}}, {})) == []


def test_names_that_hosts_will_have() -> None:
    (told,) = workloads.job({"metadata": {"name": "a.b"}, "spec": {}}, None)
    assert told == (
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label "
        "is recommended: [must not contain dots]"
    )


def test_pods_of_a_deleted_job_stay() -> None:
    assert len(workloads.job_deleted({})) == 1 and workloads.job_deleted({"propagationPolicy": "Orphan"}) == ()


def test_owners_listed_twice_are_one() -> None:
    owner = {"uid": "u", "name": "n"}
    obj = {"metadata": {"ownerReferences": [owner, {**owner, "name": "m"}, owner]}}
    (told,) = metadata.single_owners(obj)
    assert told.startswith(".metadata.ownerReferences contains duplicate entries; API server") and told.endswith(": u")
    assert len(obj["metadata"]["ownerReferences"]) == 2 and metadata.single_owners(obj) == []
