"""A pod's sandbox and containers as the runtime is asked for them: field by field, what a specification comes to."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from agent.containers.container_config import ContainerFacts, Hardware, container_config
from agent.containers.sandbox_config import SandboxFacts, sandbox_config
from agent.host.cgroups import pod_cgroup
from agent.host.dns import Resolver, plan_dns, plan_hostname
from tests.agent.harness import container, pod

HOST = Resolver(servers=("192.0.2.53",), searches=("example.test",))
GIB = 1 << 30


def plain(message: Any) -> dict[str, Any]:
    return dict(MessageToDict(message, preserving_proto_field_name=True))


def sandbox(**spec: Any) -> dict[str, Any]:
    made = pod(**spec)
    facts = SandboxFacts(
        dns=plan_dns(made, HOST, ("10.96.0.10",), "cluster.local").resolver,
        hostname=plan_hostname(made, "cluster.local").kernel,
        log_directory="/logs",
        cgroup_parent=pod_cgroup("/", made),
    )
    return plain(sandbox_config(made, facts))


def of_container(own: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = pod(containers=[container("c", **(own or {}))], **spec)
    body = made["spec"]["containers"][0]
    command, args = (tuple(body.get(part) or ()) for part in ("command", "args"))
    facts = ContainerFacts(image="sha256:1", attempt=2, command=command, args=args, hardware=Hardware(8 * GIB))
    return plain(container_config(made, body, facts))


def test_a_sandbox_carries_who_the_pod_is() -> None:
    found = sandbox()
    assert found["metadata"] == {"name": "p", "uid": "uid-p", "namespace": "default"}
    assert (found["hostname"], found["log_directory"]) == ("p", "/logs")
    assert found["labels"]["io.kubernetes.pod.uid"] == "uid-p"
    assert found["linux"]["cgroup_parent"] == "/kubepods/besteffort/poduid-p"
    assert found["dns_config"] == {
        "servers": ["10.96.0.10"],
        "searches": ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.test"],
        "options": ["ndots:5"],
    }


@pytest.mark.parametrize(
    ("spec", "dns"),
    [
        ({"dnsPolicy": "Default"}, {"servers": ["192.0.2.53"], "searches": ["example.test"]}),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}}, {"servers": ["192.0.2.1"]}),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, {"servers": ["192.0.2.53"], "searches": ["example.test"]}),
    ],
)
def test_who_answers_names_is_the_pods_choice(spec: dict[str, Any], dns: dict[str, Any]) -> None:
    assert sandbox(**spec)["dns_config"] == dns


def test_namespaces_are_the_nodes_where_the_pod_says_so() -> None:
    own = sandbox()["linux"]["security_context"]["namespace_options"]
    assert (own.get("network", "POD"), own.get("pid", "POD"), own.get("ipc", "POD")) == ("POD", "CONTAINER", "POD")
    shared = sandbox(hostNetwork=True, hostPID=True, hostIPC=True)["linux"]["security_context"]["namespace_options"]
    assert {shared["network"], shared["pid"], shared["ipc"]} == {"NODE"}
    together = sandbox(shareProcessNamespace=True)["linux"]["security_context"]["namespace_options"]
    assert together.get("pid", "POD") == "POD"


def test_ports_of_the_host_are_asked_for_with_the_sandbox() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1", "protocol": "UDP"}, {"containerPort": 81}]
    first, second = sandbox(containers=[container("c", ports=ports)])["port_mappings"]
    assert first == {"protocol": "UDP", "container_port": 80, "host_port": 8080, "host_ip": "127.0.0.1"}
    assert second == {"container_port": 81}


def test_a_container_runs_what_it_says_under_its_own_name() -> None:
    found = of_container({"command": ["sh", "-c"], "args": ["true"], "workingDir": "/w", "stdin": True, "tty": True})
    assert found["metadata"] == {"name": "c", "attempt": 2}
    assert (found["command"], found["args"], found["working_dir"]) == (["sh", "-c"], ["true"], "/w")
    assert found["stdin"] and found["tty"]
    assert found["image"] == {"image": "sha256:1", "user_specified_image": "busybox:run"}
    assert found["log_path"] == "c/2.log"
    assert found["labels"]["io.kubernetes.container.name"] == "c"
    assert found["annotations"]["io.kubernetes.container.restartCount"] == "2"


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({}, {"cpu_shares": "2", "oom_score_adj": "1000"}),
        ({"requests": {"cpu": "500m"}}, {"cpu_shares": "512", "oom_score_adj": "999"}),
        (
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
            {
                "cpu_shares": "1024",
                "cpu_quota": "200000",
                "cpu_period": "100000",
                "memory_limit_in_bytes": str(4 * GIB),
                "oom_score_adj": "750",
            },
        ),
        (
            {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            {
                "cpu_shares": "1024",
                "cpu_quota": "100000",
                "cpu_period": "100000",
                "memory_limit_in_bytes": str(GIB),
                "oom_score_adj": "-997",
            },
        ),
    ],
)
def test_resources_become_weights_and_limits(resources: dict[str, Any], told: dict[str, str]) -> None:
    found = of_container({"resources": resources})["linux"]["resources"]
    assert {key: found[key] for key in told} == told
    limits = {"cpu_quota", "memory_limit_in_bytes"}
    assert limits & found.keys() == limits & told.keys()


def test_a_containers_own_security_goes_before_the_pods() -> None:
    context = {"runAsUser": 7, "readOnlyRootFilesystem": True, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}
    pods = {"runAsUser": 5, "runAsGroup": 6, "supplementalGroups": [9], "fsGroup": 8}
    found = of_container({"securityContext": context}, securityContext=pods)["linux"]["security_context"]
    assert (found["run_as_user"], found["run_as_group"]) == ({"value": "7"}, {"value": "6"})
    assert found["readonly_rootfs"] and not found.get("privileged")
    assert found["capabilities"] == {"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["ALL"]}
    assert sorted(found["supplemental_groups"]) == ["8", "9"]
    assert "/proc/kcore" in found["masked_paths"] and "/proc/sys" in found["readonly_paths"]


def test_an_unmasked_proc_hides_nothing() -> None:
    context = {"privileged": True, "procMount": "Unmasked"}
    found = of_container({"securityContext": context})["linux"]["security_context"]
    assert found["privileged"] and "masked_paths" not in found and "readonly_paths" not in found
