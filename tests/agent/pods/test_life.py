"""Whole lives of pods over the fake runtime: what is asked of it, and what is reported."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import RuntimeInfo
from agent.devices import state
from agent.devices.messages import ClaimRef
from agent.devices.state import Held
from agent.pods.lifecycle import IllegalMove, Stage, move
from agent.pods.worker import Turn
from agent.probes.metrics import REGISTRY
from apimachinery.kit.metrics import exposition
from tests import clock
from tests.agent.fake_cri import IMAGE_ID, FakeRuntime
from tests.agent.harness import container, live, pod, running
from tests.waiting import until


def status(agent, name: str = "p") -> dict:
    found = agent.view.find_pod("default", name)
    return found["status"] if found else {}


def waits_for(agent, container_name: str) -> str:
    """The reason in a container's waiting state."""
    statuses: list[dict[str, Any]] = status(agent).get("containerStatuses", [])
    found: dict[str, Any] = next((s for s in statuses if s["name"] == container_name), {})
    return found.get("state", {}).get("waiting", {}).get("reason", "")


def is_ready(agent, name: str = "p") -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status(agent, name).get("conditions", ()))


def deleted(manifest: dict, grace: int = 1) -> dict:
    meta = {
        **manifest["metadata"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": grace,
    }
    return {**manifest, "metadata": meta}


def test_a_pod_in_the_hosts_network_is_told_the_hosts_addresses_as_its_own(tmp_path):
    told = {"HOST": "status.hostIP", "OWN": "status.podIP", "ALL": "status.podIPs"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in told.items()]

    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime, node_ip="192.0.2.9,2001:db8::9") as agent:
            agent.pods.set_pod("api", pod(hostNetwork=True, containers=[container("c", env=env)]))
            await until(lambda: is_ready(agent))
            (held,) = runtime.held.values()
        shown = {entry.key: entry.value for entry in held.config.envs if entry.key in told}
        assert shown == {"HOST": "192.0.2.9", "OWN": "192.0.2.9", "ALL": "192.0.2.9,2001:db8::9"}

    clock.run(main())


@live
async def test_ready_without_probes_at_once_and_gone_after_removal(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    assert runtime.running() == ["c"]
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: not runtime.sandboxes and not runtime.held)
    await until(lambda: agent.pods.worker("uid-p") is None)
    assert not list((agent.settings.root_dir / "pods").iterdir())
    assert not list(agent.settings.pod_log_dir.iterdir())


@live
async def test_of_two_pods_of_one_name_the_one_that_stays_is_found(agent, runtime):
    agent.pods.set_pod("api", pod(uid="first"))
    await until(lambda: is_ready(agent))
    agent.pods.remove_pod("api", "first")
    # Nobody took its place yet: it is found until it is cleaned away.
    assert agent.view.find_pod("default", "p")["metadata"]["uid"] == "first"
    agent.pods.set_pod("api", pod(uid="second"))
    assert agent.pods.worker("first") is not None
    assert agent.view.find_pod("default", "p")["metadata"]["uid"] == "second"
    assert agent.view.find_pod("default", "p", "first")["metadata"]["uid"] == "first"
    # What no source names is adopted after those that are named.
    agent.pods.adopt(pod(uid="leftover"))
    assert agent.view.find_pod("default", "p")["metadata"]["uid"] == "second"


@live
async def test_a_deleted_pod_is_stopped_and_its_object_released(agent, runtime):
    released = []
    agent.writer.release = lambda p: released.append((p["metadata"]["uid"], runtime.running()))
    agent.pods.set_pod("api", pod())
    await until(lambda: is_ready(agent))
    agent.pods.set_pod("api", deleted(pod()))
    await until(lambda: released)
    assert released == [("uid-p", [])], "released only once nothing runs"
    assert status(agent)["phase"] == "Succeeded"
    await until(lambda: not runtime.sandboxes)


@live
async def test_less_patience_shortens_a_stop_under_way(agent, runtime):
    agent.pods.set_pod("api", pod(image="busybox:stubborn"))
    await until(lambda: is_ready(agent))
    agent.pods.set_pod("api", deleted(pod(image="busybox:stubborn"), 300))
    await until(lambda: runtime.count("StopContainer") == 1)
    agent.pods.set_pod("api", deleted(pod(image="busybox:stubborn"), 1))
    await until(lambda: not runtime.held)


