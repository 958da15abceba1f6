"""What is refused of flow control and of aggregated groups."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules import flows
from controlplane.apiserver.rules.tables import rules
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, kind_of, put, teller, told


def made(kind: str, name: str = "x", **spec: Any) -> Obj:
    version = "flowcontrol.apiserver.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


SCHEMA = made(
    "FlowSchema",
    matchingPrecedence=2,
    priorityLevelConfiguration={"name": "l"},
    rules=[
        {
            "subjects": [{"kind": "User", "user": {"name": "u"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
        }
    ],
)
RULE, AT = "spec.rules.0", "spec.rules[0]"
RESOURCES, URLS = f"{AT}.resourceRules[0]", f"{AT}.nonResourceRules[0]"


def urls(*listed: str) -> Obj:
    return {f"{RULE}.nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": list(listed)}]}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.matchingPrecedence": -1}, ["spec.matchingPrecedence: Invalid value: -1: must be a positive value"]),
        ({"spec.matchingPrecedence": 1}, ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt'"]),
        (
            {"spec.matchingPrecedence": 1, "metadata.name": "exempt"},
            ['spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"l"},"MatchingPrecedence":1,'],
        ),
        (
            {"spec.matchingPrecedence": 10001},
            ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than"],
        ),
        (
            {"spec.distinguisherMethod": {"type": "X"}},
            ['spec.distinguisherMethod.type: Unsupported value: {"Type":"X"}: supported values: "ByNamespace", "By'],
        ),
        (
            {"spec.priorityLevelConfiguration": {"name": ""}},
            ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
        ),
        (
            {RULE: {}},
            [
                f"{AT}.subjects: Required value: subjects must contain at least one value",
                f"{AT}: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
        (
            {f"{RULE}.subjects.0": {"kind": "Group"}},
            [f"{AT}.subjects[0].group: Required value: group is required when subject kind is 'Group'"],
        ),
        (
            {f"{RULE}.subjects.0": {"kind": "ServiceAccount", "serviceAccount": {"name": "A"}, "user": {"name": "u"}}},
            [
                f'{AT}.subjects[0].serviceAccount.name: Invalid value: "A": a lowercase RFC 1123 subdomain must',
                f"{AT}.subjects[0].serviceAccount.namespace: Required value: must specify namespace for service acco",
                f"{AT}.subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
            ],
        ),
        (
            {f"{RULE}.subjects.0": {"kind": "X"}},
            [f'{AT}.subjects[0].kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"'],
        ),
        (
            {f"{RULE}.resourceRules.0.verbs": ["*", "get"], f"{RULE}.resourceRules.0.namespaces": []},
            [
                f'{RESOURCES}.verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
                f"{RESOURCES}.namespaces: Required value: resource rules that are not cluster scoped must supply at",
            ],
        ),
        (
            {f"{RULE}.resourceRules.0.verbs": ["look"]},
            [f'{RESOURCES}.verbs: Unsupported value: ["look"]: supported values: "create", "delete", "deletecoll'],
        ),
        (
            {f"{RULE}.resourceRules.0.namespaces": ["A"]},
            [f"{RESOURCES}.namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123"],
        ),
        (urls(), [f"{URLS}.nonResourceURLs: Required value: nonResourceURLs must contain at least one value"]),
        (urls("/", "/a/*", "*x"), [f'{URLS}.nonResourceURLs[2]: Invalid value: "*x": must start with slash']),
        (urls("/a*"), [f'{URLS}.nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching']),
        (urls("//"), [f'{URLS}.nonResourceURLs[0]: Invalid value: "//": must not contain double slash']),
        (
            urls("*", "/a"),
            [f'{URLS}.nonResourceURLs: Invalid value: ["*","/a"]: if \'*\' is present, must not specify'],
        ),
    ],
)
def test_schemas(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SCHEMA)(changes), wanted)


def test_a_condition_is_there_once() -> None:
    whole = complete(SCHEMA)
    found = rules().check(kind_of(whole), {**whole, "status": {"conditions": [{}, {}]}}, whole, "status")
    assert [str(error) for error in found] == [
        "status.conditions[0].type: Required value",
        'status.conditions[1].type: Duplicate value: ""',
        "status.conditions[1].type: Required value",
    ]


LEVEL = made("PriorityLevelConfiguration", type="Limited", limited={"limitResponse": {"type": "Queue", "queuing": {}}})
QUEUING, LIMITED = "spec.limited.limitResponse.queuing", "spec.limited"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.limited.limitResponse": {"type": "Reject"}}, []),
        (
            {"spec.limited.limitResponse.type": "Reject"},
            [f"{QUEUING}: Forbidden: must be nil if limited.limitResponse.type is not Limited"],
        ),
        ({f"{LIMITED}.limitResponse.type": "X"}, [f'{LIMITED}.limitResponse.type: Unsupported value: "X": supported']),
        ({f"{LIMITED}.nominalConcurrencyShares": -1}, [f"{LIMITED}.nominalConcurrencyShares: Invalid value: -1: must"]),
        (
            {f"{LIMITED}.lendablePercent": 101},
            [f"{LIMITED}.lendablePercent: Invalid value: 101: must be between 0 and"],
        ),
        (
            {f"{LIMITED}.borrowingLimitPercent": -1},
            [f"{LIMITED}.borrowingLimitPercent: Invalid value: -1: if specified"],
        ),
        ({"spec.exempt": {}}, ["spec.exempt: Forbidden: must be nil if the type is Limited"]),
        ({LIMITED: ABSENT}, [f"{LIMITED}: Required value: must not be empty when type is Limited"]),
        (
            {"spec": {"type": "Exempt"}},
            ["spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name`"],
        ),
        (
            {"spec": {"type": "Exempt", "limited": {}, "exempt": {"lendablePercent": 101}}, "metadata.name": "exempt"},
            [
                "spec.limited: Forbidden: must be nil if the type is not Limited",
                "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                'spec: Invalid value: {"Type":"Exempt","Limited":{"NominalConcurrencyShares":30,"LimitResponse":{',
            ],
        ),
        (
            {QUEUING: {"queues": 8, "handSize": 9, "queueLengthLimit": -1}},
            [
                f"{QUEUING}.queueLengthLimit: Invalid value: -1: must be positive",
                f"{QUEUING}.handSize: Invalid value: 9: should not be greater than queues (8)",
            ],
        ),
        ({QUEUING: {"queues": 10_000_001, "handSize": 1}}, [f"{QUEUING}.queues: Invalid value: 10000001: must not "]),
        (
            {QUEUING: {"queues": 256, "handSize": 8}},
            [f"{QUEUING}.handSize: Invalid value: 8: required entropy bits of deckSize 256 and handSize 8 should not"],
        ),
    ],
)
def test_levels(changes: Obj, wanted: list[str]) -> None:
    expect(teller(LEVEL)(changes), wanted)


SERVICE: Obj = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1.g.x"},
    "spec": {
        "group": "g.x",
        "version": "v1",
        "groupPriorityMinimum": 1,
        "versionPriority": 1,
        "service": {"name": "s", "namespace": "n"},
    },
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"spec.version": "V1"},
            [
                'metadata.name: Invalid value: "v1.g.x": must be `spec.version+"."+spec.group`: "V1.g.x"',
                'spec.version: Invalid value: "V1": a DNS-1035 label must consist of',
            ],
        ),
        ({"metadata.name": "v1.g/x"}, []),
        ({"metadata.name": ABSENT}, []),
        (
            {"metadata.name": "v2.", "spec.version": "v2", "spec.group": ""},
            ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
        ),
        (
            {"spec.groupPriorityMinimum": 20001},
            ["spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000"],
        ),
        (
            {"spec.service": ABSENT, "spec.caBundle": "eA==", "spec.insecureSkipTLSVerify": True},
            [
                'spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle',
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        ),
        (
            {"spec.service": {"name": "s", "namespace": "", "port": 65536}},
            [
                "spec.service.namespace: Required value",
                "spec.service.port: Invalid value: 65536: port is not valid: must",
            ],
        ),
        (
            {"spec.caBundle": "eA==", "spec.insecureSkipTLSVerify": True},
            ["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"],
        ),
    ],
)
def test_aggregated_groups(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SERVICE)(changes), wanted)
    assert told(put(SERVICE, changes), SERVICE) == told(put(SERVICE, changes))


def test_what_is_always_there_stays_as_it_is() -> None:
    fixed = made("FlowSchema", "catch-all", **flows.MANDATORY_SCHEMAS["catch-all"])
    assert told(fixed) == []
    expect(
        told(put(fixed, {"spec.matchingPrecedence": 9})),
        ['spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"catch-all"},"MatchingPrecedence":9,"Disting'],
    )
    exempt = made("PriorityLevelConfiguration", "exempt", **flows.MANDATORY_LEVELS["exempt"])
    assert told(put(exempt, {"spec.exempt.lendablePercent": 50})) == []
    (text,) = told(made("PriorityLevelConfiguration", "catch-all", **flows.level(6, 0, None)))
    assert text.startswith(
        'spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":6,"LimitResponse":'
    )
    assert text.endswith("spec of 'catch-all' must equal the fixed value")


def test_an_older_types_annotation_is_refused() -> None:
    key = "flowcontrol.k8s.io/preserve-zero-concurrency-shares"
    level = put(made("PriorityLevelConfiguration", "x", **flows.level(1, 0, None)), {"metadata.annotations": {key: ""}})
    assert told(level) == [f"metadata.annotations: Forbidden: annotation '{key}' is forbidden"]
