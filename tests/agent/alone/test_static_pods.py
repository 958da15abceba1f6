"""The agent alone with a real containerd: static pods run, restart, are probed, and leave nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.agent.alone.rig import IMAGE, AgentProcess, cgroups_below
from tests.waiting import eventually

pytestmark = pytest.mark.node

# An event shows within milliseconds; without it the relist would tell after half a minute.
EVENT_SECONDS = 20.0
# Only an answer makes a probe fail, not a machine that stalls.
PATIENT = {"periodSeconds": 1, "timeoutSeconds": 15}
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


def container(name: str = "c", command: list[str] = SLEEP, **more: object) -> dict:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": command, **more}


def test_a_pod_runs_and_leaves_nothing(agent: AgentProcess):
    greeting = ["sh", "-c", 'echo "$GREETING from $(hostname 2>/dev/null || cat /etc/hostname)"; ' + SLEEP[2]]
    agent.apply("web", {"containers": [container(command=greeting, env=[{"name": "GREETING", "value": "hello"}])]})
    agent.running("web", "c")
    eventually(lambda: "hello from web-node1" in agent.output("web", "c"), what="the greeting")
    assert list((agent.root / "pods").iterdir())
    agent.remove("web")
    eventually(lambda: not agent.containerd.ctr("containers", "list", "-q").split(), what="containers gone")
    eventually(lambda: not list((agent.root / "pods").iterdir()), what="directory gone")
    eventually(
        lambda: not [c for c in cgroups_below(agent.containerd.cgroup) if c.name.startswith("pod")], what="cgroup gone"
    )
    assert not list(agent.logs.iterdir())
    addresses = [p.name for p in (agent.containerd.base / "ipam/net").iterdir() if p.name[0].isdigit()]
    assert not addresses, "addresses leaked"


def test_a_container_that_dies_is_started_again(agent: AgentProcess):
    agent.apply("again", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    first = agent.running("again", "c")["c"]
    os.kill(agent.containerd.tasks()[first], signal.SIGKILL)
    eventually(lambda: agent.containers("again").get("c", first) != first, EVENT_SECONDS, "a new container")
    assert agent.events("Started") == 2


def test_init_containers_run_in_order_and_a_sidecar_stays(agent: AgentProcess):
    shared = [{"name": "s", "mountPath": "/s"}]
    write = ["sh", "-c", "test -f /s/one && echo two > /s/two"]
    spec = {
        "volumes": [{"name": "s", "emptyDir": {}}],
        "initContainers": [
            container("one", ["sh", "-c", "echo one > /s/one"], volumeMounts=shared),
            container("side", SLEEP, restartPolicy="Always"),
            container("two", write, volumeMounts=shared),
        ],
        "containers": [container("c", ["sh", "-c", "cat /s/one /s/two; " + SLEEP[2]], volumeMounts=shared)],
    }
    agent.apply("init", spec)
    agent.running("init", "c", "side")
    eventually(lambda: agent.output("init", "c") == "one\ntwo", what="both wrote")


def test_liveness_restarts_and_startup_holds_it_off(agent: AgentProcess):
    probe = {"exec": {"command": ["test", "-f", "/tmp/alive"]}, **PATIENT, "failureThreshold": 1}
    command = ["sh", "-c", "touch /tmp/alive; " + SLEEP[2]]
    spec = {
        "containers": [
            container("c", command, livenessProbe=probe, startupProbe={**probe, "failureThreshold": 30}),
        ],
        "terminationGracePeriodSeconds": 1,
    }
    agent.apply("live", spec)
    first = agent.running("live", "c")["c"]
    agent.containerd.ctr("tasks", "exec", "--exec-id", "x", first, "rm", "/tmp/alive")
    eventually(lambda: agent.containers("live").get("c", first) != first, what="restarted by liveness")
    assert agent.events("Unhealthy") >= 1


def test_http_and_tcp_probes_reach_the_pod(agent: AgentProcess):
    command = ["sh", "-c", "echo hi > /www/index.html; httpd -f -p 8080 -h /www"]
    http = {"httpGet": {"path": "/index.html", "port": "web"}, **PATIENT, "failureThreshold": 30}
    tcp = {"tcpSocket": {"port": 8080}, **PATIENT, "initialDelaySeconds": 1, "failureThreshold": 2}
    spec = {
        "containers": [
            container(
                "c", command, ports=[{"name": "web", "containerPort": 8080}], startupProbe=http, livenessProbe=tcp
            )
        ],
        "terminationGracePeriodSeconds": 1,
    }
    agent.apply("http", spec)
    first = agent.running("http", "c")
    eventually(lambda: agent.events("Started") == 1)
    eventually(lambda: _lived(agent, first["c"]) > 3)
    assert agent.containers("http")["c"] == first["c"]
    assert agent.events("Killing") == 0


def _lived(agent: AgentProcess, container_id: str) -> float:
    """Seconds since the container's process started."""
    pid = agent.containerd.tasks()[container_id]
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - started / os.sysconf("SC_CLK_TCK")


def test_pre_stop_runs_and_the_grace_period_ends(agent: AgentProcess):
    stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch /h/stopped"]}}}
    host = agent.containerd.base / "hook"
    spec = {
        "volumes": [{"name": "h", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}}],
        "containers": [container("c", stubborn, lifecycle=hook, volumeMounts=[{"name": "h", "mountPath": "/h"}])],
        "terminationGracePeriodSeconds": 2,
    }
    agent.apply("stop", spec)
    agent.running("stop", "c")
    agent.remove("stop")
    eventually(lambda: (host / "stopped").exists(), what="the hook ran")
    eventually(lambda: not agent.containers("stop"), what="killed after its grace period")


def test_kill_9_of_the_agent_touches_no_container(agent: AgentProcess):
    for number in range(3):
        agent.apply(f"keep{number}", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    for number in range(3):
        agent.running(f"keep{number}", "c")
    before = agent.containerd.tasks()
    agent.kill()
    agent.start()
    agent.apply("later", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    agent.running("later", "c")
    after = agent.containerd.tasks()
    assert before.items() <= after.items()
    agent.kill()
    agent.remove("keep0")
    agent.start()
    eventually(lambda: not agent.containers("keep0"), what="a pod removed while the agent was away is stopped")


def test_kill_9_of_containerd_touches_no_container(agent: AgentProcess):
    agent.apply("calm", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    first = agent.running("calm", "c")["c"]
    before = agent.containerd.tasks()
    agent.containerd.kill()
    agent.apply("new", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    agent.containerd.start()
    agent.running("new", "c")
    assert before.items() <= agent.containerd.tasks().items()
    # Events flow again over the new connection.
    os.kill(agent.containerd.tasks()[first], signal.SIGKILL)
    eventually(lambda: agent.containers("calm").get("c", first) != first, EVENT_SECONDS, "events after the restart")


def test_an_exit_while_nobody_looked_is_found(agent: AgentProcess):
    agent.apply("gone", {"containers": [container()], "terminationGracePeriodSeconds": 1})
    first = agent.running("gone", "c")["c"]
    agent.kill()
    os.kill(agent.containerd.tasks()[first], signal.SIGKILL)
    agent.start()
    eventually(lambda: agent.containers("gone").get("c", first) != first, what="restarted")
