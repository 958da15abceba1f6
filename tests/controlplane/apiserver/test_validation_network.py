"""What is refused of the networking and discovery groups, and of Endpoints."""

from typing import Any

import pytest

from controlplane.apiserver.rules import values as fields
from controlplane.apiserver.validation import ingress, networking

Obj = dict[str, Any]
SERVICE = {"service": {"name": "s", "port": {"number": 80}}}


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("10.0.0.0/8", ""),
        ("2001:db8::/32", ""),
        ("10.0.0.0", "must be a valid CIDR value"),
        ("10.0.0.0/33", "must be a valid CIDR value"),
        ("10.0.0.0/255.0.0.0", "must be a valid CIDR value"),
        ("010.0.0.0/8", "must not have leading 0s in IP"),
        ("10.0.0.0/08", "must not have leading 0s in prefix length"),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
    ],
)
def test_ranges(text: str, wrong: str) -> None:
    found = texts(fields.cidr("f", text))
    assert (not found) if not wrong else wrong in found[0]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1.2.3.4", ""),
        ("::1", ""),
        ("1.2.3", "must be a valid IP address"),
        ("fe80::1%eth0", "must be a valid IP address"),
        ("1.2.3.04", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
    ],
)
def test_addresses(text: str, wrong: str) -> None:
    assert fields.ip_address(text).startswith(wrong) and bool(fields.ip_address(text)) == bool(wrong)


@pytest.mark.parametrize(
    ("value", "fine"),
    [("a.b/c", True), ("a.b/c/d", True), ("a.b", False), ("/c", False), ("A/c", False), ("a.b/c d", False)],
)
def test_paths_with_a_domain(value: str, fine: bool) -> None:
    assert (fields.domain_path("f", value) == []) is fine


def rule(**path: Any) -> Obj:
    return {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": SERVICE, **path}]}}]}


PATH = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (rule(), []),
        ({}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            rule(path="a/../b"),
            [
                f'{PATH}.path: Invalid value: "a/../b": {t}'
                for t in ("must be an absolute path", "must not contain '/../'")
            ],
        ),
        (rule(path="/a/.."), [f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'"]),
        (rule(pathType=None), [f"{PATH}.pathType: Required value: pathType must be specified"]),
        (rule(pathType="ImplementationSpecific", path=""), []),
        (rule(backend={}), [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
        (
            rule(backend={"service": {"name": "s"}}),
            [f"{PATH}.backend: Required value: port name or number is required"],
        ),
        (
            {"defaultBackend": {"service": {"name": "", "port": {"name": "-"}}}},
            [
                "spec.defaultBackend.service.name: Required value",
                'spec.defaultBackend.service.port.name: Invalid value: "-": must contain at least one letter (a-z)',
                'spec.defaultBackend.service.port.name: Invalid value: "-": must not begin or end with a hyphen',
            ],
        ),
        (
            {"defaultBackend": {"resource": {"kind": "", "name": "a/b"}}},
            [
                "spec.defaultBackend.resource.kind: Required value",
                "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        ({"rules": [{"http": {"paths": []}}]}, ["spec.rules[0].http.paths: Required value"]),
        ({"rules": [{"host": "*.a.b"}, {"host": "a.b"}]}, []),
    ],
)
def test_ingresses(spec: Obj, wanted: list[str]) -> None:
    assert texts(ingress.ingress({"metadata": {}, "spec": spec})) == wanted


def test_an_ingress_names_hosts_and_one_class() -> None:
    spec = {**rule(), "ingressClassName": "a", "tls": [{"hosts": ["*", "UP"], "secretName": "UP"}]}
    metadata = {"annotations": {"kubernetes.io/ingress.class": "b"}}
    found = ingress.ingress({"metadata": metadata, "spec": spec})
    assert [error.field for error in found] == [
        "spec.tls[0].hosts[0]",
        "spec.tls[0].hosts[1]",
        "spec.tls[0].secretName",
        "annotations.kubernetes.io/ingress.class",
    ]
    assert not ingress.ingress_change({"metadata": metadata, "spec": rule()}, {})


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
        (
            {
                "egress": [
                    {
                        "to": [
                            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/16"]}}
                        ]
                    }
                ]
            },
            [
                f'spec.egress[0].to[0].ipBlock.except[{index}]: Invalid value: "{text}": '
                "must be a strict subset of `cidr`"
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
            {"policyTypes": ["Sideways"]},
            ['spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
        ),
    ],
)
def test_network_policies(spec: Obj, wanted: list[str]) -> None:
    assert texts(networking.network_policy({"spec": spec})) == wanted


def test_classes() -> None:
    def made(**spec: Any) -> Obj:
        return {"spec": {"controller": "a.b/c", **spec}}

    assert networking.ingress_class(made()) == []
    assert [e.field for e in networking.ingress_class(made(controller="x" * 251))] == ["spec.controller"] * 2
    found = networking.ingress_class(made(parameters={"scope": "Namespace"}))
    assert texts(found) == [
        "spec.parameters.kind: Required value: kind is required",
        "spec.parameters.name: Required value: name is required",
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ]
    assert texts(networking.ingress_class_change(made(controller="d.e/f"), made())) == [
        'spec.controller: Invalid value: "d.e/f": field is immutable'
    ]


def test_an_address_is_named_after_itself() -> None:
    assert networking.address_name("2001:db8::1") == ()
    assert networking.address_name("2001:DB8::1") == ('must be in canonical form ("2001:db8::1")',)
    assert networking.address_name("x")[0].startswith("must be a valid IP address")
    parent = {"resource": "services", "name": "s"}
    assert networking.address({"spec": {"parentRef": parent}}) == []
    assert texts(networking.address({"spec": {"parentRef": {"name": "s"}}})) == [
        "spec.parentRef.resource: Required value"
    ]
    assert networking.address_change({"spec": {"parentRef": parent}}, {"spec": {"parentRef": {**parent, "name": "t"}}})


def test_a_service_range_may_get_its_other_family() -> None:
    def made(*cidrs: str) -> Obj:
        return {"spec": {"cidrs": list(cidrs)}}

    one, two = made("10.0.0.0/16"), made("10.0.0.0/16", "2001:db8::/64")
    assert networking.service_range(one) == networking.service_range(two) == []
    assert networking.service_range_change(two, one) == []
    assert networking.service_range_change(one, two) != []
    assert "may specify no more than one IP" in str(networking.service_range(made("10.0.0.0/16", "10.1.0.0/16"))[0])
    assert "may only hold up to 2 values" in str(networking.service_range(made("10.0.0.0/16", "x", "y"))[0])
