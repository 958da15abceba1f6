"""What the node refuses, in upstream's words, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from agent.admission import sysctls
from agent.admission.chain import decide
from agent.admission.model import Decision, Held, NodeFacts

SAFE = sysctls.allowed("6.1.0", ())
NODE: dict[str, Any] = {
    "metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "disk": "ssd"}},
    "spec": {},
    "status": {
        "allocatable": {
            "cpu": "2",
            "memory": "1Gi",
            "ephemeral-storage": "10Gi",
            "pods": "3",
            "hugepages-2Mi": "4Mi",
            "example.com/foo": "2",
            "example.com/none": "0",
        }
    },
}


def pod(name: str = "p", requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": requests or {}}}
    meta = {"name": name, "namespace": "default", "uid": name}
    return {"metadata": meta, "spec": {"nodeName": "n", "containers": [container], **spec}}


def port(number: int, **more: Any) -> dict[str, Any]:
    ports = [{"containerPort": number, "hostPort": number, **more}]
    return {"containers": [{"name": "c", "ports": ports}]}


def security(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


def affinity(**term: Any) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def judged(candidate: dict[str, Any], *others: dict[str, Any], **facts: Any) -> Decision:
    held = tuple(Held.of(other) for other in others)
    return decide(candidate, NodeFacts(facts.pop("node", NODE), held, **{"sysctls": SAFE, **facts}))


def refused(candidate: dict[str, Any], *others: dict[str, Any], **facts: Any) -> tuple[str, str]:
    refusal = judged(candidate, *others, **facts).refusal
    return (refusal.reason, refusal.message) if refusal else ("", "")


def short(resource: str, requested: int, used: int, capacity: int) -> tuple[str, str]:
    figures = f"requested: {requested}, used: {used}, capacity: {capacity}"
    return f"OutOf{resource}", f"Node didn't have enough resource: {resource}, {figures}"


BUSY = pod("busy", {"cpu": "1500m", "memory": "512Mi", "example.com/foo": "1"})
INIT = {"name": "i", "resources": {"requests": {"cpu": "3"}}}
SIDECAR = {**INIT, "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (pod(), ("", "")),
        (pod(requests={"cpu": "1000"}), short("cpu", 1_000_000, 1500, 2000)),
        (pod(requests={"cpu": "501m"}), short("cpu", 501, 1500, 2000)),
        (pod(requests={"cpu": "500m", "memory": "512Mi", "example.com/foo": "1"}), ("", "")),
        (pod(requests={"memory": "513Mi"}), short("memory", 513 << 20, 512 << 20, 1 << 30)),
        (pod(requests={"ephemeral-storage": "11Gi"}), short("ephemeral-storage", 11 << 30, 0, 10 << 30)),
        (pod(requests={"hugepages-2Mi": "6Mi"}), short("hugepages-2Mi", 6 << 20, 0, 4 << 20)),
        (pod(requests={"hugepages-1Gi": "1Gi"}), short("hugepages-1Gi", 1 << 30, 0, 0)),
        (pod(requests={"example.com/foo": "2"}), short("example.com/foo", 2, 1, 2)),
        (pod(requests={"example.com/none": "1"}), short("example.com/none", 1, 0, 0)),
        # Counted for the whole cluster, as nodes that never heard of it must allow for.
        (pod(requests={"example.com/unknown": "7"}), ("", "")),
        (pod(initContainers=[INIT]), short("cpu", 3000, 1500, 2000)),
        (pod(initContainers=[SIDECAR]), short("cpu", 1000, 1500, 2000)),
        (pod(overhead={"cpu": "600m"}), short("cpu", 600, 1500, 2000)),
        (pod(requests={"cpu": "1m"}, resources={"requests": {"cpu": "700m"}}), short("cpu", 700, 1500, 2000)),
        # The first of several, in upstream's order.
        (pod(requests={"memory": "9Gi", "cpu": "9"}, nodeSelector={"a": "b"}), short("cpu", 9000, 1500, 2000)),
    ],
)
def test_room(candidate: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refused(candidate, BUSY) == expected


def test_no_more_pods_than_the_node_takes() -> None:
    assert refused(pod(), pod("a"), pod("b"), pod("c")) == short("pods", 1, 3, 3)
    assert refused(pod(), pod("a"), pod("b")) == ("", "")


def failed(predicate: str, why: str) -> tuple[str, str]:
    return predicate, f"Predicate {predicate} failed: {why}"


AFFINITY = failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
PORTS = failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (pod(nodeSelector={"disk": "ssd"}), ("", "")),
        (pod(nodeSelector={"kubernetes.io/arch": "arm64"}), AFFINITY),
        (pod(**affinity(matchExpressions=[expression("disk", "In", "ssd")])), ("", "")),
        (pod(**affinity(matchExpressions=[expression("disk", "NotIn", "ssd")])), AFFINITY),
        (pod(**affinity(matchFields=[expression("metadata.name", "In", "other")])), AFFINITY),
        (pod(nodeName="other"), failed("NodeName", "node(s) didn't match the requested node name")),
        (pod(**port(80)), PORTS),
        (pod(**port(80, protocol="UDP")), ("", "")),
        (pod(**port(80, hostIP="127.0.0.1")), PORTS),
        (pod(**port(81)), ("", "")),
        (pod(**security(supplementalGroupsPolicy="Merge")), ("", "")),
        (
            pod(**security(supplementalGroupsPolicy="Strict")),
            (
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node",
            ),
        ),
        (
            pod(os={"name": "windows"}),
            ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
        ),
        (pod(os={"name": "linux"}), ("", "")),
        (
            {**pod(), "metadata": {"name": "p", "uid": "p", "labels": {"kubernetes.io/os": "windows"}}},
            (
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            ),
        ),
        (
            pod(hostNetwork=True, hostUsers=False),
            (
                "PodFeatureUnsupported",
                "Pod requires node features that are not available: UserNamespacesHostNetworkSupport",
            ),
        ),
    ],
)
def test_placement(candidate: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refused(candidate, pod("taken", **port(80))) == expected


def test_a_sidecars_host_port_is_taken_and_an_init_containers_is_not() -> None:
    ports = port(80)["containers"]
    sidecar = pod("other", initContainers=[{**ports[0], "name": "s", "restartPolicy": "Always"}])
    assert refused(pod(**port(80)), sidecar) == PORTS
    assert refused(pod(**port(80)), pod("other", initContainers=ports)) == ("", "")


def test_a_node_that_knows_strict_groups_takes_them() -> None:
    able = {**NODE, "status": {**NODE["status"], "features": {"supplementalGroupsPolicy": True}}}
    assert refused(pod(**security(supplementalGroupsPolicy="Strict")), node=able) == ("", "")


@pytest.mark.parametrize(("effect", "taken"), [("NoExecute", True), ("NoSchedule", False), ("PreferNoSchedule", False)])
def test_only_what_evicts_is_refused_and_never_a_static_pod(effect: str, taken: bool) -> None:
    tainted = {**NODE, "spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}}
    expected = failed("TaintToleration", "node(s) had taints that the pod didn't tolerate") if taken else ("", "")
    assert refused(pod(), node=tainted) == expected
    assert refused(pod(tolerations=[{"key": "k", "operator": "Exists"}]), node=tainted) == ("", "")
    assert refused(static(pod()), node=tainted) == ("", "")


def static(made: dict[str, Any]) -> dict[str, Any]:
    meta = {**made["metadata"], "annotations": {"kubernetes.io/config.source": "file"}}
    return {**made, "metadata": meta}


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("net.ipv4.tcp_syncookies", {}, ""),
        ("net/ipv4/tcp_syncookies", {}, ""),
        ("kernel.shm_rmid_forced", {}, ""),
        ("kernel.msgmax", {}, '"kernel.msgmax" not allowlisted'),
        ("kernel/msgmax", {}, '"kernel.msgmax" not allowlisted'),
        ("net.core.somaxconn", {}, '"net.core.somaxconn" not allowlisted'),
        ("net.ipv4.route.gc", {}, ""),
        ("net.ipv4.routes", {}, '"net.ipv4.routes" not allowlisted'),
        ("fs.mqueue.msg_max", {}, ""),
        (
            "net.ipv4.tcp_syncookies",
            {"hostNetwork": True},
            '"net.ipv4.tcp_syncookies" not allowed with host Net enabled',
        ),
        ("fs.mqueue.msg_max", {"hostIPC": True}, '"fs.mqueue.msg_max" not allowed with host IPC enabled'),
        ("net.ipv4.tcp_syncookies", {"hostIPC": True}, ""),
    ],
)
def test_sysctls(name: str, spec: dict[str, Any], message: str) -> None:
    candidate = pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)
    allowed = sysctls.allowed("6.1.0-18-amd64", ("net.ipv4.route.*", "fs/mqueue/msg_max"))
    expected = ("SysctlForbidden", f"forbidden sysctl: {message}") if message else ("", "")
    assert refused(candidate, sysctls=allowed) == expected


def test_what_an_old_kernel_keeps_only_once_is_not_safe() -> None:
    assert "net.ipv4.tcp_rmem" not in sysctls.allowed("4.14.0", ())
    assert "net.ipv4.tcp_rmem" in sysctls.allowed("4.15.0-rc1", ())
    assert "net.ipv4.tcp_keepalive_time" not in sysctls.allowed("strange", ())


@pytest.mark.parametrize("pattern", ["vm.swappiness", "kernel.*", "net..x", "Net.core", "net.*.x", "", "net.core.*x"])
def test_a_setting_that_is_no_namespaced_sysctl_is_refused(pattern: str) -> None:
    with pytest.raises(sysctls.SysctlPatternError, match="allowed_unsafe_sysctls"):
        sysctls.allowed("6.1.0", (pattern,))


NO_APPARMOR = "AppArmor is not enabled on the host"
PREFIX = "container.apparmor.security.beta.kubernetes.io/"


@pytest.mark.parametrize(
    ("candidate", "needs"),
    [
        (pod(), False),
        (pod(**security(appArmorProfile={"type": "Unconfined"})), False),
        (pod(**security(appArmorProfile={"type": "RuntimeDefault"})), True),
        (pod(ephemeralContainers=[{"name": "e", **security(appArmorProfile={"type": "RuntimeDefault"})}]), True),
        ({**pod(), "metadata": {"name": "p", "uid": "p", "annotations": {PREFIX + "c": "runtime/default"}}}, True),
        ({**pod(), "metadata": {"name": "p", "uid": "p", "annotations": {PREFIX + "c": "unconfined"}}}, False),
    ],
)
def test_profiles_need_a_kernel_that_enforces_them(candidate: dict[str, Any], needs: bool) -> None:
    expected = ("AppArmor", f"Cannot enforce AppArmor: {NO_APPARMOR}") if needs else ("", "")
    assert refused(candidate, apparmor_missing=NO_APPARMOR) == expected
    assert refused(candidate) == ("", "")


def test_a_critical_pod_is_not_refused_for_want_of_room() -> None:
    critical = pod("critical", {"cpu": "1500m"}, priority=2_000_000_000)
    small, large = pod("small", {"cpu": "1000m"}), pod("large", {"cpu": "1000m", "memory": "1Mi"})
    both = judged(critical, small, large)
    assert both.refusal is None
    assert set(both.victims) == {"small", "large"}
    # One is enough: that which asks for less memory.
    assert judged(pod("critical", {"cpu": "600m"}, priority=2_000_000_000), small, large).victims == ("small",)
    assert judged(static(pod("critical", {"cpu": "600m"})), small, large).victims == ("small",)
    # What no victim mends is said instead.
    assert refused(pod("critical", {"cpu": "600m"}, priority=2_000_000_000, nodeSelector={"a": "b"}), small, large) == (
        AFFINITY
    )


def test_critical_pods_are_not_preempted_by_their_likes() -> None:
    held = [pod(n, {"cpu": "1"}, priority=2_000_000_000) for n in ("a", "b")]
    expected = (
        "UnexpectedAdmissionError",
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of "
        "pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]",
    )
    assert refused(pod("critical", {"cpu": "1"}, priority=2_000_000_000), *held) == expected
    assert judged(pod("critical", {"cpu": "1"}, priority=2_000_001_000), *held).victims == ("a",)


def test_the_least_important_go_first() -> None:
    def guaranteed(name: str) -> dict[str, Any]:
        amounts = {"cpu": "1", "memory": "1Mi"}
        made = pod(name, amounts)
        made["spec"]["containers"][0]["resources"]["limits"] = amounts
        return made

    critical = pod("critical", {"cpu": "500m"}, priority=2_000_000_000)
    assert judged(critical, guaranteed("g"), pod("burstable", {"cpu": "1"})).victims == ("burstable",)
    full = (pod("a"), pod("b", {"cpu": "1m"}), guaranteed("g"))
    assert judged(static(pod("critical")), *full).victims == ("a",)
