"""An unmodified kubectl does its everyday work, with every kubectl this machine has."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator

import pytest

from tests.cluster.lab import Lab, web
from tests.controlplane.apiserver.custom.definitions import GROUP, boat, definition, version
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def kubectls() -> list[str]:
    return ["environment", *(["system"] if shutil.which("kubectl") else [])]


@pytest.fixture(params=kubectls())
def client(request: pytest.FixtureRequest, clean: Lab) -> Iterator[Lab]:
    if request.param == "system":
        yield dataclasses.replace(clean, kubectl_path=shutil.which("kubectl") or "kubectl")
    else:
        yield clean


def test_everyday_verbs(client: Lab) -> None:
    lab = client
    nodes = lab.kubectl("get", "nodes", "-o", "wide")
    assert nodes.splitlines()[0].split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert nodes.count(" Ready ") == 3
    lab.apply(*web("verbs", 1))
    lab.kubectl("wait", "--for=condition=Available", "deployment/verbs", "--timeout=120s")
    (pod,) = lab.running("app=verbs")
    name = pod["metadata"]["name"]
    described = lab.kubectl("describe", "pod", name)
    assert "Successfully assigned" in described
    assert "Started container httpd" in described or "Container started" in described
    assert "FIELDS" in lab.kubectl("explain", "deployment.spec.strategy")
    assert "deployments" in lab.kubectl("api-resources")
    lab.kubectl("label", "pod", name, "tested=yes")
    lab.kubectl("annotate", "pod", name, "why=because")
    assert lab.get("pods", label="tested=yes")["items"][0]["metadata"]["annotations"]["why"] == "because"
    assert lab.kubectl("auth", "can-i", "delete", "pods").strip() == "yes"
    lab.kubectl("delete", "deployment/verbs", "service/verbs")
    lab.kubectl("wait", "--for=delete", f"pod/{name}", "--timeout=120s")


def test_exec_and_logs_carry_bytes_and_exit_codes(client: Lab) -> None:
    lab = client
    script = "echo one; echo two >&2; sleep 3600"
    lab.apply(pod_named("streams", ["sh", "-c", script]))
    lab.kubectl("wait", "--for=condition=Ready", "pod/streams", "--timeout=120s")
    assert sorted(lab.kubectl("logs", "streams").split()) == ["one", "two"]
    assert lab.kubectl("logs", "streams", "--tail=1").count("\n") == 1
    assert lab.kubectl("exec", "streams", "--", "cat", "/proc/sys/net/ipv4/ip_forward").strip() in ("0", "1")
    echoed = lab.kubectl("exec", "-i", "streams", "--", "cat", text="x" * 100_000)
    assert len(echoed) == 100_000
    import subprocess

    argv = [lab.kubectl_path, "--kubeconfig", lab.kubeconfig, "exec", "streams", "--", "sh", "-c", "exit 7"]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 7


def test_apply_is_declarative(client: Lab) -> None:
    lab = client
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1", "b": "2"}}
    lab.apply(config)
    config["data"] = {"a": "1", "c": "3"}
    lab.apply(config)
    assert lab.get("configmap", "applied")["data"] == {"a": "1", "c": "3"}
    lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(config))
    broken = lab.kubectl(
        "apply", "-f", "-", text="apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n", check=False
    )
    assert broken == ""


def test_configmaps_secrets_and_tokens_reach_the_container(client: Lab) -> None:
    lab = client
    lab.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "green"}},
        pod_named(
            "fed",
            ["sh", "-c", "echo $COLOUR $NODE; cat /etc/settings/colour; echo; sleep 3600"],
            env=[
                {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            mounts=[{"name": "settings", "mountPath": "/etc/settings"}],
            volumes=[{"name": "settings", "configMap": {"name": "settings"}}],
        ),
    )
    lab.kubectl("wait", "--for=condition=Ready", "pod/fed", "--timeout=120s")
    assert lab.kubectl("logs", "fed").split()[::2] == ["green", "green"]
    token = lab.kubectl("exec", "fed", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert token.count(".") == 2


def test_a_crashing_container_is_restarted_with_back_off(client: Lab) -> None:
    lab = client
    lab.apply(pod_named("crash", ["sh", "-c", "exit 3"]))

    def crashed_twice() -> bool:
        status = lab.get("pod", "crash")["status"]
        (container,) = status.get("containerStatuses") or [{}]
        last = container.get("lastState", {}).get("terminated", {})
        return container.get("restartCount", 0) >= 1 and last.get("exitCode") == 3

    eventually(crashed_twice, what="the container was restarted")
    eventually(lambda: "CrashLoopBackOff" in lab.kubectl("get", "pod", "crash"), what="back-off is shown")


def pod_named(
    name: str, command: list[str], *, env: object = None, mounts: object = None, volumes: object = None
) -> dict[str, object]:
    container: dict[str, object] = {"name": "main", "image": "wherry.local/busybox:1", "command": command}
    container |= {key: value for key, value in (("env", env), ("volumeMounts", mounts)) if value}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **({"volumes": volumes} if volumes else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_custom_resource_is_as_good_as_any(clean: Lab) -> None:
    lab = clean
    name = f"boats.{GROUP}"
    columns = [{"name": "Sail", "type": "string", "jsonPath": ".spec.sail"}]
    lab.apply(definition(version(additionalPrinterColumns=columns)))
    lab.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
    assert "Boat" in lab.kubectl("api-resources", f"--api-group={GROUP}")
    lab.apply(boat("a"), boat("b", sail="lug"))
    shown = lab.kubectl("get", "bt").splitlines()
    assert [line.split()[:2] for line in shown] == [["NAME", "SAIL"], ["a", "gaff"], ["b", "lug"]]
    assert "boat.sea.example.com/a" in lab.kubectl("get", "all")
    assert "crew\t<integer>" in lab.kubectl("explain", "boats.spec")
    lab.kubectl("scale", "--replicas=3", "boat/a")
    lab.kubectl("patch", "boat", "a", "--type=merge", "-p", '{"spec":{"sail":"square"}}')
    lab.kubectl("wait", "--for=jsonpath={.spec.sail}=square", "boat/a", "--timeout=60s")
    stored = json.loads(lab.kubectl("get", "boat", "a", "-o", "json"))
    assert stored["spec"] == {"sail": "square", "crew": 3, "replicas": 3}
    described = lab.kubectl("describe", "boat", "a")
    assert "Sail:" in described and "Crew:" in described
    lab.kubectl("delete", "crd", name, "--timeout=60s")
    assert name not in lab.kubectl("get", "crd", "-o", "name")