@live
async def test_deletion_interrupts_a_pull(agent, runtime):
    runtime.hang.add("PullImage")
    agent.pods.set_pod("api", pod(image="busybox:absent"))
    await until(lambda: runtime.count("PullImage"))
    agent.pods.set_pod("api", deleted(pod(image="busybox:absent")))
    await until(lambda: not runtime.sandboxes)


@live
async def test_a_pod_is_never_started_twice(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    for _ in range(20):
        agent.pods.wake("uid-p")
        await asyncio.sleep(0.005)
    assert runtime.count("RunPodSandbox") == runtime.count("StartContainer") == 1


@live
async def test_an_exit_restarts_at_once_then_backs_off(agent, runtime):
    agent.pods.set_pod("file", pod(image="busybox:exit-3"))

    def waiting() -> dict:
        return status(agent).get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})

    await until(lambda: waiting().get("reason") == "CrashLoopBackOff")
    assert waiting()["message"].startswith("back-off 10s restarting failed container=c pod=p_default(uid-p)")
    assert runtime.count("StartContainer") == 2
    last = status(agent)["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")


@live
async def test_a_changed_object_reaches_the_volumes_of_a_running_pod(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    prepared = []

    async def prepare(subject: dict) -> None:
        prepared.append(subject["metadata"]["uid"])

    agent.shared.volumes.prepare = agent.shared.volumes.refresh = prepare
    agent.pods.wake("uid-p")
    worker = agent.pods.worker("uid-p")
    await until(lambda: not worker.life.wake.is_set() and worker.turn is Turn.IDLE)
    assert prepared == [], "an ordinary wake-up writes no volume"
    agent.pods.objects_changed("uid-p")
    await until(lambda: prepared == ["uid-p"])
    assert runtime.count("StartContainer") == 1


@live
async def test_lost_events_are_repaired_by_the_relist(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    runtime.silent = True
    runtime.exit(next(iter(runtime.held)), 1)
    agent.cache.on_stream(False)
    await until(lambda: runtime.count("StartContainer") == 2 and runtime.running() == ["c"])


@live
async def test_a_lost_sandbox_is_replaced(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    first = next(iter(runtime.sandboxes))
    await runtime.stop_sandbox(first)
    agent.cache.on_stream(False)
    await until(lambda: len(runtime.sandboxes) == 2 and runtime.running() == ["c"])
    newest = max(runtime.sandboxes.values(), key=lambda s: s.attempt)
    assert newest.attempt == 1 and newest.ready


@live
async def test_a_pod_whose_interface_is_gone_gets_a_new_sandbox_and_says_why(agent, runtime):
    told = []
    agent.reporter.pod = lambda p, kind, reason, text: told.append((reason, text))
    agent.pods.set_pod("file", pod())
    agent.pods.set_pod("file", pod("never", restartPolicy="Never"))
    await until(lambda: is_ready(agent) and is_ready(agent, "never"))
    first = {s.uid: s.id for s in runtime.sandboxes.values()}
    assert agent.cache.networked() == frozenset(first.values())
    agent.cache.network_lost(first["uid-p"], "eth0 is gone")
    await until(lambda: [s.attempt for s in runtime.sandboxes.values() if s.uid == "uid-p" and s.ready] == [1])
    await until(lambda: is_ready(agent))
    assert [each for each in told if each[0] != "MissingClusterDNS"] == [
        ("NetworkNotReady", "network is not ready: eth0 is gone"),
        ("SandboxChanged", "Pod sandbox changed, it will be killed and re-created."),
    ]
    agent.cache.network_lost(first["uid-never"], "eth0 is gone")
    await until(lambda: status(agent, "never")["phase"] in ("Succeeded", "Failed"))
    assert [each for each in told if each[0] == "NetworkNotReady"][1:] == [
        ("NetworkNotReady", "network is not ready: eth0 is gone")
    ], "and this one says why it ended"
    assert [s.attempt for s in runtime.sandboxes.values() if s.uid == "uid-never"] == [0], "the policy is respected"
    agent.cache.network_lost("nobody's", "eth0 is gone")


@pytest.mark.parametrize("answer", ["none", "refused"])
def test_pods_are_run_though_the_runtime_does_not_say_what_it_is(tmp_path, answer):
    async def main() -> None:
        runtime = FakeRuntime()
        if answer == "none":
            runtime.hang.add("Status")
        else:
            runtime.fail["Status"] = CriUnavailable("Status", "Unavailable", "connection refused")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: is_ready(agent))

    clock.run(main())


def test_a_network_that_went_while_no_agent_ran_is_missed_before_anything_is_done(tmp_path):
    """The next agent asks once for every sandbox that runs with a network of its own, before its workers look."""

    async def main() -> None:
        runtime, asked = FakeRuntime(), []
        pods = (pod("cut"), pod("whole"), pod("host", hostNetwork=True))

        async with running(tmp_path, runtime) as agent:
            for each in pods:
                agent.pods.set_pod("file", each)
            await until(lambda: all(is_ready(agent, name) for name in ("cut", "whole", "host")))
        first = {s.name: s.id for s in runtime.sandboxes.values()}

        async def check(sandboxes: frozenset[str]) -> dict[str, str]:
            asked.append((sandboxes, runtime.count("StopPodSandbox")))
            return {first["cut"]: "eth0 is gone"}

        async with running(tmp_path, runtime, networks=check) as agent:
            told: list[tuple[str, str, str]] = []
            agent.reporter.pod = lambda p, kind, reason, text: told.append((p["metadata"]["name"], reason, text))  # type: ignore[method-assign,assignment]
            for each in pods:
                agent.pods.set_pod("file", each)
            await until(lambda: [s.attempt for s in runtime.sandboxes.values() if s.name == "cut" and s.ready] == [1])
            await until(lambda: all(is_ready(agent, name) for name in ("cut", "whole", "host")))
        assert asked == [(frozenset({first["cut"], first["whole"]}), 0)]
        assert ("cut", "NetworkNotReady", "network is not ready: eth0 is gone") in told
        assert {s.name: s.id for s in runtime.sandboxes.values() if s.attempt == 0 and s.ready} == {
            name: first[name] for name in ("whole", "host")
        }

    asyncio.run(main())


@live
async def test_many_restarts_keep_two_runs(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    agent.pods.worker("uid-p").life.attempts.crashes.bump = lambda key, now, since=None: None
    for restart in range(5):
        runtime.exit(runtime_newest(runtime), 1)
        await until(partial(lambda n: runtime.count("StartContainer") == n + 2, restart))
    await until(lambda: len(runtime.held) <= 2)
    assert status(agent)["containerStatuses"][0]["restartCount"] == 5


def runtime_newest(runtime: FakeRuntime) -> str:
    return max(runtime.held.values(), key=lambda h: h.record.created_at).record.id


@live
async def test_post_start_failure_kills_and_says_why(agent, runtime):
    hook = {"postStart": {"exec": {"command": ["false"]}}}
    said = []
    agent.writer.set = lambda p, s: said.append(str(s))
    agent.pods.set_pod("file", pod(containers=[container("c", lifecycle=hook)]))
    await until(lambda: any("PostStartHookError" in s for s in said))
    calls = [method for method, _ in runtime.calls if method in ("StartContainer", "ExecSync", "StopContainer")]
    assert calls[:3] == ["StartContainer", "ExecSync", "StopContainer"]


@live
async def test_a_container_whose_files_cannot_be_made_says_why(agent, runtime):
    told = []
    agent.reporter.container = lambda p, c, kind, reason, text: told.append((kind, reason, text))
    folder = agent.settings.root_dir / "pods" / "uid-p" / "containers"
    folder.mkdir(parents=True)
    (folder / "c").touch()
    agent.pods.set_pod("file", pod())
    await until(lambda: "containerStatuses" in status(agent) and "message" in str(status(agent)["containerStatuses"]))
    waiting = status(agent)["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert "File exists" in waiting["message"]
    assert ("Warning", "Failed", f"Error: {waiting['message']}") in told


NO_SUCH_PORT = {"httpGet": {"port": "nowhere", "path": "/x"}}


@live
async def test_a_post_start_hook_that_cannot_be_asked_has_failed(agent, runtime):
    said = []
    agent.writer.set = lambda p, s: said.append(s["containerStatuses"][0]["state"].get("waiting", {}))
    agent.pods.set_pod("file", pod(containers=[container("c", lifecycle={"postStart": NO_SUCH_PORT})]))
    await until(lambda: any(w.get("reason") == "PostStartHookError" for w in said))
    message = next(w["message"] for w in said if w.get("reason") == "PostStartHookError")
    assert message.startswith('HTTP lifecycle hook (/x) for Container "c" in Pod ')
    assert message.endswith("failed - error: couldn't find port: nowhere in container c")
    assert [m for m, _ in runtime.calls if m in ("StartContainer", "StopContainer")][:2] == [
        "StartContainer",
        "StopContainer",
    ]


@live
async def test_a_pre_stop_hook_that_cannot_be_asked_keeps_no_container_from_its_stop(agent, runtime):
    told = []
    agent.reporter.container = lambda p, c, kind, reason, text: told.append((kind, reason))
    agent.pods.set_pod("file", pod(containers=[container("c", lifecycle={"preStop": NO_SUCH_PORT})]))
    await until(lambda: is_ready(agent))
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: not runtime.held)
    assert ("Warning", "FailedPreStopHook") in told
    order = [m for m, _ in runtime.calls if m in ("StopContainer", "StopPodSandbox")]
    assert order[:2] == ["StopContainer", "StopPodSandbox"]


@live
async def test_a_hook_asks_to_be_answered_not_what_the_answer_says(agent, runtime):
    heard = []

    async def refuse(reader, writer) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        hook = {"postStart": {"httpGet": {"host": "127.0.0.1", "port": port}}}
        agent.pods.set_pod("file", pod(containers=[container("c", lifecycle=hook)]))
        await until(lambda: is_ready(agent) and heard)
        await until(lambda: agent.pods.worker("uid-p").turn is Turn.IDLE)
    assert "kube-lifecycle/" in heard[0]
    assert runtime.count("StopContainer") == 0


@live
async def test_pre_stop_goes_before_the_stop(agent, runtime):
    hook = {"preStop": {"exec": {"command": ["true"]}}}
    agent.pods.set_pod("file", pod(containers=[container("c", lifecycle=hook)]))
    await until(lambda: is_ready(agent))
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: not runtime.held)
    order = [m for m, _ in runtime.calls if m in ("ExecSync", "StopContainer")]
    assert order == ["ExecSync", "StopContainer"]


@live
async def test_sidecars_stop_after_the_containers_in_reverse(agent, runtime):
    inits = [container("s1", restartPolicy="Always"), container("s2", restartPolicy="Always")]
    agent.pods.set_pod("file", pod(initContainers=inits))
    await until(lambda: is_ready(agent))
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: not runtime.held)
    assert [s for m, s in runtime.calls if m == "StopContainer"][:3] == ["c", "s2", "s1"]


@live
async def test_liveness_failure_restarts(agent, runtime):
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    agent.pods.set_pod("file", pod(containers=[container("c", livenessProbe=probe)]))
    await until(lambda: runtime.count("StartContainer") == 2)


@live
async def test_readiness_follows_its_probe(agent, runtime):
    probe = {"exec": {"command": ["ask"]}, "periodSeconds": 1, "failureThreshold": 1}
    runtime.exec_codes["ask"] = 1
    agent.pods.set_pod("file", pod(containers=[container("c", readinessProbe=probe)]))
    await until(lambda: runtime.count("ExecSync") == 1)
    assert not is_ready(agent)
    runtime.exec_codes["ask"] = 0
    await until(lambda: is_ready(agent))
    runtime.exec_codes["ask"] = 1
    await until(lambda: not is_ready(agent))
    # What was probed is told for as long as there is who probes.
    where = 'container="c",namespace="default",pod="p"'
    shown = [line.rpartition(" ") for line in exposition(REGISTRY)[0].decode().splitlines() if where in line]
    told = {name: float(value) for name, _, value in shown}
    for result in ("successful", "failed"):
        assert told[f'prober_probe_total{{{where},pod_uid="uid-p",probe_type="Readiness",result="{result}"}}'] >= 1
    assert told[f'prober_probe_duration_seconds_count{{{where},probe_type="Readiness"}}'] >= 1
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: where not in exposition(REGISTRY)[0].decode())


