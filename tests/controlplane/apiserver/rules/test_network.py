"""What is refused of the networking group."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules import values
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, expect, put, teller, told

LABEL = "a lowercase RFC 1123 label must consist of"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"
SERVICE = {"service": {"name": "s", "port": {"number": 80}}}


def made(kind: str, name: str = "x", **spec: Any) -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "n"},
        "spec": spec,
    }


# --- Ingresses ---

INGRESS = made("Ingress", rules=[{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": SERVICE}]}}])
AT = "spec.rules.0.http.paths.0"
PATH = "spec.rules[0].http.paths[0]"
BACKEND = "spec.defaultBackend"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec": {}}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            {f"{AT}.path": "a/../b"},
            [
                f'{PATH}.path: Invalid value: "a/../b": must be an absolute path',
                f"{PATH}.path: Invalid value: \"a/../b\": must not contain '/../'",
            ],
        ),
        ({f"{AT}.path": "/a/.."}, [f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'"]),
        (
            {f"{AT}.pathType": ABSENT, f"{AT}.backend": {}},
            [f"{PATH}.pathType: Required value: pathType must be specified"],
        ),
        ({f"{AT}.pathType": "X"}, [f'{PATH}.pathType: Unsupported value: "X": supported values: "Exact", "Implementa']),
        ({f"{AT}.pathType": "ImplementationSpecific", f"{AT}.path": ""}, []),
        ({f"{AT}.backend": {}}, [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
        (
            {f"{AT}.backend.resource": {"kind": "", "name": ""}},
            [f'{PATH}.backend: Invalid value: "": cannot set both resource and service backends'],
        ),
        (
            {f"{AT}.backend.service.port": {}},
            [f"{PATH}.backend: Required value: port name or number is required"],
        ),
        (
            {BACKEND: {"service": {"name": "", "port": {"name": "-"}}}},
            [
                f"{BACKEND}.service.name: Required value",
                f'{BACKEND}.service.port.name: Invalid value: "-": must contain at least one letter (a-z)',
                f'{BACKEND}.service.port.name: Invalid value: "-": must not begin or end with a hyphen',
            ],
        ),
        (
            {BACKEND: {"resource": {"apiGroup": "A", "kind": "", "name": "a/b"}}},
            [
                f'{BACKEND}.resource.apiGroup: Invalid value: "A": {SUBDOMAIN}',
                f"{BACKEND}.resource.kind: Required value",
                f"{BACKEND}.resource.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        ({BACKEND: {"resource": {"kind": "X", "name": "x"}}}, []),
        ({"spec.rules": [{"http": {"paths": []}}]}, ["spec.rules[0].http.paths: Required value"]),
        ({"spec.rules": [{"host": "*.a.b"}, {"host": "a.b"}]}, []),
        (
            {"spec.rules": [{"host": "1.2.3.4"}]},
            ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
        ),
        (
            {"spec.tls": [{"hosts": ["*", "UP"], "secretName": "UP"}]},
            [
                'spec.tls[0].hosts[0]: Invalid value: "*": a wildcard DNS-1123 subdomain must start with',
                f'spec.tls[0].hosts[1]: Invalid value: "UP": {SUBDOMAIN}',
                f'spec.tls[0].secretName: Invalid value: "UP": {SUBDOMAIN}',
            ],
        ),
        ({"spec.ingressClassName": "A"}, [f'spec.ingressClassName: Invalid value: "A": {SUBDOMAIN}']),
    ],
)
def test_ingresses(changes: Obj, wanted: list[str]) -> None:
    expect(teller(INGRESS)(changes), wanted)


def test_an_ingress_names_one_class_when_it_is_new() -> None:
    named = put(INGRESS, {"spec.ingressClassName": "a"})
    named["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "b"}
    expect(told(named), ['annotations.kubernetes.io/ingress.class: Invalid value: "b": must match `ingressClassName`'])
    assert told(named, INGRESS) == []


def test_names_of_secrets_that_were_let_in_earlier_may_stay() -> None:
    old = put(INGRESS, {"spec.tls": [{"secretName": "UP"}]})
    assert told(put(old, {"spec.ingressClassName": "a"}), old) == []


def test_an_ingress_is_reached_by_address_or_by_name() -> None:
    status = teller(INGRESS, "status")
    assert status({"status.loadBalancer.ingress": [{"ip": "1.2.3.4"}, {"hostname": "a.b"}]}) == []
    where = "status.loadBalancer.ingress[0]"
    expect(
        status({"status.loadBalancer.ingress": [{"ip": "x", "hostname": "1.2.3.4"}]}),
        [
            f'{where}.ip: Invalid value: "x": must be a valid IP address',
            f'{where}.hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        ],
    )


# --- policies ---


def block(**fields: Any) -> Obj:
    return {"egress": [{"to": [{"ipBlock": fields}]}]}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            {
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": 80, "endPort": 90}], "from": [{"podSelector": {}}]}],
            },
            [],
        ),
        ({"ingress": [{"from": [{}]}]}, ["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
            ["spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        (block(), ["spec.egress[0].to[0].ipBlock.cidr: Required value"]),
        (block(cidr="x"), ['spec.egress[0].to[0].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value']),
        (
            block(cidr="10.0.0.0/8", **{"except": ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/16"]}),
            [
                f'spec.egress[0].to[0].ipBlock.except[{index}]: Invalid value: "{text}": must be a strict subset of `c'
                for index, text in ((1, "10.0.0.0/8"), (2, "11.0.0.0/16"))
            ],
        ),
        (
            {"ingress": [{"ports": [{"endPort": 5}]}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is not specified"],
        ),
        (
            {"ingress": [{"ports": [{"port": "http", "endPort": 5}]}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is non-numeric"],
        ),
        (
            {"ingress": [{"ports": [{"port": 80, "endPort": 5}]}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"],
        ),
        (
            {"ingress": [{"ports": [{"protocol": "X"}]}]},
            ['spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"'],
        ),
        (
            {"policyTypes": ["Sideways"]},
            ['spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
        ),
    ],
)
def test_policies(spec: Obj, wanted: list[str]) -> None:
    expect(told(made("NetworkPolicy", **spec)), wanted)


def test_ranges_of_a_policy_that_were_let_in_earlier_may_stand_anywhere() -> None:
    old = made("NetworkPolicy", **block(cidr="10.0.0.1/8"))
    assert len(told(old)) == 1
    assert told(made("NetworkPolicy", ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]), old) == []
    assert len(told(made("NetworkPolicy", **block(cidr="10.0.0.2/8")), old)) == 1


# --- classes, addresses and ranges ---

CLASS = made("IngressClass", controller="a.b/c")
WHERE = "spec.parameters"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.controller": "a.b/" + "c" * 247}, ["spec.controller: Too long: may not be more than 250 bytes"]),
        ({"spec.controller": "c"}, ['spec.controller: Invalid value: "c": must be a domain-prefixed path']),
        (
            {WHERE: {"scope": "Namespace"}},
            [
                f"{WHERE}.kind: Required value",
                f"{WHERE}.name: Required value",
                f"{WHERE}.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ],
        ),
        (
            {WHERE: {"scope": "Cluster", "kind": "K", "name": "k", "namespace": "n"}},
            [f"{WHERE}.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
        (
            {WHERE: {"scope": "X", "kind": "K", "name": "k", "apiGroup": "A"}},
            [
                f'{WHERE}.apiGroup: Invalid value: "A": {SUBDOMAIN}',
                f'{WHERE}.scope: Unsupported value: "X": supported values: "Cluster", "Namespace"',
            ],
        ),
    ],
)
def test_classes(changes: Obj, wanted: list[str]) -> None:
    expect(teller(CLASS)(changes), wanted)


def test_a_class_stands() -> None:
    changed = put(CLASS, {"spec.controller": "d.e/f"})
    assert told(changed, CLASS) == ['spec.controller: Invalid value: "d.e/f": field is immutable']
    expect(
        told(put(CLASS, {"spec.controller": ABSENT}), CLASS),
        ['spec.controller: Invalid value: "": field is immutable', "spec.controller: Required value"],
    )


def test_an_address_is_named_after_itself() -> None:
    assert values.canonical_ip("2001:db8::1") == ()
    assert values.canonical_ip("2001:DB8::1") == ('must be in canonical form ("2001:db8::1")',)
    assert values.canonical_ip("x")[0].startswith("must be a valid IP address")


def test_an_address_has_an_owner() -> None:
    parent = {"resource": "services", "name": "s"}
    address = made("IPAddress", "1.2.3.4", parentRef=parent)
    assert told(address) == []
    assert told(made("IPAddress", "1.2.3.4")) == ["spec.parentRef: Required value"]
    bare = made("IPAddress", "1.2.3.4", parentRef={})
    assert told(bare) == ["spec.parentRef.resource: Required value", "spec.parentRef.name: Required value"]
    expect(
        told(put(address, {"spec.parentRef.name": "t"}), address),
        ['spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"","Name":"t"}: field is imm'],
    )
    text = 'spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"","Name":""}: field is imm'
    expect(told(put(address, {"spec.parentRef.name": ""}), address), ["spec.parentRef.name: Required value", text])


def test_a_service_range_may_get_its_other_family() -> None:
    def ranges(*cidrs: str) -> Obj:
        return made("ServiceCIDR", cidrs=list(cidrs))

    one, two = ranges("10.0.0.0/16"), ranges("10.0.0.0/16", "2001:db8::/64")
    assert told(one) == told(two) == told(two, one) == []
    expect(told(one, two), ['spec.cidrs: Invalid value: ["10.0.0.0/16"]: field is immutable'])
    expect(told(ranges("10.1.0.0/16"), one), ['spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable'])
    expect(told(ranges(), two), ["spec.cidrs: Invalid value: null: field is immutable"])
    expect(told(ranges()), ["spec.cidrs: Required value: at least one CIDR required"])
    same = ranges("10.0.0.0/16", "10.1.0.0/16")
    expect(told(same), ['spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP'])
    expect(told(same, one), ['spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than'])
    expect(told(ranges("2001:DB8::/64")), ['spec.cidrs[0]: Invalid value: "2001:DB8::/64": must be in canonical form'])
    expect(told(ranges("a", "b", "c")), ['spec.cidrs: Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2'])
