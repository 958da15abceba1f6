import json
import re
from typing import Any

import pytest

from apimachinery.schema import Schema
from tests.apimachinery import golden

SECOND = "2026-01-02T03:04:05"


def checked(api_version: str, kind: str, **obj: Any) -> dict[str, Any]:
    walker = Schema.load().walker(api_version, kind)
    assert walker is not None
    assert not walker.check(obj).error
    return obj


def test_zero_is_absent_unless_the_field_is_a_pointer() -> None:
    spec = {
        "containers": [{"name": "c", "stdin": False}],
        "nodeName": "",
        "hostNetwork": False,
    }
    pointers = {
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }
    pod = checked("v1", "Pod", spec={**spec, **pointers, "volumes": [{"name": "v", "emptyDir": {}}]})
    assert pod["spec"] == {
        "containers": [{"name": "c", "resources": {}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        **pointers,
    }


def test_what_is_always_written_is_filled_in() -> None:
    deployment = checked("apps/v1", "Deployment")
    assert deployment == {
        "metadata": {},
        "spec": {
            "selector": None,
            "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": None}},
        },
        "status": {},
    }
    node = checked("v1", "Node", status={"conditions": [{"type": "Ready", "status": "True"}]})
    assert node["status"]["conditions"] == [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": None, "lastTransitionTime": None}
    ]
    assert checked("rbac.authorization.k8s.io/v1", "Role", rules=[])["rules"] == [], "an empty list has an owner"


def test_a_pointer_that_nobody_set_stays_away() -> None:
    term = {"topologyKey": "t"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pod = checked("v1", "Pod", spec={"containers": [], "affinity": affinity})
    # No selector selects nothing, an empty one everything.
    assert pod["spec"]["affinity"] == {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    scaler = checked("autoscaling/v2", "HorizontalPodAutoscaler", spec={"metrics": [{"type": "Pods"}]})
    assert scaler["spec"]["metrics"] == [{"type": "Pods"}]
    assert checked("networking.k8s.io/v1", "IPAddress", spec={})["spec"] == {}


@pytest.mark.parametrize(
    ("api_version", "kind", "obj"),
    [
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", {"spec": {}}),
        ("networking.k8s.io/v1", "IPAddress", {"spec": {"parentRef": {"name": "", "resource": ""}}}),
        ("resource.k8s.io/v1", "ResourceSlice", {"spec": {"sharedCounters": [{"name": "s"}]}}),
    ],
)
def test_what_is_required_may_yet_be_left_out_when_zero(api_version: str, kind: str, obj: dict[str, Any]) -> None:
    """Its absence is then for whoever checks objects to refuse, and its first value is owned as a whole."""
    text = json.dumps(checked(api_version, kind, **obj))
    for name in ("policyName", "validationActions", "resource", "counters"):
        assert f'"{name}"' not in text


def test_what_comes_empty_is_told_from_what_does_not_come_at_all() -> None:
    """Until it is stored: messages show it, and some kinds count it as a change."""
    spec = checked("networking.k8s.io/v1", "NetworkPolicy", spec={"ingress": [], "podSelector": {"matchLabels": {}}})
    assert spec["spec"] == {"ingress": [], "podSelector": {"matchLabels": {}}}
    hooks = checked(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        webhooks=[{"clientConfig": {"caBundle": ""}}],
    )
    assert hooks["webhooks"][0]["clientConfig"] == {}, "bytes are left out whether they are a pointer or not"


def test_filled_values_are_not_shared() -> None:
    one, two = checked("v1", "Pod"), checked("v1", "Pod")
    one["metadata"]["name"] = "x"
    assert two["metadata"] == {}


def test_checking_twice_changes_nothing() -> None:
    once = checked("v1", "Pod", spec={"containers": [{"name": "c", "args": []}]})
    assert checked("v1", "Pod", **once) == once


@pytest.mark.parametrize("pattern", ["defaults-*.json"])
def test_recorded_objects_are_already_as_the_check_leaves_them(pattern: str) -> None:
    seen = 0
    for case in golden.cases(pattern):
        for step in case["steps"]:
            answer = step.get("answer")
            if not isinstance(answer, dict) or step["status"] >= 300 or answer.get("kind", "").endswith("List"):
                continue
            walker = Schema.load().walker(answer.get("apiVersion", ""), answer.get("kind", ""))
            if walker is None:
                continue
            # Times of leases and events have six digits of a second.
            text = re.sub(
                r'("(?:acquire|event|lastObserved|renew)Time": ")\$TIME', rf"\g<1>{SECOND}.000000Z", json.dumps(answer)
            )
            text = text.replace("$TIME", f"{SECOND}Z")
            text = re.sub(r'"\$PORT[0-9]+"', "30000", text)
            before, after = json.loads(text), json.loads(text)
            findings = walker.check(after)
            assert (findings.error, findings.unknown) == ("", ()), case["name"]
            found = golden.differences(after, before)
            assert [d for d in found if "Time" not in d] == [], case["name"]
            seen += 1
    assert seen > 300