@live
async def test_a_pod_gets_no_sandbox_before_its_devices(agent, runtime):
    told: list[tuple[str, ...]] = []
    agent.reporter.pod = lambda subject, *event: told.append(event)
    claims = [{"name": "gpu", "resourceClaimName": "x"}]
    agent.pods.set_pod("file", pod(resourceClaims=claims))
    why = "Failed to prepare dynamic resources: prepare dynamic resources: fetch ResourceClaim x: no API server to ask"
    await until(lambda: ("Warning", "FailedPrepareDynamicResources", why) in told)
    assert runtime.count("RunPodSandbox") == 0
    agent.pods.remove_pod("file", "uid-p")
    await until(lambda: not agent.pods.all())


@live
async def test_a_pod_whose_devices_could_not_be_given_is_not_started_without(agent, runtime):
    tries, again = [], asyncio.Event()

    async def allocate(_: Any) -> None:
        tries.append(runtime.count("RunPodSandbox"))
        if not again.is_set():
            raise RuntimeError("nobody thought of it")

    agent.plugins.allocate = allocate
    agent.pods.set_pod("file", pod())
    await until(lambda: tries)
    (worker,) = agent.pods.all()
    await until(lambda: worker.turn is Turn.PUT_OFF)
    assert agent.pods.holding("") == (worker.pod,)
    worker.objects_changed()
    await until(lambda: len(tries) == 2)
    again.set()
    worker.objects_changed()
    await until(lambda: is_ready(agent))
    assert tries == [0, 0, 0]


