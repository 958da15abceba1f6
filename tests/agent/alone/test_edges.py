"""Environment, volumes, logs and streams of static pods on a real containerd."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from apimachinery import pki
from apimachinery.kit import mounts
from tests.agent.alone.rig import IMAGE, AgentProcess, Containerd
from tests.waiting import eventually

pytestmark = pytest.mark.node


class Api:
    """The agent's HTTPS API as the API server uses it."""

    def __init__(self, agent: AgentProcess) -> None:
        self.agent = agent
        self.directory = agent.containerd.base / "client"

    def certificates(self) -> dict[str, str]:
        """Made before the agent starts; the settings that name them."""
        self.directory.mkdir(exist_ok=True)
        authority = pki.new_ca("test")
        serving = pki.issue(authority, "node1", ips=("127.0.0.1",), server=True)
        client = pki.issue(authority, "kube-apiserver-kubelet-client", client=True)
        files = {
            "ca.crt": authority.cert_pem,
            "serving.crt": serving.cert_pem,
            "serving.key": serving.key_pem,
            "client.pem": client.cert_pem + client.key_pem,
        }
        for name, data in files.items():
            (self.directory / name).write_bytes(data)
        at = {"client_ca_file": "ca.crt", "tls_cert_file": "serving.crt", "tls_key_file": "serving.key"}
        return {field: str(self.directory / name) for field, name in at.items()}

    def call(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.agent.alone.stream_client", str(self.directory), *words]
        netns = f"--net=/run/netns/{self.agent.containerd.netns}"
        done = subprocess.run(
            ["nsenter", netns, *command], capture_output=True, text=True, timeout=90, cwd=Path(__file__).parents[3]
        )
        assert done.returncode == 0, done.stderr + self.agent.log.read_text()[-3000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def execute(self, pod: str, *command: str, stdin: str | None = None) -> dict[str, Any]:
        query = [("command", word) for word in command] + [("output", "1"), ("error", "1")]
        query += [("input", "1")] if stdin is not None else []
        path = f"/exec/default/{pod}-node1/c?{urlencode(query)}"
        return self.call("exec", path, *([stdin] if stdin is not None else []))

    def get(self, path: str) -> str:
        answer = self.call("get", path)
        assert answer["status"] == 200, answer
        return str(answer["body"])


LOG_BYTES = 4096


@pytest.fixture
def api(containerd: Containerd) -> Iterator[Api]:
    agent = AgentProcess(containerd)
    client = Api(agent)
    file = containerd.base / "agent.yaml"
    small = {"container_log_max_bytes": LOG_BYTES, "container_log_max_files": 3}
    file.write_text(json.dumps({**json.loads(file.read_text()), **client.certificates(), **small}))
    agent.start()
    try:
        yield client
    finally:
        try:
            agent.clear()
        finally:
            agent.stop()


def spec(script: str, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": IMAGE, "command": ["/bin/sh", "-c", script]}
    volumes = more.pop("volumes", [])
    return {
        "containers": [{**container, **more}],
        "volumes": volumes,
        "terminationGracePeriodSeconds": 1,
        "enableServiceLinks": True,
    }


def test_environment_and_volumes_reach_the_container_and_leave_nothing(api: Api) -> None:
    agent = api.agent
    agent.apply(
        "full",
        {
            **spec(
                "exec sleep 1000",
                env=[
                    {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "BOTH", "value": "$(NAME)/$(UNKNOWN)"},
                    {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                ],
                resources={"limits": {"memory": "64Mi"}},
                volumeMounts=[
                    {"name": "mem", "mountPath": "/mem"},
                    {"name": "disk", "mountPath": "/part", "subPathExpr": "$(NAME)/deep"},
                    {"name": "down", "mountPath": "/down"},
                ],
                volumes=[
                    {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                    {"name": "disk", "emptyDir": {}},
                    {
                        "name": "down",
                        "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
                    },
                ],
            ),
            "securityContext": {"fsGroup": 4321},
        },
        labels={"app": "x"},
    )
    agent.running("full", "c")
    script = "echo $NAME $BOTH $MEM; cat /down/l; echo; id; echo data > /part/file; touch /down/no || echo refused"
    seen = api.execute("full", "sh", "-c", script)
    lines = seen["stdout"].splitlines()
    assert lines[0] == "full-node1 full-node1/$(UNKNOWN) 64"
    assert lines[1] == 'app="x"'
    assert "4321" in lines[2]
    assert lines[3] == "refused"
    (file,) = agent.root.glob("pods/*/volumes/kubernetes.io~empty-dir/disk/full-node1/deep/file")
    assert (file.read_text(), file.stat().st_gid) == ("data\n", 4321)
    full = api.execute("full", "sh", "-c", "cat /dev/zero > /mem/x")
    assert "No space left" in full["stderr"]
    agent.kill()
    agent.start()
    assert api_answers(api)
    agent.remove("full")
    eventually(lambda: not list(agent.root.glob("pods/*")), what="the pod's directory is gone")
    assert mounts.mount_points(agent.root.resolve()) == []


def api_answers(api: Api) -> bool:
    """Whether the restarted agent serves again."""

    def check() -> bool:
        try:
            return api.get("/healthz") == "ok"
        except AssertionError:
            return False

    return bool(eventually(check, what="the API answers"))


def test_exec_ends_its_input_and_returns_the_exit_code(api: Api) -> None:
    api.agent.apply("shell", spec("exec sleep 1000"))
    api.agent.running("shell", "c")
    seen = api.execute("shell", "sh", "-c", "cat; echo bad >&2; exit 7", stdin="through\n")
    assert (seen["stdout"], seen["stderr"]) == ("through\n", "bad\n")
    assert seen["error"]["reason"] == "NonZeroExitCode"
    assert seen["error"]["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    assert api.execute("shell", "true")["error"]["status"] == "Success"
    pods = json.loads(api.get("/runningpods"))
    assert [pod["metadata"]["name"] for pod in pods["items"]] == ["shell-node1"]
    figures = json.loads(api.get("/stats/summary"))
    (pod,) = figures["pods"]
    assert pod["containers"][0]["memory"]["workingSetBytes"] > 0


def test_logs_of_this_and_the_previous_run(api: Api) -> None:
    script = "echo one; echo two; test -e /state/again && exec sleep 1000; touch /state/again; exit 1"
    volumes = [{"name": "s", "emptyDir": {}}]
    api.agent.apply("logs", spec(script, volumeMounts=[{"name": "s", "mountPath": "/state"}], volumes=volumes))
    api.agent.running("logs", "c")
    path = "/containerLogs/default/logs-node1/c"

    def restarted() -> bool:
        return "1.log" in {file.name for file in api.agent.logs.glob("*/c/*.log")}

    eventually(restarted, what="second run")
    api.agent.running("logs", "c")
    assert api.get(f"{path}?tailLines=1") == "two\n"
    assert api.get(f"{path}?previous=true") == "one\ntwo\n"
    assert api.call("get", "/containerLogs/default/logs-node1/none")["status"] == 404


def test_a_growing_log_is_rotated_under_a_running_container(api: Api) -> None:
    script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.01; done"
    api.agent.apply("chatty", spec(script))
    api.agent.running("chatty", "c")

    def twice_rotated() -> list[Path]:
        """The log, the one before and a packed one, once the runtime writes to the log: between two rotations."""
        files = sorted(api.agent.logs.glob("*_chatty-node1_*/c/*"))
        if [file.suffix for file in files] != [".log", *(file.suffix for file in files[1:])]:
            return []
        packed = [file for file in files[1:] if file.suffix == ".gz"]
        plain = [file for file in files[1:] if file.suffix != ".gz"]
        settled = len(packed) == len(plain) == 1 and plain[0].name != packed[0].stem
        return [files[0], *plain] if settled and b"\n" in files[0].read_bytes() else []

    current, newest = eventually(twice_rotated, what="a packed log")
    last = int(newest.read_text().splitlines()[-1].split()[-1])
    first = int(current.read_text().splitlines()[0].split()[-1])
    assert first == last + 1
    assert api.get("/containerLogs/default/chatty-node1/c?tailLines=1").startswith("line ")
