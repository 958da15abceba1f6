"""The pod-to-CRI planner beside recorded requests of upstream's kubelet, where the recordings lie beside
the checkout."""

import json
import os
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from agent.dns import Resolver, plan_dns, plan_hostname
from agent.runtime import pod_paths
from agent.runtime.cgroups import pod_cgroup
from agent.runtime.container_config import container_config, mount_message
from agent.runtime.sandbox_config import ContainerFacts, Dns, SandboxFacts, sandbox_config
from agent.seams import Mount


def _recordings() -> Path | None:
    named = os.environ.get("WHERRY_GOLDEN")
    for folder in (
        [Path(named)]
        if named
        else [p / "shared/golden" for p in Path(__file__).parents]
        + [p / "golden" for p in Path(__file__).parents]
    ):
        if (folder / "cri/static-pods.json").exists():
            return folder / "cri/static-pods.json"
    return None


FILE = _recordings()
CASES = json.loads(FILE.read_text())["cases"] if FILE else []
HOST = Resolver(servers=("192.0.2.53",), searches=("example.test",))
MEMORY = 25276510208
# Written by the volume host and the environment builder; compared in their own tests.
ELSEWHERE = {"volumes"}


def _static(pod: dict) -> dict:
    pod = json.loads(json.dumps(pod))
    meta = pod["metadata"]
    meta["name"] += "-node1"
    meta["uid"] = "$UID"
    meta["annotations"] = {
        **meta.get("annotations", {}),
        "kubernetes.io/config.hash": "$UID",
        "kubernetes.io/config.seen": "$TIME",
        "kubernetes.io/config.source": "file",
    }
    pod["spec"]["nodeName"] = "node1"
    return pod


def _plain(message) -> dict:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.skipif(not CASES, reason="no recordings beside this checkout (set WHERRY_GOLDEN)")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"][:24])
def test_sandbox(case):
    pod = _static(case["pod"])
    resolver = plan_dns(pod, HOST, ("10.96.0.10",), "cluster.local").resolver
    facts = SandboxFacts(
        dns=Dns(resolver.servers, resolver.searches, resolver.options),
        hostname=plan_hostname(pod, "cluster.local").kernel,
        log_directory=str(pod_paths.log_directory(Path("$LOGS"), pod)),
        cgroup_parent=pod_cgroup("/", pod),
    )
    assert _plain(sandbox_config(pod, facts)) == case["sandbox"]


@pytest.mark.skipif(not CASES, reason="no recordings beside this checkout (set WHERRY_GOLDEN)")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"][:24])
def test_containers(case):
    pod = _static(case["pod"])
    specs = {c["name"]: c for k in ("initContainers", "containers") for c in pod["spec"].get(k, [])}
    for expected in case["containers"]:
        spec = specs[expected["metadata"]["name"]]
        root = Path("$ROOT")
        own = (
            Mount("/etc/hosts", str(pod_paths.hosts_file(root, "$UID"))),
            Mount(
                spec.get("terminationMessagePath", "/dev/termination-log"),
                str(pod_paths.container_directory(root, "$UID", spec["name"]) / "$ID"),
            ),
        )
        facts = ContainerFacts(
            image="sha256:" + "1" * 64,
            attempt=0,
            command=tuple(spec.get("command", ())),
            args=tuple(spec.get("args", ())),
            mounts=tuple(mount_message(m) for m in own),
            memory_capacity=MEMORY,
            hugepage_sizes=("2MB", "1GB"),
        )
        made = _plain(container_config(pod, spec, facts))
        assert made["annotations"].pop("io.kubernetes.container.hash")
        expected = json.loads(json.dumps(expected))
        expected["annotations"].pop("io.kubernetes.container.hash")
        expected.pop("envs", None)
        expected["mounts"] = expected["mounts"][-2:]
        assert made == expected