@live
async def test_what_others_say_of_a_pods_claims_is_seen_with_its_status(agent, runtime):
    made = {"resourceClaimStatuses": [{"name": "g", "resourceClaimName": "p-g-x"}]}
    extended = {"extendedResourceClaimStatus": {"resourceClaimName": "p-x", "requestMappings": []}}
    agent.pods.set_pod("api", {**pod(), "status": made})
    await until(lambda: is_ready(agent))
    agent.pods.set_pod("api", {**pod(), "status": {**status(agent), **made, **extended}})
    for seen in (agent.view.find_pod("default", "p"), *agent.view.pods()):
        assert {**seen["status"], **made, **extended} == seen["status"]


def test_devices_of_a_pod_that_nobody_knows_any_more_are_given_back(tmp_path):
    file = tmp_path / "root/dra_manager_state"
    file.parent.mkdir()
    held = Held(ClaimRef("default", "uid-x", "x"), {"uid-gone"})
    file.write_bytes(state.dump([held]))

    async def main() -> None:
        async with running(tmp_path, FakeRuntime()) as agent:
            assert agent.devices.users() == {"uid-gone"}
            agent.pods.all_synced.set()
            await until(lambda: not agent.devices.users())
            await until(lambda: state.load(file) == {})

    clock.run(main())


