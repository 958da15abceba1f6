"""The pod-to-CRI planner beside recorded requests of upstream's kubelet."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from agent.containers.container_config import ContainerFacts, Hardware, container_config, mount_message
from agent.containers.sandbox_config import SandboxFacts, sandbox_config
from agent.cri.model import Mount
from agent.env.build import Environment
from agent.host import paths
from agent.host.cgroups import pod_cgroup
from agent.host.dns import Resolver, plan_dns, plan_hostname
from agent.objects.cache import Objects
from agent.settings import AgentSettings
from tests.agent import golden
from tests.golden import MISSING

CASES = golden.cases("static-pods.json")
HOST = Resolver(servers=("192.0.2.53",), searches=("example.test",))
MEMORY = 25276510208
pytestmark = pytest.mark.skipif(not CASES, reason=MISSING)


def _plain(message) -> dict:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"][:24])
def test_sandbox(case):
    pod = golden.static_pod(case["pod"])
    resolver = plan_dns(pod, HOST, ("10.96.0.10",), "cluster.local").resolver
    facts = SandboxFacts(
        dns=resolver,
        hostname=plan_hostname(pod, "cluster.local").kernel,
        log_directory=str(paths.log_directory(Path("$LOGS"), pod)),
        cgroup_parent=pod_cgroup("/", pod),
    )
    assert _plain(sandbox_config(pod, facts)) == case["sandbox"]


def _env(pod: dict, spec: dict) -> tuple[tuple[str, str], ...]:
    settings = AgentSettings(node_name="node1", node_ip="10.9.9.9")
    shown = {**pod, "status": {"hostIP": "10.9.9.9", "podIP": "10.1.2.3"}}
    return asyncio.run(Environment(settings, Objects(None, "node1")).build(shown, spec, ("10.1.2.3",)))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"][:24])
def test_containers(case):
    pod = golden.static_pod(case["pod"])
    specs = {c["name"]: c for k in ("initContainers", "containers") for c in pod["spec"].get(k, [])}
    for expected in json.loads(json.dumps(case["containers"])):
        spec = specs[expected["metadata"]["name"]]
        root = Path("$ROOT")
        own = (
            Mount("/etc/hosts", str(paths.hosts_file(root, "$UID"))),
            Mount(
                spec.get("terminationMessagePath", "/dev/termination-log"),
                str(paths.container_directory(root, "$UID", spec["name"]) / "$ID"),
            ),
        )
        facts = ContainerFacts(
            image="sha256:" + "1" * 64,
            attempt=0,
            env=_env(pod, spec),
            command=tuple(spec.get("command", ())),
            args=tuple(spec.get("args", ())),
            mounts=tuple(mount_message(m) for m in own),
            hardware=Hardware(MEMORY, ("2MB", "1GB")),
        )
        made = _plain(container_config(pod, spec, facts))
        assert re.fullmatch("[0-9a-f]{8}", made["annotations"].pop("io.kubernetes.container.hash"))
        del expected["annotations"]["io.kubernetes.container.hash"]
        # Upstream's order of variables is that of a Go map; the node's own disk size is not ours.
        for side in (made, expected):
            envs = [e for e in side.pop("envs", []) if e["key"] != "LE"]
            side["envs"] = sorted(envs, key=lambda e: e["key"])
        # Volume mounts are the volume host's, compared in its tests.
        expected["mounts"] = expected["mounts"][-2:]
        assert made == expected
