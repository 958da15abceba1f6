"""Attempts are made when they are due, not at each wake-up; and what is said of them is the same each time."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import replace

import pytest

from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import PodRecord, State
from agent.cri.stable import stable
from agent.failures import ConfigError, VolumeError
from agent.pods.actions import VOLUMES
from agent.pods.attempts import Attempts
from agent.pods.backoff import Backoff
from agent.pods.worker import Turn
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, live, pod, running
from tests.agent.pods.test_life import is_ready, status
from tests.agent.pods.test_plan import record, run
from tests.waiting import until

RUN_ID, SANDBOX_ID, DIGEST = ("3f" * 32, "0a" * 32, "7b" * 32)

# Texts as containerd 1.6 to 2.1, runc and the CNI library put them.
TEXTS = [
    f'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/no": stat /no: no such file or directory: unknown (id {RUN_ID})',  # noqa: E501
    f'failed to setup network for sandbox "{SANDBOX_ID}": plugin type="bridge" failed (add): failed to set bridge addr of veth12ab34cd in netns /var/run/netns/cni-01234567-89ab-cdef-0123-456789abcdef',  # noqa: E501
    f'failed to reserve container name "c_p_default_uid-1_7": name "c_p_default_uid-1_7" is reserved for "{RUN_ID}"',
    f'failed to exec in container: failed to start exec "{RUN_ID}": OCI runtime exec failed: exec failed: unable to start container process: open /proc/4711/ns/pid: no such file or directory',  # noqa: E501
    "rpc error: read udp 10.0.0.5:41234->10.0.0.1:53: i/o timeout at 2026-01-02T03:04:05.678Z",
    'time="2026-01-02T03:04:05Z" level=error msg="runc-process901234: pid 4711 gone"',
    "failed to mount /var/lib/containerd/tmpmounts/containerd-mount3541324 from /c/snapshots/123/fs",
    "open /run/containerd/fifo/918273645/stdin: no such file or directory",
    "stat /var/lib/kubelet/pods/uid-1/containers/c/1a2b3c4d: no such file or directory",
]


def another_time(text: str) -> str:
    """The text as another attempt would put it: every digit that an attempt gives is another."""
    for old, new in (
        (RUN_ID, secrets.token_hex(32)),
        (SANDBOX_ID, secrets.token_hex(32)),
        ("01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"),
        ("veth12ab34cd", "veth99ff00ee"),
        ("uid-1_7", "uid-1_8"),
        ("4711", "12"),
        (":41234->", ":5->"),
        ("2026-01-02T03:04:05", "2027-11-12T13:14:15"),
        (".678Z", ".1Z"),
        ("901234", "77"),
        ("3541324", "88"),
        ("snapshots/123/", "snapshots/4/"),
        ("918273645", "1"),
        ("1a2b3c4d", "deadbeef"),
    ):
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_cause_has_the_same_text(text):
    assert another_time(text) != text, "the case says nothing"
    assert stable(text) == stable(another_time(text))


@pytest.mark.parametrize(
    "text",
    [
        f'failed to pull and unpack image "r/i@sha256:{DIGEST}": not found',
        'Back-off pulling image "registry.example:5000/a/b:1.2"',
        "container 12345678-1234-1234-1234-123456789012 of pod p_default(0123456789abcdef0123456789abcdef)",
        'exec: "/no": stat /no: no such file or directory',
    ],
)
def test_what_names_the_cause_stays(text):
    assert stable(text) == text


def new_text() -> CriError:
    return CriError("X", "Unknown", f"container {secrets.token_hex(32)} failed, pid {secrets.randbelow(9999) + 1}")


STEPS = ["RunPodSandbox", "PodSandboxStatus", "ImageStatus", "PullImage", "CreateContainer", "StartContainer"]


@pytest.mark.parametrize("method", STEPS)
def test_a_refusal_is_met_once_however_often_the_worker_wakes(tmp_path, method):
    """Each look at the pod once was an attempt, each attempt a new text, each text a write that woke the worker."""

    async def main() -> None:
        runtime = FakeRuntime(present=lambda image: method != "PullImage")
        runtime.fail[method] = new_text
        async with running(tmp_path, runtime) as agent:
            written: list[str] = []
            agent.writer.set = lambda p, s: written.append(str(s))  # type: ignore[method-assign,assignment]
            agent.pods.set_pod("file", pod())
            await until(lambda: runtime.count(method))
            await until(lambda: written)
            for _ in range(60):
                agent.pods.wake("uid-p")
                await asyncio.sleep(0.005)
            # The cache looks at a sandbox, too.
            assert runtime.count(method) <= (3 if method == "PodSandboxStatus" else 1)
            assert len(written) == len(set(written)) <= 3, written
            assert not [text for text in written if "<id>" not in text and "failed, pid" in text]

    clock.run(main())


@pytest.mark.parametrize("method", STEPS)
def test_a_refusal_is_met_again_at_upstreams_pace(tmp_path, monkeypatch, method):
    asked = []

    def short(seconds: float) -> float:
        asked.append(seconds)
        return 0.1

    monkeypatch.setattr("agent.pods.attempts.jittered", short)
    monkeypatch.setattr("agent.pods.attempts.SHOW_BACKOFF_SECONDS", 0.1)

    async def main() -> None:
        runtime = FakeRuntime(present=lambda image: method != "PullImage")
        runtime.fail[method] = new_text
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            again = "ImageStatus" if method == "PullImage" else method
            await until(lambda: runtime.count(again) >= 3)
            assert set(asked) == {10.0}

    clock.run(main())


def waiting(agent) -> dict:
    return status(agent).get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})


@pytest.mark.parametrize("error", [ConfigError("no key"), VolumeError("no volume")], ids=["env", "volume"])
def test_a_changed_object_is_tried_at_once(tmp_path, error):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            tries = itertools.count()
            broken = True

            async def fails(*args: object) -> tuple:
                if broken:
                    next(tries)
                    raise error
                return ()

            target, name = (
                (agent.shared.applier.starter.gatherer.environment, "build")
                if isinstance(error, ConfigError)
                else (agent.shared.volumes, "prepare")
            )
            monkey = getattr(target, name)
            setattr(target, name, fails)
            agent.pods.set_pod("file", pod())
            await until(lambda: next(tries) >= 1)
            before = next(tries)
            for _ in range(20):
                agent.pods.wake("uid-p")
                await asyncio.sleep(0.005)
            assert next(tries) <= before + 3, "wake-ups are no attempts"
            broken = False
            setattr(target, name, monkey)
            agent.pods.objects_changed("uid-p")
            await until(lambda: is_ready(agent))

    clock.run(main())


@live
async def test_a_changed_container_is_tried_at_once(agent, runtime):
    agent.pods.set_pod("api", pod(image="busybox:createfail"))
    await until(lambda: waiting(agent).get("reason") == "CreateContainerError")
    agent.pods.set_pod("api", pod(image="busybox:good"))
    await until(lambda: is_ready(agent))


@live
async def test_its_own_status_coming_back_wakes_nobody(agent, runtime):
    manifest = pod(image="busybox:createfail")
    agent.pods.set_pod("api", manifest)
    await until(lambda: waiting(agent).get("reason") == "CreateContainerError")
    worker = agent.pods.worker("uid-p")
    await until(lambda: not worker.life.wake.is_set() and worker.turn is Turn.IDLE)
    for version in range(3):
        meta = {**manifest["metadata"], "resourceVersion": str(version), "managedFields": [version]}
        agent.pods.set_pod("api", {**manifest, "metadata": meta, "status": status(agent)})
        assert not worker.life.wake.is_set()
    agent.pods.set_pod("api", {**manifest, "metadata": {**manifest["metadata"], "labels": {"a": "b"}}})
    assert worker.life.wake.is_set()


def test_a_runtime_that_went_away_is_asked_again_once_it_was_looked_at(tmp_path):
    """Nobody knows whether the call took effect: without a look, the next one would ask for a name that is taken."""

    async def main() -> None:
        runtime = FakeRuntime()
        events: list[str] = []
        async with running(tmp_path, runtime) as agent:
            agent.reporter.container = lambda p, c, kind, reason, text: events.append(reason)  # type: ignore
            real = runtime.create_container

            async def lost(*args: object) -> str:
                await real(*args)  # type: ignore[arg-type]
                runtime.create_container = real  # type: ignore[method-assign]
                raise CriUnavailable("CreateContainer", "Unavailable", "connection reset by peer")

            runtime.create_container = lost  # type: ignore[method-assign,assignment]
            agent.pods.set_pod("file", pod())
            await until(lambda: is_ready(agent))
            assert status(agent)["containerStatuses"][0]["restartCount"] == 0
            assert "Failed" not in events

    clock.run(main())


def test_a_container_made_by_an_agent_that_was_killed_is_no_restart(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        runtime.hang.add("StartContainer")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: runtime.count("StartContainer"))
        runtime.hang.clear()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod())
            await until(lambda: is_ready(agent))
            assert status(agent)["containerStatuses"][0]["restartCount"] == 0
            assert len(runtime.held) == 1
            left = list((agent.settings.root_dir / "pods/uid-p/containers/c").iterdir())
            assert len(left) == 1, "one file of last words for each container there is"

    clock.run(main())


@live
async def test_an_init_container_that_fails_holds_those_behind_it(agent, runtime):
    inits = [container("i", "busybox:createfail"), container("j")]
    agent.pods.set_pod("file", pod(initContainers=inits))
    await until(lambda: runtime.count("CreateContainer"))
    await asyncio.sleep(0.1)
    assert [s for m, s in runtime.calls if m == "CreateContainer"] == ["i"]
    shown = {s["name"]: s["state"]["waiting"]["reason"] for s in status(agent)["initContainerStatuses"]}
    assert shown == {"i": "CreateContainerError", "j": "PodInitializing"}


def test_crashes_wait_from_the_end_of_the_last_run():
    backoff = Backoff(10, 300, forgotten=600)
    attempts = Attempts(backoff, born=0.0)
    manifest, spec = pod(), container("c")
    ended = record(replace(run(spec, State.EXITED, 1), started_at=1, finished_at=int(100e9)))
    assert not attempts.pace(manifest, ended, 100.0).holds, "the first restart is at once"
    attempts.begins(spec, ended, 100.0)
    hold = attempts.pace(manifest, ended, 101.0).held("c")
    assert hold is not None and hold.until == 110.0 and hold.reason == "CrashLoopBackOff"
    assert hold.message == "back-off 10s restarting failed container=c pod=p_default(uid-p)"
    assert hold.event[2] == "Back-off restarting failed container c in pod p_default(uid-p)"
    attempts.begins(spec, ended, 110.0)
    assert attempts.pace(manifest, ended, 110.0).held("c").until == 120.0  # type: ignore[union-attr]
    calm = record(replace(run(spec, State.EXITED, 1), started_at=1, finished_at=int(800e9)))
    assert not attempts.pace(manifest, calm, 800.0).holds, "ten minutes of calm are forgiven"


def test_the_api_server_gets_a_moment_before_the_user_is_warned():
    attempts = Attempts(Backoff(), born=100.0)
    assert not attempts.volumes_failed(pod(), 100.5, settling=True)
    assert attempts.volumes_failed(pod(), 100.5, settling=False), "other failures are told at once"
    assert attempts.volumes_failed(pod(), 103.0, settling=True), "a lasting one is told"


def test_what_others_bring_about_is_looked_at_often_and_told_of_rarely():
    attempts, now, told = Attempts(Backoff(), born=0.0), 1000.0, []
    while now < 1100.0:
        if attempts.volumes_failed(pod(), now, settling=True, awaited=True):
            told.append(now - 1000)
        wait = attempts.pace(pod(), PodRecord("u"), 0.0).holds[VOLUMES].until - now
        assert 0 < wait <= 1.0
        now += wait
    assert told == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5]


def test_volumes_are_tried_again_less_and_less_often():
    attempts = Attempts(Backoff(), born=0.0)
    waits = []
    for _ in range(10):
        attempts.volumes_failed(pod(), 1000.0, settling=False)
        hold = attempts.pace(pod(), PodRecord("u"), 0.0).holds[VOLUMES]
        waits.append(hold.until - 1000)
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0] and waits[-1] == 122.0


def test_one_object_the_runtime_says_nothing_of_hides_no_other(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod("bad"))
            agent.pods.set_pod("file", pod("good"))
            await until(lambda: is_ready(agent, "bad") and is_ready(agent, "good"))
        real, silent = runtime.container, next(i for i, h in runtime.held.items() if h.record.pod_name == "bad")

        async def answer(container_id: str):
            if container_id == silent:
                raise CriError("ContainerStatus", "Unknown", "no answer")
            return await real(container_id)

        runtime.container = answer  # type: ignore[method-assign]
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", pod("good"))
            await until(lambda: is_ready(agent, "good"))

    clock.run(main())


@live
async def test_an_old_run_that_will_not_go_keeps_no_new_one_from_its_start(agent, runtime):
    agent.pods.set_pod("file", pod())
    await until(lambda: is_ready(agent))
    agent.pods.worker("uid-p").life.attempts.crashes.bump = lambda key, now, since=None: None
    runtime.fail["RemoveContainer"] = new_text
    for restart in range(4):
        newest = max(runtime.held.values(), key=lambda h: h.record.created_at)
        runtime.exit(newest.record.id, 1)
        await until(lambda: runtime.count("StartContainer") == restart + 2)  # noqa: B023
    assert runtime.count("RemoveContainer") == 1