@live
async def test_a_static_pod_put_back_runs_again(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    agent.pods.remove_pod("file", "uid-p")
    agent.pods.set_pod("file", pod())
    await until(lambda: runtime.count("StartContainer") == 2 and is_ready(agent))
    assert len(runtime.sandboxes) == 1


_MUTATING = ["RunPodSandbox", "CreateContainer", "StartContainer", "ImageStatus", "ContainerStatus", "PodSandboxStatus"]


@pytest.mark.parametrize("method", _MUTATING)
@pytest.mark.parametrize("error", [CriError, CriUnavailable])
def test_every_call_may_fail_and_the_pod_still_comes_up(tmp_path, monkeypatch, method, error):
    monkeypatch.setattr("agent.pods.attempts.jittered", lambda seconds: seconds / 20)

    async def main() -> None:
        runtime = FakeRuntime()
        runtime.fail[method] = error(method, "Unknown", "injected")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: runtime.count(method) >= 1)
            await asyncio.sleep(0.05)
            del runtime.fail[method]
            await until(lambda: is_ready(agent))
            assert runtime.running() == ["c"]

    clock.run(main())


@pytest.mark.parametrize("method", ["StopContainer", "StopPodSandbox", "RemoveContainer", "RemovePodSandbox"])
def test_every_stop_may_fail_and_the_pod_still_goes(tmp_path, monkeypatch, method):
    monkeypatch.setattr("agent.pods.attempts.jittered", lambda seconds: seconds / 20)

    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: is_ready(agent))
            runtime.fail[method] = CriError(method, "Unknown", "injected")
            agent.pods.remove_pod("file", "uid-p")
            await until(lambda: runtime.count(method) >= 1)
            del runtime.fail[method]
            await until(lambda: not runtime.sandboxes and not runtime.held)

    clock.run(main())


