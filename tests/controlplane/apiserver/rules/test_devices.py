"""What is refused of claims for devices, of their classes and of what drivers offer."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.strategies import devices as strategy
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, put, teller, told

ONE = {"deviceClassName": "c"}
WANTED = {"name": "a", "exactly": ONE}
REQUEST, AT = "spec.devices.requests.0", "spec.devices.requests[0]"


def made(kind: str, **spec: Any) -> Obj:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}


CLAIM = made("ResourceClaim", devices={"requests": [WANTED]})
LIST = "must be the name of a request in the claim or the name of a request and a subrequest"


def constraint(*requests: str, **more: Any) -> Obj:
    return {"spec.devices.constraints": [{"requests": list(requests), **more}]}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.devices": {}}, []),
        ({f"{REQUEST}.name": "A"}, [f'{AT}.name: Invalid value: "A": a lowercase RFC 1123 label']),
        (
            {f"{REQUEST}.exactly": ABSENT},
            [f"{AT}: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (
            {f"{REQUEST}.firstAvailable": [{"name": "b", **ONE}]},
            [f"{AT}: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple"],
        ),
        ({"spec.devices.requests.1": WANTED}, ['spec.devices.requests[1]: Duplicate value: "a"']),
        ({"spec.devices.requests": [WANTED] * 33}, ["spec.devices.requests: Too many: 33: must have at most 32 items"]),
        # Nothing asked for is one, as upstream's defaults have it.
        ({f"{REQUEST}.exactly.count": 0}, []),
        ({f"{REQUEST}.exactly.count": -1}, [f"{AT}.exactly.count: Invalid value: -1: must be greater than zero"]),
        (
            {f"{REQUEST}.exactly": {**ONE, "allocationMode": "All", "count": 2}},
            [f"{AT}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"],
        ),
        (
            {f"{REQUEST}.exactly.allocationMode": "Odd"},
            [f'{AT}.exactly.allocationMode: Unsupported value: "Odd": supported values: "All", "ExactCount"'],
        ),
        ({f"{REQUEST}.exactly.deviceClassName": ""}, [f"{AT}.exactly.deviceClassName: Required value"]),
        ({f"{REQUEST}.exactly.selectors": [{}]}, [f"{AT}.exactly.selectors[0].cel: Required value"]),
        (
            {f"{REQUEST}.exactly.tolerations": [{"operator": "Exists", "value": "v"}, {"effect": "Odd"}]},
            [
                f'{AT}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
                f'{AT}.exactly.tolerations[1].effect: Unsupported value: "Odd": supported values: "NoExecute", '
                '"NoSchedule", "None"',
            ],
        ),
        (constraint("a", matchAttribute="d.e/x"), []),
        (
            constraint("b", "a/c", "a/b/c", matchAttribute="x"),
            [
                f'spec.devices.constraints[0].requests[0]: Invalid value: "b": {LIST}',
                f'spec.devices.constraints[0].requests[1]: Invalid value: "a/c": {LIST}',
                f'spec.devices.constraints[0].requests[2]: Invalid value: "a/b/c": {LIST}',
                'spec.devices.constraints[0].matchAttribute: Invalid value: "x": a fully qualified name must be',
            ],
        ),
        (
            constraint("a", "a"),
            [
                'spec.devices.constraints[0].requests[1]: Duplicate value: "a"',
                'spec.devices.constraints[0]: Required value: exactly one of "matchAttribute" or "distinctAttribute"',
            ],
        ),
        (
            {"spec.devices.config": [{}, {"opaque": {"driver": "d_e"}}, {"opaque": {"driver": "d", "parameters": {}}}]},
            [
                "spec.devices.config[0].opaque: Required value",
                'spec.devices.config[1].opaque.driver: Invalid value: "d_e": a lowercase RFC 1123 subdomain',
                "spec.devices.config[1].opaque.parameters: Required value",
            ],
        ),
    ],
)
def test_claims_and_their_templates(changes: Obj, wanted: list[str]) -> None:
    claim = put(CLAIM, changes)
    expect(told(claim), wanted)
    template = made("ResourceClaimTemplate", spec=claim["spec"])
    expect(told(template), [text.replace("spec.", "spec.spec.", 1) for text in wanted])


def test_claims_ask_once() -> None:
    expect(told(put(CLAIM, {f"{REQUEST}.name": "B"}), CLAIM), ["spec: Invalid value: "])
    assert told(put(CLAIM, {f"{REQUEST}.name": "B"}), CLAIM)[0].endswith("field is immutable")


def test_what_templates_say_of_their_claims() -> None:
    template = made("ResourceClaimTemplate", metadata={"name": "n", "labels": {"a": "_"}}, spec={})
    expect(told(template), ['spec.metadata.labels: Invalid value: "_"', "spec.metadata.name: Forbidden: cannot be set"])


def test_an_empty_name_is_none() -> None:
    text = 'spec.extendedResourceName: Invalid value: "": must be a valid extended resource name'
    assert told(put(made("DeviceClass"), {"spec.extendedResourceName": ""})) == [text]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("", "Invalid value: \"\": compilation failed: ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>'"),
        ("device.driver", 'Invalid value: "device.driver": must evaluate to bool or the unknown type, not string'),
        ("device.unknown == 1", "ERROR: <input>:1:7: undefined field 'unknown'\n | device.unknown == 1\n | ......^"),
        ("device.driver.matches('(')", "ERROR: <input>:1:23: invalid matches argument"),
        ("device.driver == 1", "<input>:1:15: found no matching overload for '_==_' applied to '(string, int)'"),
        ("device.attributes['a']", "unknown type, not map(string, google.protobuf.Any)"),
        ("device.attributes", "unknown type, not map(string, map(string, google.protobuf.Any))"),
        ("dyn(1)", "must evaluate to bool or the unknown type, not dyn"),
        ("device", "must evaluate to bool or the unknown type, not kubernetes.DRADevice"),
        ("x" * 10241, "Too long: may not be more than 10240 bytes"),
        ("device.attributes['a'].b", ""),
        ("device.attributes['a'].b + 1 == 2 && 'a' < device.attributes['a'].c", ""),
        ("device.attributes['a'].b.isGreaterThan(semver('1.0.0'))", ""),
        ("device.attributes['a'].exists(k, k == 'b') || device.allowMultipleAllocations", ""),
    ],
)
def test_selectors_compile(expression: str, wanted: str) -> None:
    """As upstream v1.36.2 answers."""
    (text,) = told(put(made("DeviceClass"), {"spec.selectors": [{"cel": {"expression": expression}}]})) or [""]
    assert wanted in text and bool(text) is bool(wanted)
    assert not text or text.startswith("spec.selectors[0].cel.expression: ")


def test_classes() -> None:
    changes = {"spec.config": [{}], "spec.selectors": [{}], "spec.extendedResourceName": "cpu"}
    expect(
        told(put(made("DeviceClass"), changes)),
        [
            "spec.selectors[0].cel: Required value",
            "spec.config[0].opaque: Required value",
            'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
        ],
    )


# --- what was given ---

RESULT = {"request": "a", "driver": "d.e", "pool": "p", "device": "v"}
GIVEN = put(CLAIM, {"status": {"allocation": {"devices": {"results": [RESULT]}}}})
DEVICE = {"driver": "d.e", "pool": "p", "device": "v"}
USER = {"resource": "pods", "name": "n", "uid": "u"}
UID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, []),
        (
            {"reservedFor": [USER]},
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        (
            {"allocation": {"devices": {"results": [{**RESULT, "request": "b", "shareID": "x"}]}}},
            [
                f'status.allocation.devices.results[0].request: Invalid value: "b": {LIST}',
                'status.allocation.devices.results[0].shareID: Invalid value: "x": error validating uid: invalid UUID '
                "length: 1",
            ],
        ),
        (
            {"allocation": {"devices": {"results": [{**RESULT, "shareID": ""}]}}},
            [
                'status.allocation.devices.results[0].shareID: Invalid value: "": error validating uid: invalid UUID '
                "length: 0",
            ],
        ),
        (
            {"allocation": {"devices": {"results": [{**RESULT, "bindingConditions": ["a", "a"], "shareID": UID}]}}},
            [
                'status.allocation.devices.results[0].bindingConditions[1]: Duplicate value: "a"',
                "status.allocation.devices.results[0].bindingFailureConditions: Invalid value: null: "
                "bindingFailureConditions are required to use bindingConditions",
            ],
        ),
        (
            {"devices": [DEVICE]},
            [
                'status.devices[0]: Invalid value: {"Driver":"d.e","Pool":"p","Device":"v","ShareID":""}: must be an '
                "allocated device in the claim"
            ],
        ),
    ],
)
def test_what_a_claim_was_given(status: Obj, wanted: list[str]) -> None:
    expect(told(put(CLAIM, {"status": status}), CLAIM, "status"), wanted)


IPS = {
    "010.0.0.1/8": 'Invalid value: "010.0.0.1/8": must be in canonical form ("10.0.0.1/8")',
    "10.0.0.2/08": 'Invalid value: "10.0.0.2/08": must be in canonical form ("10.0.0.2/8")',
    "10.0.0.1/255.0.0.0": 'Invalid value: "10.0.0.1/255.0.0.0": must be a valid address in CIDR form',
    "::ffff:10.0.0.3/104": 'Invalid value: "::ffff:10.0.0.3/104": must be in canonical form ("10.0.0.3/8")',
}


def test_what_drivers_tell_of_given_devices() -> None:
    network = {"interfaceName": "x" * 257, "ips": ["10.0.0.1/8", "10.0.0.1", "2001:DB8::1/64", "10.0.0.1/8", *IPS]}
    devices = [{**DEVICE, "networkData": network, "data": {}}, DEVICE]
    expect(
        told(put(GIVEN, {"status.devices": devices}), GIVEN, "status"),
        [
            "status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
            'status.devices[0].networkData.ips[1]: Invalid value: "10.0.0.1": must be a valid address in CIDR form',
            'status.devices[0].networkData.ips[2]: Invalid value: "2001:DB8::1/64": must be in canonical form '
            '("2001:db8::1/64")',
            *(f"status.devices[0].networkData.ips[{4 + n}]: {text}" for n, text in enumerate(IPS.values())),
            'status.devices[0].networkData.ips[3]: Duplicate value: "10.0.0.1/8"',
            'status.devices[1]: Duplicate value: {"Driver":"d.e","Pool":"p","Device":"v","ShareID":""}',
        ],
    )


def test_what_was_given_stays_and_nobody_new_comes_to_what_goes() -> None:
    other = {"devices": {"results": [{**RESULT, "device": "w"}]}}
    expect(told(put(GIVEN, {"status.allocation": other}), GIVEN, "status"), ["status.allocation: Invalid value: {"])
    going = put(GIVEN, {"metadata.deletionTimestamp": "2026-01-01T00:00:00Z", "status.reservedFor": [USER]})
    expect(told(going, GIVEN, "status"), ["status.reservedFor: Forbidden: new entries may not be added while"])


def test_what_drivers_told_goes_with_the_allocation() -> None:
    old = put(GIVEN, {"status.devices": [DEVICE]})
    new = put(old, {"status.allocation": ABSENT})
    strategy.claim_status(new, old)
    assert new["status"] == {}


# --- offers ---

POOL = {"name": "p", "resourceSliceCount": 1, "generation": 1}
SLICE = made("ResourceSlice", driver="d.e", pool=POOL, nodeName="n", devices=[{"name": "a"}])
PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
HERE, THERE = "spec.devices.0", "spec.devices[0]"
ELSEWHERE = {"spec.nodeName": ABSENT, "spec.perDeviceNodeSelection": True}


def policy(**fields: Any) -> Obj:
    return {
        f"{HERE}.allowMultipleAllocations": True,
        f"{HERE}.capacity": {"m": {"value": "4", "requestPolicy": fields}},
    }


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"spec.allNodes": True},
            [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {PLACES}, but multiple fields are set'],
        ),
        ({"spec.nodeName": ABSENT}, [f"spec: Required value: {PLACES}"]),
        (
            {"spec.nodeName": ABSENT, "spec.allNodes": False},
            [
                "spec.allNodes: Invalid value: false: must be either unset or set to true",
                f"spec: Required value: {PLACES}",
            ],
        ),
        (
            {"spec.driver": "x" * 64},
            ["spec.driver: Too long: may not be more than 63 bytes"],
        ),
        (
            {"spec.pool": {"name": "a//b", "generation": -1}},
            [
                'spec.pool.name: Invalid value: "": a lowercase RFC 1123 subdomain',
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            ],
        ),
        ({"spec.devices.1": {"name": "a"}}, ['spec.devices[1]: Duplicate value: "a"']),
        (
            {"spec.sharedCounters": [{"name": "c", "counters": {"n": {"value": "1"}}}]},
            ['spec: Invalid value: "": only one of `sharedCounters` or `devices`'],
        ),
        (
            {f"{HERE}.attributes": {"": {"int": 1}, "a/b": {}, "v": {"version": "1", "int": 1}}},
            [
                'spec.devices[0].attributes: Invalid value: "": a valid C identifier',
                'spec.devices[0].attributes[a/b]: Invalid value: "": exactly one value must be specified',
                'spec.devices[0].attributes[v].version: Invalid value: "1": must be a string compatible with semver',
                'spec.devices[0].attributes[v]: Invalid value: {"IntValue":1,"BoolValue":null,',
            ],
        ),
        (
            {f"{HERE}.nodeName": "n"},
            [f"{THERE}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if"],
        ),
        (ELSEWHERE, [f"{THERE}: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required"]),
        ({**ELSEWHERE, f"{HERE}.nodeName": "n"}, []),
        (
            {f"{HERE}.taints": [{"value": "_"}]},
            [
                f'{THERE}.taints[0].key: Invalid value: "": name part must be non-empty',
                f'{THERE}.taints[0].key: Invalid value: "": name part must consist',
                f'{THERE}.taints[0].value: Invalid value: "_"',
                f"{THERE}.taints[0].effect: Required value",
            ],
        ),
        (
            {f"{HERE}.consumesCounters": [{"counterSet": "c", "counters": {"X": {"value": "1"}}}, {}]},
            [
                f'{THERE}.consumesCounters[0].counters: Invalid value: "X": a lowercase RFC 1123 label',
                f"{THERE}.consumesCounters[1].counterSet: Required value",
                f"{THERE}.consumesCounters[1].counters: Required value",
            ],
        ),
        (
            {f"{HERE}.capacity": {"m": {"value": "4", "requestPolicy": {}}}},
            [f"{THERE}.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"],
        ),
        (policy(default="2", validValues=["1", "2"]), []),
        (
            policy(default="3", validValues=["2", "1", "5"]),
            [
                f'{THERE}.capacity[m].requestPolicy.validValues[1]: Invalid value: "1": values must be sorted',
                f'{THERE}.capacity[m].requestPolicy.validValues[2]: Invalid value: "5": option is larger than capacity '
                "value: 4",
                f'{THERE}.capacity[m].requestPolicy.validValues: Invalid value: "3": default value is not valid',
            ],
        ),
        (
            policy(validRange={"min": "1"}),
            [f"{THERE}.capacity[m].requestPolicy.default: Required value: required when validRange is defined"],
        ),
        (
            policy(default="2", validRange={"min": "1", "max": "9", "step": "0"}),
            [
                f'{THERE}.capacity[m].requestPolicy.validRange.max: Invalid value: "9": max is larger than capacity',
                f'{THERE}.capacity[m].requestPolicy.validRange.step: Invalid value: "2": value is not a multiple',
                f'{THERE}.capacity[m].requestPolicy.validRange.step: Invalid value: "9": value is not a multiple',
            ],
        ),
    ],
)
def test_slices(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SLICE)(changes), wanted)


def test_counters_that_devices_share_have_names_and_values() -> None:
    shared = [{"name": "a", "counters": {"c": {"value": "1"}}}, {"name": "A_"}, {"counters": {}}]
    found = told(put(SLICE, {"spec.devices": ABSENT, "spec.sharedCounters": shared}))
    paths = ("[1].name", "[1].counters", "[2].name", "[2].counters")
    expect(found, [f"spec.sharedCounters{path}: " for path in paths])


def test_a_slice_stays_where_it_is() -> None:
    changes = {"spec.nodeName": "m", "spec.pool.name": "q"}
    wanted = ['spec.pool.name: Invalid value: "q": field is', 'spec.nodeName: Invalid value: "m": field is immutable']
    expect(told(put(SLICE, changes), SLICE), wanted)


def test_a_taint_is_dated_once() -> None:
    taints = [{"key": "a", "effect": "None"}, {"key": "b", "effect": "None", "timeAdded": "2020-01-01T00:00:00Z"}]
    offered = put(SLICE, {f"{HERE}.taints": taints})
    assert complete(offered)["spec"]["devices"][0]["taints"] == taints, "defaults know no time"
    strategy.slice_default(offered)
    fresh, dated = offered["spec"]["devices"][0]["taints"]
    assert fresh["timeAdded"] > dated["timeAdded"] == "2020-01-01T00:00:00Z"


def test_what_is_behind_a_gate_stays_only_where_it_was() -> None:
    lists = put(SLICE, {f"{HERE}.attributes": {"a": {"ints": [1]}}})
    fresh, kept = complete(lists), complete(lists)
    strategy.slice_created(fresh)
    strategy.slice_changed(kept, lists)
    assert fresh["spec"]["devices"][0]["attributes"] == {"a": {}} and kept == complete(lists)
