"""The life of a pod, on each node."""

from __future__ import annotations

from lab.e2e.cluster import Cluster


def _status(pod: dict[str, object], kind: str = "containerStatuses") -> dict[str, object]:
    return pod["status"][kind][0]  # type: ignore[index,no-any-return]


def test_a_pod_runs_and_its_output_and_exit_code_are_told(bare: Cluster, node: str) -> None:
    pod = bare.finished(f"says-{node}", node, "echo out; echo err >&2; exit 3")
    assert pod["status"]["phase"] == "Failed"
    assert _status(pod)["state"]["terminated"]["exitCode"] == 3  # type: ignore[index]
    assert sorted(bare.kubectl("logs", f"says-{node}").split()) == ["err", "out"]


def test_init_containers_run_one_after_the_other_before_the_others(bare: Cluster, node: str) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    steps = [
        {"name": f"step{n}", "image": bare.image, "command": ["sh", "-c", f"echo {n} >>/shared/order"], **mounts}
        for n in (1, 2)
    ]
    volumes = [{"name": "shared", "emptyDir": {}}]
    bare.finished(f"init-{node}", node, "cat /shared/order", initContainers=steps, volumes=volumes, container=mounts)
    assert bare.kubectl("logs", f"init-{node}").split() == ["1", "2"]


def test_a_container_that_fails_is_started_again(bare: Cluster, node: str) -> None:
    bare.apply(bare.pod(f"again-{node}", node, "exit 1", restartPolicy="Always"))
    name = f"again-{node}"
    bare.until(lambda: int(str(_status(bare.get("pod", name))["restartCount"])) >= 2, 90, "it was restarted twice")


def test_a_pod_that_is_deleted_has_its_grace(bare: Cluster, node: str) -> None:
    script = "trap 'echo told; sleep 1; echo done; exit 0' TERM; echo up; while :; do sleep 0.2; done"
    name = bare.made(f"grace-{node}", node, script, terminationGracePeriodSeconds=20)
    bare.until(lambda: "up" in bare.kubectl("logs", name), 30, "it runs")
    follow = bare.kubectl("delete", "pod", name, "--wait=false") and bare.kubectl("logs", "-f", name)
    assert follow.split() == ["up", "told", "done"]
    bare.until(lambda: not bare.kubectl("get", "pod", name, "--ignore-not-found"), 60, "it is gone")


def test_a_pod_is_ready_when_its_probe_says_so(bare: Cluster, node: str) -> None:
    probe = {"readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}}
    name = f"ready-{node}"
    bare.apply(bare.pod(name, node, "sleep 10000", container=probe))
    bare.until(lambda: bare.get("pod", name)["status"]["phase"] == "Running", 60, "it runs")
    assert _status(bare.get("pod", name))["ready"] is False
    bare.inside(name, "touch", "/tmp/ready")
    bare.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={30 * bare.patience:.0f}s")
    bare.inside(name, "rm", "/tmp/ready")
    bare.until(lambda: _status(bare.get("pod", name))["ready"] is False, 30, "it is not ready any more")


def test_a_container_that_does_not_live_is_restarted(bare: Cluster, node: str) -> None:
    probe = {"livenessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1}}
    name = bare.made(f"live-{node}", node, "sleep 10000", container=probe)
    bare.inside(name, "touch", "/tmp/dead")
    bare.until(lambda: _status(bare.get("pod", name))["restartCount"] == 1, 90, "it was restarted")


def test_a_limit_of_memory_is_kept(bare: Cluster, node: str) -> None:
    limit = {"resources": {"limits": {"memory": "24Mi"}}}
    pod = bare.finished(f"hungry-{node}", node, "tail /dev/zero", container=limit)
    ended = _status(pod)["state"]["terminated"]  # type: ignore[index]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