def test_a_restarted_agent_adopts_what_runs(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            for name in ("stays", "goes"):
                agent.pods.set_pod("file", pod(name))
            await until(lambda: is_ready(agent, "stays") and is_ready(agent, "goes"))
        assert runtime.running() == ["c", "c"], "stopping the agent stops no container"
        runtime.calls.clear()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod("stays"))
            await until(lambda: is_ready(agent, "stays"))
            agent.pods.all_synced.set()
            await until(lambda: len(runtime.sandboxes) == 1)
            assert runtime.running() == ["c"]
            assert runtime.count("StartContainer") == runtime.count("RunPodSandbox") == 0

    clock.run(main())


def test_readiness_survives_a_restart_of_the_agent(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
        manifest = pod(containers=[container("c", readinessProbe=probe)])
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", manifest)
            await until(lambda: is_ready(agent))
            reported = status(agent)
        runtime.hang.add("ExecSync")
        async with running(tmp_path, runtime) as agent:
            seen: list[dict] = []
            real = agent.writer.set

            def keep(subject: dict, status: dict) -> None:
                seen.append(status)
                real(subject, status)

            agent.writer.set = keep  # type: ignore[method-assign,assignment]
            agent.pods.set_pod("api", {**manifest, "status": reported})
            await until(lambda: is_ready(agent))
            await asyncio.sleep(0.3)
            assert is_ready(agent)
            assert not [s for s in seen if {"type": "Ready", "status": "False"}.items() <= s["conditions"][2].items()]

    clock.run(main())


def test_a_finished_pod_is_not_run_again(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            manifest = pod(image="busybox:exit-0", restartPolicy="Never")
            agent.pods.set_pod("api", manifest)
            await until(lambda: status(agent).get("phase") == "Succeeded")
            reported = status(agent)
        runtime.held.clear()
        runtime.sandboxes.clear()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", {**manifest, "status": reported})
            await until(lambda: status(agent).get("phase") == "Succeeded")
            await asyncio.sleep(0.1)
            assert runtime.count("StartContainer") == 1

    clock.run(main())


def test_a_pod_never_goes_back_in_its_life():
    order = list(Stage)
    for number, stage in enumerate(order):
        for earlier in order[: number + 1]:
            with pytest.raises(IllegalMove):
                move(stage, earlier)
        if stage is not Stage.CLEANED:
            assert move(stage, order[number + 1]) is order[number + 1]
    assert move(Stage.ADMITTING, Stage.TERMINATING) is Stage.TERMINATING, "refused, or deleted before it was judged"
    with pytest.raises(IllegalMove):
        move(Stage.SYNC, Stage.TERMINATED)


@live
async def test_an_image_volume_is_pulled_as_it_says_and_mounted_by_its_id(agent, runtime):
    mounted = container("c", volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "sub"}])
    volume = {"name": "v", "image": {"reference": "data:absent-here", "pullPolicy": "Always"}}
    agent.pods.set_pod("api", pod(containers=[mounted], volumes=[volume]))
    await until(lambda: runtime.running() == ["c"])
    assert ("PullImage", "data:absent-here") in runtime.calls
    (held,) = runtime.held.values()
    (mount,) = [m for m in held.config.mounts if m.container_path == "/v"]
    assert (mount.image.image, mount.image_sub_path, mount.host_path) == (IMAGE_ID, "sub", "")
    assert mount.readonly


