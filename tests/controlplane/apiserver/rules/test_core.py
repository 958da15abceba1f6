"""What is refused of the core group's kinds that are no pods and no storage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, expect, put, teller, told

LABEL = "a lowercase RFC 1123 label must consist of"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"


def made(kind: str, **fields: Any) -> Obj:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **fields}


# --- services ---

SERVICE = made(
    "Service", spec={"clusterIPs": ["10.0.0.1"], "clusterIP": "10.0.0.1", "ports": [{"name": "a", "port": 80}]}
)
BALANCED: Obj = {"spec.type": "LoadBalancer"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.ports": []}, ["spec.ports: Required value"]),
        (
            {"spec.ports.0.port": 0},
            [f"spec.ports[0].{field}: Invalid value: 0: must be between" for field in ("port", "targetPort")],
        ),
        ({"spec.ports.0.name": "A"}, [f'spec.ports[0].name: Invalid value: "A": {LABEL}']),
        (
            {"spec.ports.1": {"port": 80, "name": "a"}},
            [
                'spec.ports[1].name: Duplicate value: "a"',
                'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,',
            ],
        ),
        (
            {"spec.ports.0.protocol": "X"},
            ['spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
        ),
        ({"spec.ports.0.targetPort": "no_port"}, ['spec.ports[0].targetPort: Invalid value: "no_port": must contain']),
        ({"spec.selector": {"a b": "c"}}, ['spec.selector: Invalid value: "a b": name part must consist of']),
        (
            {"spec.type": "X"},
            ['spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer"'],
        ),
        (
            {"spec.sessionAffinity": "X"},
            ['spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"'],
        ),
        (
            {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig.clientIP.timeoutSeconds": 0},
            ["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less"],
        ),
        (
            {"spec.externalIPs": ["127.0.0.1"]},
            ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the lo'],
        ),
        (
            {"spec.ports.0.nodePort": 30000},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            {"spec.externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (
            {**BALANCED, "spec.loadBalancerSourceRanges": ["10.0.0.0"]},
            ['spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0": must be a valid CIDR value'],
        ),
        ({**BALANCED, "spec.loadBalancerClass": "A b"}, ['spec.loadBalancerClass: Invalid value: "A b": name part']),
        (
            {"spec.loadBalancerClass": "a/b"},
            ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            {"spec.trafficDistribution": "X"},
            ['spec.trafficDistribution: Unsupported value: "X": supported values: "PreferClose"'],
        ),
        (
            {
                "spec.type": "ExternalName",
                "spec.externalName": "A",
                "spec.clusterIPs": ABSENT,
                "spec.clusterIP": ABSENT,
            },
            [f'spec.externalName: Invalid value: "A": {SUBDOMAIN}'],
        ),
    ],
)
def test_a_new_service(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SERVICE)(changes), wanted)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {"spec.clusterIP": "10.0.0.2"},
            ['spec.clusterIPs: Invalid value: ["10.0.0.1"]: first value must match `clusterIP`'],
        ),
        (
            {"spec.clusterIP": "x", "spec.clusterIPs": ["x"]},
            ['spec.clusterIPs[0]: Invalid value: "x": must be a valid'],
        ),
        (
            {"spec.clusterIPs": ["10.0.0.1", "10.0.0.2"], "spec.ipFamilyPolicy": "PreferDualStack"},
            ['spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each'],
        ),
        ({"spec.ipFamilies": ["X"]}, ['spec.ipFamilies[0]: Unsupported value: "X": supported values: "IPv4", "IPv6"']),
    ],
)
def test_an_address_that_cannot_be_given(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SERVICE)(changes), wanted)


def test_a_services_address_stands() -> None:
    expect(
        told(put(SERVICE, {"spec.clusterIP": "10.0.0.2", "spec.clusterIPs": ["10.0.0.2"]}), SERVICE),
        ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
    )


def test_only_a_load_balancer_has_ingress() -> None:
    entry = {"ip": "192.0.2.1", "ipMode": "VIP"}
    status = teller(SERVICE, "status")
    assert status({**BALANCED, "status.loadBalancer.ingress": [entry]}) == []
    assert status({"status.loadBalancer.ingress": [entry]}) == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


# --- endpoints, of both kinds ---


@pytest.mark.parametrize(
    ("subset", "wanted"),
    [
        ({"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}, []),
        ({"ports": []}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (
            {"notReadyAddresses": [{"ip": "127.0.0.1"}]},
            ['subsets[0].notReadyAddresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range'],
        ),
        (
            {"addresses": [{"ip": "1.2.3.4"}], "ports": [{"name": "a", "port": 1}, {"port": 2, "protocol": "X"}]},
            ["subsets[0].ports[1].name: Required value", 'subsets[0].ports[1].protocol: Unsupported value: "X"'],
        ),
        # What is no address is told twice.
        (
            {"addresses": [{"ip": "x"}]},
            ['subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g.'] * 1
            + ['subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address'],
        ),
    ],
)
def test_endpoints(subset: Obj, wanted: list[str]) -> None:
    expect(told(made("Endpoints", subsets=[subset])), wanted)


SLICE: Obj = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "x", "namespace": "n"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["1.2.3.4"]}],
    "ports": [{"name": "a", "port": 80}],
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"addressType": ""}, ["addressType: Required value"]),
        ({"addressType": "X"}, ['addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"']),
        (
            {"addressType": "IPv6", "endpoints.0.addresses": ["2001:DB8::1"]},
            ['endpoints[0].addresses[0]: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")'],
        ),
        ({"addressType": "IPv6"}, ['endpoints[0].addresses: Invalid value: "1.2.3.4": must be an IPv6 address']),
        ({"addressType": "FQDN", "endpoints.0.addresses.0": "here"}, ['endpoints[0].addresses: Invalid value: "here"']),
        ({"endpoints.0.addresses": []}, ["endpoints[0].addresses: Required value: must contain at least 1 address"]),
        ({"endpoints.0.nodeName": "A"}, [f'endpoints[0].nodeName: Invalid value: "A": {SUBDOMAIN}']),
        ({"endpoints.0.hostname": "A"}, [f'endpoints[0].hostname: Invalid value: "A": {LABEL}']),
        (
            {"endpoints.0.hints": {"forZones": [{"name": "a"}, {"name": "a"}]}},
            ['endpoints[0].hints.forZones[1].name: Duplicate value: "a"'],
        ),
        ({"ports.1": {"name": "a"}}, ['ports[1].name: Duplicate value: "a"']),
        ({"ports.0.protocol": ""}, ['ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP"']),
        ({"ports.0.protocol": "X"}, ['ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP"']),
    ],
)
def test_slices(changes: Obj, wanted: list[str]) -> None:
    if changes.get("addressType") == "FQDN":
        wanted = ['endpoints[0].addresses[0]: Invalid value: "here": should be a domain with at least two segments']
    expect(teller(SLICE)(changes), wanted)


def test_a_slices_family_stands() -> None:
    changed = put(SLICE, {"addressType": "IPv6", "endpoints.0.addresses": ["::2"]})
    expect(told(changed, SLICE), ['addressType: Invalid value: "IPv6": field is immutable'])


# --- data ---


@pytest.mark.parametrize(
    ("kind", "fields", "wanted"),
    [
        ("ConfigMap", {"data": {"a": "b"}, "binaryData": {"c": "ZA=="}}, []),
        ("ConfigMap", {"data": {"a/b": "c"}}, ['data[a/b]: Invalid value: "a/b": a valid config key must consist of']),
        ("ConfigMap", {"data": {"a": "b"}, "binaryData": {"a": "ZA=="}}, ['data[a]: Invalid value: "a": duplicate of']),
        ("ConfigMap", {"data": {"a": "b" * (1 << 20 | 1)}}, ["[]: Too long: may not be more than 1048576 bytes"]),
        ("Secret", {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        ("Secret", {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eA=="}}, ["data[.dockercfg]: Invalid"]),
        ("Secret", {"data": {"..": "eA=="}}, ["data[..]: Invalid value: \"..\": must not be '..'"]),
    ],
)
def test_data(kind: str, fields: Obj, wanted: list[str]) -> None:
    expect(told(made(kind, **fields)), wanted)


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_immutable_data_stands(kind: str) -> None:
    fixed = made(kind, immutable=True, data={"a": "ZA=="})
    assert told(fixed, fixed) == []
    text = "Forbidden: field is immutable when `immutable` is set"
    assert told(put(fixed, {"immutable": False}), fixed) == [f"immutable: {text}"]
    assert told(put(fixed, {"data.b": "ZA=="}), fixed) == [f"data: {text}"]


# --- namespaces and events ---


def test_what_is_no_label_says_nothing_of_pod_security() -> None:
    space = made("Namespace")
    space["metadata"] = {"name": "x", "labels": {"pod-security.kubernetes.io/audit-version": "latest "}}
    assert told(space) == []


def test_a_namespaces_finalizers_and_pod_security() -> None:
    labels = {"pod-security.kubernetes.io/warn": "strict", "pod-security.kubernetes.io/audit-version": "v1.01"}
    space = made("Namespace", spec={"finalizers": ["mine", "a.b/c", "kubernetes", "orphan", "foregroundDeletion"]})
    space["metadata"] = {"name": "x", "labels": labels}
    told_of_name = 'Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
    assert told(space) == [
        f"spec.finalizers: {told_of_name}",
        'metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted",
        'metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "v1.01": must be "latest" or "v1.x"',
    ]
    assert told(space, space, "finalize") == [f"spec.finalizers[0]: {told_of_name}"]


def event(namespace: str = "ns", **fields: Any) -> Obj:
    obj = made("Event", involvedObject={"namespace": "ns"}, **fields)
    return put(obj, {"metadata.namespace": namespace})


NEW: Obj = {
    "eventTime": "2020-01-01T00:00:00.000000Z",
    "reportingComponent": "a.b/c",
    "reportingInstance": "i",
    "action": "a",
    "reason": "r",
    "type": "Normal",
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"metadata.namespace": "o"},
            ['involvedObject.namespace: Invalid value: "ns": does not match event.namespace'],
        ),
        ({"metadata.namespace": "default", "involvedObject": {}}, []),
        ({"metadata.namespace": "kube-system", "involvedObject": {}}, ["involvedObject.namespace: Invalid value"]),
        ({"metadata.namespace": "kube-system", **NEW, "involvedObject": {}}, []),
        (NEW, []),
        (
            {**NEW, "reportingComponent": "", "action": "x" * 129},
            [
                "reportingComponent: Required value",
                'reportingComponent: Invalid value: "": name part must be non-empty',
                'reportingComponent: Invalid value: "": name part must consist of',
                'action: Invalid value: "": can have at most 128 characters',
            ],
        ),
        ({**NEW, "message": "x" * 1025}, ['message: Invalid value: "": can have at most 1024 characters']),
    ],
)
def test_events(changes: Obj, wanted: list[str]) -> None:
    expect(teller(event())(changes), wanted)


# --- nodes ---

AVOID = "scheduler.alpha.kubernetes.io/preferAvoidPods"
TAINTS = "scheduler.alpha.kubernetes.io/taints"
NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}, "spec": {}}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"spec.podCIDRs": ["10.0.0.0/24", "2001:db8::/64"], "spec.taints": [{"key": "a", "effect": "NoExecute"}]}, []),
        (
            {"spec.podCIDRs": ["x", "10.0.0.0/24"]},
            [
                'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value',
                "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid C",
                'spec.podCIDRs: Invalid value: ["x","10.0.0.0/24"]: may specify no more than one CIDR for each IP',
            ],
        ),
        ({"spec.podCIDRs": ["10.0.0.0"]}, ['spec.podCIDRs[0]: Invalid value: "10.0.0.0": must be a valid CIDR value']),
        (
            {"spec.podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]},
            ['spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR'],
        ),
        ({"spec.taints": [{"key": "a"}]}, ["metadata.taints[0].effect: Required value"]),
        (
            {"metadata.annotations": {AVOID: '{"preferAvoidPods": [{}, {"podSignature": {"podController": {}}}]}'}},
            [
                f"metadata.annotations.{AVOID}[0].PodSignature: Required value",
                f"metadata.annotations.{AVOID}[1].PodSignature.PodController.Controller: Invalid value: false: must",
            ],
        ),
        (
            {"metadata.annotations": {AVOID: "{"}},
            [f'metadata.annotations.AvoidPods: Invalid value: "{AVOID}": unexpected end of JSON input'],
        ),
        ({"metadata.annotations": {AVOID: "null", TAINTS: "null"}}, []),
        *(
            (
                {"metadata.annotations": {AVOID: text}},
                [f'metadata.annotations.AvoidPods: Invalid value: "{AVOID}": json: cannot unmarshal {why}'],
            )
            for text, why in (
                ("[]", "array into Go value of type v1.AvoidPods"),
                ('{"preferAvoidPods": 5}', "number into Go struct field AvoidPods.preferAvoidPods of type"),
                ('{"preferAvoidPods": ["x"]}', "string into Go struct field AvoidPods.preferAvoidPods of type"),
            )
        ),
        *(
            (
                {"metadata.annotations": {TAINTS: text}},
                [f'metadata.annotations: Invalid value: "{TAINTS}": json: cannot unmarshal {why}'],
            )
            for text, why in (
                ("{}", "object into Go value of type []v1.Taint"),
                ('["a"]', "string into Go value of type v1.Taint"),
                ('[{"key": 1, "effect": "NoSchedule"}]', "number into Go struct field Taint.key of type string"),
            )
        ),
        (
            {"metadata.annotations": {TAINTS: '[{"key": "a"}]'}},
            [f"metadata.annotations.{TAINTS}[0].effect: Required value"],
        ),
        (
            {"spec.taints": [{"key": "a", "effect": "NoSchedule"}] * 2},
            ['metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}:'],
        ),
        # A new node brings the status it reports.
        (
            {"status.nodeInfo.swap.capacity": 0},
            ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"],
        ),
        ({"status.allocatable": {"cpu": "-1"}}, ['status.allocatable.cpu: Invalid value: "-1": must be greater than']),
        (
            {"status.declaredFeatures": ["B", "A", "a"]},
            [
                'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
                'status.declaredFeatures[2]: Invalid value: "a": invalid feature name "a": must start with an Upper',
            ],
        ),
        (
            {"spec.configSource": {"configMap": {"namespace": "n", "name": "c", "kubeletConfigKey": "k", "uid": "u"}}},
            [],
        ),
    ],
)
def test_a_new_node(changes: Obj, wanted: list[str]) -> None:
    expect(teller(NODE)(changes), wanted)


def test_what_a_new_node_must_not_have_a_changed_one_must_not_either() -> None:
    where = "spec.podCIDRs[0]"
    expect(told(put(NODE, {"spec.podCIDRs": ["x"]}), NODE), [f'{where}: Invalid value: "x": must be a valid CIDR'])
    tainted = put(NODE, {"spec.taints": [{"key": "a"}]})
    assert told(tainted, NODE) == ["metadata.taints[0].effect: Required value"] * 2


def test_what_identifies_a_node_is_written_once() -> None:
    known = put(NODE, {"spec.providerID": "a://b", "spec.podCIDRs": ["10.0.0.0/24"]})
    assert told(known, NODE) == []
    expect(
        told(put(NODE, {"spec.providerID": "c://d", "spec.podCIDRs": ["10.0.1.0/24"]}), known),
        ["spec.podCIDRs: Forbidden: node updates may not", "spec.providerID: Forbidden: node updates may not"],
    )


def test_a_nodes_resources_and_addresses() -> None:
    address = {"type": "InternalIP", "address": "1.2.3.4"}
    status = {"allocatable": {"cpu": "-1", "e.com/x": "500m"}, "addresses": [address, dict(address)]}
    assert told({**NODE, "status": status}, NODE, "status") == [
        'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
        'status.allocatable.e.com/x: Invalid value: "500m": must be an integer',
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}',
    ]


# --- quotas and limits ---


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"hard": {"pods": "1", "requests.cpu": "1", "count/a.b": "1", "e.com/x": "2"}}, []),
        ({"hard": {"gold": "1"}}, ["spec.hard[gold]"] * 2),
        ({"hard": {"pods": "500m"}}, ["spec.hard[pods]"]),
        ({"hard": {"pods": "1"}, "scopes": ["Often"]}, ["spec.scopes"]),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, ["spec.scopes"]),
        ({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}, ["spec.scopes"]),
        (
            {
                "hard": {"pods": "1"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
            },
            ["spec.scopeSelector.matchExpressions.values"],
        ),
        (
            {
                "hard": {"pods": "1"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["a"]}]},
            },
            ["spec.scopeSelector.matchExpressions.operator"],
        ),
    ],
)
def test_quotas(spec: Obj, wanted: list[str]) -> None:
    found = told(made("ResourceQuota", spec=spec))
    assert [text.partition(": ")[0] for text in found] == wanted


def test_a_quotas_scopes_stand_and_its_status_is_checked() -> None:
    one, other = (made("ResourceQuota", spec={"scopes": [scope]}) for scope in ("BestEffort", "NotBestEffort"))
    expect(told(other, one), ['spec.scopes: Invalid value: ["NotBestEffort"]: field is immutable'])
    expect(
        told({**one, "status": {"used": {"pods": "-1"}}}, one, "status"),
        ['status.used[pods]: Invalid value: "-1": must'],
    )


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (
            {"min": {"cpu": "1"}, "max": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}},
            [],
        ),
        ({"type": "Pod", "default": {"cpu": "1"}}, ["default: Forbidden: may not be specified when `type` is 'Pod'"]),
        (
            {"min": {"cpu": "2"}, "max": {"cpu": "1"}, "type": "Pod"},
            ['min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
        ),
        (
            {"max": {"cpu": "1"}, "default": {"cpu": "1500m"}, "defaultRequest": {"cpu": "1"}},
            ['default[cpu]: Invalid value: "1": default value 1500m is greater than max value 1'],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "500m"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
        ),
        (
            {"min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000'],
        ),
        (
            {"min": {"cpu": "-1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = -2.000000'],
        ),
        (
            {"min": {"cpu": "0"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            [],
        ),
        # No float holds these.
        ({"min": {"cpu": "1"}, "max": {"cpu": "1e400"}, "maxLimitRequestRatio": {"cpu": "3"}}, []),
        ({"min": {"cpu": "0"}, "max": {"cpu": "1e310"}, "maxLimitRequestRatio": {"cpu": "3"}}, []),
        (
            {"default": {"e.com/x": "2"}, "defaultRequest": {"e.com/x": "1"}},
            ['defaultRequest[e.com/x]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in'],
        ),
    ],
)
def test_limits(item: Obj, wanted: list[str]) -> None:
    found = told(made("LimitRange", spec={"limits": [{"type": "Container", **item}]}))
    expect(found, [f"spec.limits[0].{text}" for text in wanted])


def test_one_limit_for_each_type() -> None:
    items = [{"type": "Pod", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "1"}}, {"type": "Odd"}]
    expect(told(made("LimitRange", spec={"limits": items[:2]})), ['spec.limits[1].type: Duplicate value: "Pod"'])
    expect(
        told(made("LimitRange", spec={"limits": items[2:]})), ['spec.limits[0].type: Invalid value: "Odd": must be a']
    )
