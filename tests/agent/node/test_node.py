"""Node status, registration, lease: pure parts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cri.model import ImageInfo, RuntimeHandler, RuntimeInfo
from agent.node.facts import MachineFacts, page_size_name, parse_meminfo, parse_os_release, read_facts
from agent.node.lease import renewed
from agent.node.registration import (
    TaintError,
    initial_node,
    parse_taint,
    reconcile,
    same_but_heartbeat,
    status_patch,
)
from agent.node.setters import SETTERS, Observation, not_ready_reasons
from agent.objects.tokens import renewal_time, token_request
from apimachinery import timestamps

FACTS = MachineFacts(cpus=2, memory=4 << 30, disk=100 << 30, huge_pages={"2Mi": 0}, architecture="amd64")
RUNTIME = RuntimeInfo("containerd", "1.6.20", True, True, "")
SEEN = Observation(now="2026-01-01T00:00:00Z", facts=FACTS, runtime=RUNTIME, addresses=("10.0.0.1",), node_name="n1")


def status(seen: Observation, old: dict[str, Any] | None = None) -> dict[str, Any]:
    new = dict(old or {})
    new["conditions"] = [dict(c) for c in new.get("conditions", [])]
    for setter in SETTERS:
        setter(new, seen)
    return new


def condition(of: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(dict(c) for c in of["conditions"] if c["type"] == kind)


def test_a_healthy_node() -> None:
    new = status(SEEN)
    assert new["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "Hostname", "address": "n1"},
    ]
    assert new["capacity"] == {
        "cpu": "2",
        "memory": "4194304Ki",
        "pods": "110",
        "ephemeral-storage": "104857600Ki",
        "hugepages-2Mi": "0",
    }
    assert new["allocatable"]["memory"] == f"{(4096 - 100) * 1024}Ki"
    assert new["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6.20"
    assert new["nodeInfo"]["kubeletVersion"] == "v1.36.2+wherry"
    assert new["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert [(c["type"], c["status"], c["reason"]) for c in new["conditions"]] == [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    assert condition(new, "Ready")["message"] == "kubelet is posting ready status"


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (replace(SEEN, runtime=None), "container runtime is down"),
        (
            replace(SEEN, runtime=replace(RUNTIME, network_ready=False, message="NetworkReady=false reason:X")),
            "container runtime network not ready: NetworkReady=false reason:X",
        ),
        (replace(SEEN, unhealthy="PLEG is not healthy"), "PLEG is not healthy"),
    ],
)
def test_not_ready_says_why(seen: Observation, message: str) -> None:
    ready = condition(status(seen), "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "KubeletNotReady", message)
    assert not_ready_reasons(seen)


def test_a_transition_moves_its_time_and_a_heartbeat_does_not() -> None:
    first = status(SEEN)
    later = status(replace(SEEN, now="2026-01-01T00:00:10Z"), first)
    assert condition(later, "Ready")["lastTransitionTime"] == SEEN.now
    assert condition(later, "Ready")["lastHeartbeatTime"] == "2026-01-01T00:00:10Z"
    assert same_but_heartbeat(first, later)
    down = status(replace(SEEN, now="2026-01-01T00:00:20Z", runtime=None), later)
    assert condition(down, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:20Z"
    assert not same_but_heartbeat(later, down)
    assert down["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6.20"


def test_conditions_of_others_survive() -> None:
    foreign = {"type": "NetworkUnavailable", "status": "False"}
    assert condition(status(SEEN, {"conditions": [foreign]}), "NetworkUnavailable") == foreign


def test_what_others_announce_stays_and_is_allocatable() -> None:
    first = status(SEEN)
    first["capacity"] |= {"example.com/foo": "3", "hugepages-1Gi": "5"}
    first["allocatable"] |= {"example.com/gone": "1", "hugepages-1Gi": "5", "attachable-volumes-x": "25"}
    first["addresses"].append({"type": "ExternalIP", "address": "192.0.2.1"})
    first |= {"volumesInUse": ["v"], "volumesAttached": [{"name": "v"}], "config": {"error": "e"}, "phase": "Running"}
    new = status(replace(SEEN, now="2026-01-01T00:00:10Z"), first)
    assert new["capacity"]["example.com/foo"] == new["allocatable"]["example.com/foo"] == "3"
    # Its capacity was taken away, so is what could be allocated of it; page sizes are the kernel's to say.
    assert "example.com/gone" not in new["allocatable"]
    assert "hugepages-1Gi" not in {**new["capacity"], **new["allocatable"]}
    assert new["allocatable"]["attachable-volumes-x"] == "25"
    assert new["addresses"][-1] == {"type": "ExternalIP", "address": "192.0.2.1"}
    for key in ("volumesInUse", "volumesAttached", "config", "phase"):
        assert new[key] == first[key]
    assert new["capacity"]["cpu"] == "2"
    patch = status_patch(first, new)["status"]
    assert patch["capacity"] == {**new["capacity"], "hugepages-1Gi": None}
    assert not {"volumesInUse", "volumesAttached", "config", "phase"} & set(patch)


def test_a_machine_without_swap_says_nothing_of_it() -> None:
    assert "swap" not in status(SEEN)["nodeInfo"]
    swapping = status(replace(SEEN, facts=replace(FACTS, swap=1024)))
    assert swapping["nodeInfo"]["swap"] == {"capacity": 1024}
    assert "swap" not in status(SEEN, swapping)["nodeInfo"]


def test_features_are_what_agent_and_runtime_say() -> None:
    plain = status(SEEN)
    assert plain["declaredFeatures"] == sorted(plain["declaredFeatures"])
    assert "features" not in plain and "runtimeHandlers" not in plain
    handlers = (RuntimeHandler("", True, False), RuntimeHandler("runc", True, True))
    told = status(replace(SEEN, runtime=replace(RUNTIME, handlers=handlers, strict_groups=False)))
    assert told["features"] == {"supplementalGroupsPolicy": False}
    assert told["runtimeHandlers"][1] == {
        "name": "runc",
        "features": {"recursiveReadOnlyMounts": True, "userNamespaces": True},
    }
    assert status(replace(SEEN, runtime=None), told)["runtimeHandlers"] == told["runtimeHandlers"]


def test_images_are_the_largest_fifty_with_five_names() -> None:
    images = tuple(ImageInfo(tuple(f"i{n}:{t}" for t in range(7)), n) for n in range(60))
    found = status(replace(SEEN, images=images))["images"]
    assert len(found) == 50
    assert found[0]["sizeBytes"] == 59
    assert len(found[0]["names"]) == 5


def test_status_patch_names_only_what_changed_and_removes_capacities() -> None:
    old = {"capacity": {"cpu": "1", "x.io/gpu": "2"}, "images": [], "volumesAttached": [{}]}
    new = {"capacity": {"cpu": "2"}, "images": []}
    assert status_patch(old, new) == {"status": {"capacity": {"cpu": "2", "x.io/gpu": None}}}


def test_registration_of_a_new_and_a_known_node() -> None:
    wanted = initial_node("n1", "amd64", {"zone": "a"}, ("k=v:NoSchedule", "only:NoExecute"), "p://1", {})
    assert wanted["metadata"]["labels"] == {
        "kubernetes.io/hostname": "n1",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "zone": "a",
    }
    assert wanted["spec"]["taints"] == [
        {"key": "k", "value": "v", "effect": "NoSchedule"},
        {"key": "only", "effect": "NoExecute"},
    ]
    assert reconcile(wanted, wanted) is None
    changed = {"mine": "1", "zone": "b", "kubernetes.io/hostname": "other"}
    known = {"metadata": {"labels": {**wanted["metadata"]["labels"], **changed}}, "spec": {}}
    patch = reconcile(known, wanted)
    assert patch is not None
    # Whoever moved the node to zone b is right; its host name is the agent's to say.
    assert patch["metadata"]["labels"] == {"kubernetes.io/hostname": "n1"}
    assert patch["spec"] == {"providerID": "p://1"}


@pytest.mark.parametrize("text", ["", "k", "k=v", ":NoSchedule", "k=v:Never"])
def test_a_broken_taint_is_refused(text: str) -> None:
    with pytest.raises(TaintError):
        parse_taint(text)


def test_a_lease_is_made_for_the_node_and_renewed() -> None:
    node = {"metadata": {"name": "n1", "uid": "u"}}
    lease = renewed(None, "n1", node, 40, "t1")
    assert lease["spec"] == {"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": "t1"}
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "u"
    again = renewed({**lease, "metadata": {**lease["metadata"], "resourceVersion": "7"}}, "n1", node, 40, "t2")
    assert again["metadata"]["resourceVersion"] == "7"
    assert again["spec"]["renewTime"] == "t2"


def test_a_lease_keeps_its_other_owners_and_its_own_fields() -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"}
    stale = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "before"}
    meta = {"labels": {"a": "b"}, "ownerReferences": [stale, other], "finalizers": ["x/y"]}
    held = {"metadata": meta, "spec": {"leaseTransitions": 3, "strategy": "OldestEmulationVersion"}}
    lease = renewed(held, "n1", {"metadata": {"name": "n1", "uid": "u"}}, 40, "t1")
    assert lease["metadata"]["ownerReferences"] == [{**stale, "uid": "u"}, other]
    assert lease["metadata"]["finalizers"] == ["x/y"] and lease["metadata"]["labels"] == {"a": "b"}
    assert lease["spec"]["leaseTransitions"] == 3


def test_tokens_are_renewed_at_four_fifths_of_their_life_or_after_a_day() -> None:
    issued = timestamps.parse_time("2026-01-01T00:00:00Z")
    assert renewal_time(issued, issued + timedelta(hours=1)) == issued + timedelta(minutes=48)
    assert renewal_time(issued, issued + timedelta(days=10)) == issued + timedelta(days=1)
    assert renewal_time(issued, issued) == issued
    spec = token_request({"metadata": {"name": "p", "uid": "u"}}, "", 3607)["spec"]
    assert spec["audiences"] == []
    assert spec["boundObjectRef"]["uid"] == "u"


def test_machine_facts(tmp_path: Path) -> None:
    assert parse_meminfo("MemTotal:  10 kB\nHugePages_Total: 3\nbad\n") == {
        "MemTotal": 10240,
        "HugePages_Total": 3,
    }
    assert parse_os_release('NAME=x\nPRETTY_NAME="Debian 12"\n') == "Debian 12"
    assert [page_size_name(k) for k in (64, 2048, 1048576)] == ["64Ki", "2Mi", "1Gi"]
    facts = read_facts(tmp_path)
    assert facts.cpus > 0
    assert facts.memory > 0
    assert facts.disk > 0
    assert facts.boot_id