# Policy and what is on the node -> what is asked of the runtime, the events told of the pod, why the container waits.
IMAGE_VOLUMES = [
    ("IfNotPresent", "here", ["ImageStatus"], [("Normal", "Pulled", "already present on machine and can be")], ""),
    (
        "IfNotPresent",
        "away",
        ["ImageStatus", "PullImage", "ImageStatus"],
        [("Normal", "Pulling", 'Pulling image "data:away"'), ("Normal", "Pulled", "Successfully pulled image")],
        "",
    ),
    (
        "IfNotPresent",
        "pullfail",
        ["ImageStatus", "PullImage"],
        [
            ("Normal", "Pulling", "Pulling image"),
            ("Warning", "Failed", 'Failed to pull image "data:pullfail": rpc error'),
        ],
        "ErrImagePull",
    ),
    (
        "Always",
        "here",
        ["PullImage", "ImageStatus"],
        [("Normal", "Pulling", "Pulling image"), ("Normal", "Pulled", "Successfully pulled image")],
        "",
    ),
    (
        "Always",
        "absent",
        ["PullImage"],
        [("Normal", "Pulling", "Pulling image"), ("Warning", "Failed", "Failed to pull image")],
        "ErrImagePull",
    ),
    ("Never", "here", ["ImageStatus"], [("Normal", "Pulled", "already present on machine and can be")], ""),
    (
        "Never",
        "away",
        ["ImageStatus"],
        [("Warning", "ErrImageNeverPull", 'Container image "data:away" is not present with pull policy of Never')],
        "ErrImageNeverPull",
    ),
]


@pytest.mark.parametrize(("policy", "tag", "calls", "told", "reason"), IMAGE_VOLUMES)
def test_an_image_volume_is_had_as_its_policy_says(tmp_path, policy, tag, calls, told, reason):
    """For two containers that mount it, and before the first container's own image: once."""

    async def main() -> None:
        runtime = FakeRuntime(present=lambda image: image != "data:away")
        events = []
        async with running(tmp_path, runtime) as agent:
            agent.reporter._tell = lambda subject, *rest: events.append((subject.get("fieldPath", ""), *rest))  # type: ignore[method-assign]
            mounts = [{"name": "v", "mountPath": "/v"}]
            containers = [container("c", volumeMounts=mounts), container("d", volumeMounts=mounts), container("e")]
            volume = {"name": "v", "image": {"reference": f"data:{tag}", "pullPolicy": policy}}
            agent.pods.set_pod("api", pod(containers=containers, volumes=[volume]))
            await until(lambda: runtime.running() == (["e"] if reason else ["c", "d", "e"]))
            # A pull that failed a moment ago is not tried for the next container.
            waits = {"c": reason, "d": "ImagePullBackOff" if reason == "ErrImagePull" else reason} if reason else {}
            for name, why in waits.items():
                await until(partial(lambda which, why: waits_for(agent, which) == why, name, why))
        asked = [method for method, what in runtime.calls if what == f"data:{tag}"]
        assert asked[: len(calls)] == calls and asked.count("PullImage") == calls.count("PullImage")
        assert reason or asked == calls, "the second container has it from the first"
        of_pod = [each for each in events if not each[0] and f"data:{tag}" in each[3]]
        assert [(kind, why) for _, kind, why, _ in of_pod] == [(kind, why) for kind, why, _ in told]
        for (_, _, _, text), (_, _, words) in zip(of_pod, told, strict=True):
            assert words in text
        for name, why in waits.items():
            assert (f"spec.containers{{{name}}}", "Warning", "Failed", f"Error: {why}") in events
            assert not [why for field, _, why, _ in events if field == f"spec.containers{{{name}}}" and why == "Pulled"]

    asyncio.run(main())


def test_of_a_pod_that_no_source_names_nothing_is_written(tmp_path):
    """What a status would be written to is unknown: a request without a name, again and again."""

    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: is_ready(agent))
        async with running(tmp_path, runtime) as agent:
            written = []
            agent.writer.set = lambda *each: written.append(each)  # type: ignore[method-assign]
            agent.writer.release = lambda *each: written.append(each)  # type: ignore[method-assign]
            # A cgroup, a directory, a log that is left of a pod says no name either.
            (agent.settings.root_dir / "pods" / "uid-gone").mkdir()
            agent.pods.all_synced.set()
            await until(lambda: not runtime.sandboxes)
            await until(lambda: not list((agent.settings.root_dir / "pods").iterdir()) and not agent.pods.all())
        assert not written

    asyncio.run(main())


def test_a_start_that_outlives_its_agent_is_waited_for_and_counts_as_none(tmp_path, monkeypatch):
    """The runtime still ends what it was asked for when the next agent looks: that is no failure to wait ten seconds
    for, no restart, and no end of a pod that restarts nothing."""
    monkeypatch.setattr("agent.pods.attempts._UNSETTLED_RETRY", 0.01)

    async def main() -> None:
        runtime, refused = FakeRuntime(), []
        manifest = pod(containers=[container("c"), container("d")], restartPolicy="Never")
        runtime.hang.add("StartContainer")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", manifest)
            await until(lambda: runtime.count("StartContainer") == 1)
            (first,) = runtime.held
        runtime.hang.clear()
        runtime.starting.add(first)
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", manifest)
            await until(lambda: runtime.running() == ["d"])
            assert runtime.held[first], "it is not over"
            refused.append(runtime.count("RemoveContainer"))
            runtime.starting.clear()
            await until(lambda: runtime.running() == ["c", "d"])
            await until(lambda: is_ready(agent))
            found = status(agent)
        assert refused[0] >= 1
        assert [s["restartCount"] for s in found["containerStatuses"]] == [0, 0]
        assert found["phase"] == "Running"

    asyncio.run(main())


@live
async def test_two_volumes_of_one_image_are_each_had_by_their_own_policy(agent, runtime):
    runtime._present = lambda image: image != "data:away"
    volumes = [
        {"name": name, "image": {"reference": "data:away", "pullPolicy": policy}}
        for name, policy in (("never", "Never"), ("always", "Always"))
    ]
    names = ("never", "always")
    mounting = [container(name, volumeMounts=[{"name": name, "mountPath": "/v"}]) for name in names]
    agent.pods.set_pod("api", pod(containers=mounting, volumes=volumes))
    await until(lambda: runtime.running() == ["always"])
    await until(lambda: waits_for(agent, "never") == "ErrImageNeverPull")


@live
async def test_a_runtime_that_is_too_old_for_image_volumes_is_named(agent, runtime):
    async def info() -> RuntimeInfo:
        return RuntimeInfo("containerd", "1.6.20~ds1", True, True, "")

    agent.info._ask = info
    await agent.info.get()
    mounted = container("c", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    volume = {"name": "v", "image": {"reference": "data:here", "pullPolicy": "Always"}}
    agent.pods.set_pod("api", pod(containers=[mounted, container("d")], volumes=[volume]))
    await until(lambda: runtime.running() == ["d"] and waits_for(agent, "c") == "CreateContainerError")
    (state,) = [s["state"] for s in status(agent)["containerStatuses"] if s["name"] == "c"]
    assert "containerd 1.6.20~ds1 mounts no images: containerd 2.1" in state["waiting"]["message"]
    assert "data:here" not in runtime.pulled, "what it cannot mount need not come"


@live
async def test_an_image_volume_that_cannot_be_had_is_what_the_container_waits_for(agent, runtime):
    mounted = container("c", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    volume = {"name": "v", "image": {"reference": "data:pullfail"}}
    agent.pods.set_pod("api", pod(containers=[mounted], volumes=[volume]))
    await until(lambda: "waiting" in (status(agent).get("containerStatuses") or [{"state": {}}])[0]["state"])

    def reason():
        return status(agent)["containerStatuses"][0]["state"]["waiting"]["reason"]

    await until(lambda: reason() in ("ErrImagePull", "ImagePullBackOff"))
    assert not runtime.held


@live
async def test_a_hook_that_is_in_the_api_for_old_manifests_only_fails(agent, runtime):
    hook = {"postStart": {"tcpSocket": {"port": 80}}}
    agent.pods.set_pod("api", pod(containers=[container("c", lifecycle=hook)], restartPolicy="Never"))
    await until(lambda: runtime.count("StopContainer") == 1)
