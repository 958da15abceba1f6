"""Events: which part of a pod is meant, upstream's reasons and texts, and how they reach the API server."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.app import Agent
from agent.cri.errors import CriError
from agent.node.registrar import Registrar
from agent.reporter import Reporter
from agent.settings import AgentSettings
from apimachinery.events import EventRecorder
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, live, pod
from tests.waiting import until


class Events:
    """A recorder that keeps (field path, type, reason, text)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, str]] = []
        self.subjects: list[dict[str, Any]] = []

    def event(self, obj: dict[str, Any], type: str, reason: str, message: str) -> None:
        self.subjects.append(obj)
        self.told.append((obj.get("fieldPath", ""), type, reason, message))

    def of(self, path: str) -> list[tuple[str, str]]:
        return [(reason, message) for where, _, reason, message in self.told if where == path]


def listen(agent: Agent) -> Events:
    events = Events()
    agent.reporter._recorder = events
    return events


@live
async def test_every_container_event_says_which_container(agent: Agent, runtime: FakeRuntime) -> None:
    events = listen(agent)
    ephemeral = container("debug", targetContainerName="main")
    made = pod(
        initContainers=[container("first", "busybox:exit-0"), container("side", restartPolicy="Always")],
        containers=[container("main")],
        ephemeralContainers=[ephemeral],
    )
    agent.pods.set_pod("api", made)
    await until(lambda: runtime.running() == ["debug", "main", "side"])
    agent.pods.remove_pod("api", "uid-p")
    await until(lambda: agent.pods.worker("uid-p") is None)
    started = [("Created", "Container created"), ("Started", "Container started")]
    pulled = ("Pulled", 'Container image "busybox:run" already present on machine and can be accessed by the pod')
    for path, name in (
        ("spec.initContainers{side}", "side"),
        ("spec.containers{main}", "main"),
        ("spec.ephemeralContainers{debug}", "debug"),
    ):
        assert events.of(path) == [pulled, *started, ("Killing", f"Stopping container {name}")]
    assert events.of("spec.initContainers{first}")[1:] == started
    # What is not of one container names none: here only what is said of names.
    assert {reason for reason, _ in events.of("")} == {"MissingClusterDNS"}
    pods = [subject for subject in events.subjects if subject["kind"] == "Pod"]
    assert all((s["name"], s["namespace"], s["uid"], s["apiVersion"]) == ("p", "default", "uid-p", "v1") for s in pods)


@live
async def test_a_pull_says_how_long_it_took_and_what_came(agent: Agent, runtime: FakeRuntime) -> None:
    events = listen(agent)
    agent.pods.set_pod("api", pod(containers=[container("c", "busybox:run", imagePullPolicy="Always")]))
    await until(lambda: runtime.running() == ["c"])
    (pulling, pulled, *_) = events.of("spec.containers{c}")
    assert pulling == ("Pulling", 'Pulling image "busybox:run"')
    assert pulled[0] == "Pulled"
    assert pulled[1].startswith('Successfully pulled image "busybox:run" in ')
    assert pulled[1].endswith(" including waiting). Image size: 0 bytes.")


@live
async def test_a_class_that_is_not_there_and_a_namespace_that_cannot_be(agent: Agent, runtime: FakeRuntime) -> None:
    events = listen(agent)
    agent.pods.set_pod("api", pod("a", runtimeClassName="gvisor"))
    agent.pods.set_pod("api", pod("b", hostUsers=False))
    agent.pods.set_pod("api", pod("c", hostname="h" * 60, subdomain="s", setHostnameAsFQDN=True))

    def failures() -> list[str]:
        return sorted(text for reason, text in events.of("") if reason == "FailedCreatePodSandBox")

    await until(lambda: len(failures()) == 3)
    assert failures() == [
        "Failed to create pod sandbox: can't set `spec.hostUsers: false`, user namespaces are not supported "
        "on this node",
        f"Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, FQDN "
        f"{'h' * 60}.s.default.svc.cluster.local is too long (64 characters is the max, 88 characters requested)",
        "Failed to create pod sandbox: failed to lookup RuntimeClass gvisor: no API server to ask",
    ]
    assert runtime.count("RunPodSandbox") == 0


class Api:
    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []

    async def create(self, kind: Any, obj: dict[str, Any], namespace: str) -> dict[str, Any]:
        self.created.append(obj)
        return obj


def test_what_arrives_names_the_part_and_who_says_it() -> None:
    async def main() -> None:
        api: Any = Api()
        recorder = EventRecorder(api, "kubelet", "node1")
        made = pod()
        Reporter(recorder, "node1").container(
            made, made["spec"]["containers"][0], "Normal", "Started", "Container started"
        )
        Reporter(recorder, "node1").node("Normal", "NodeReady", "Node node1 status is now: NodeReady")
        writing = asyncio.ensure_future(recorder.run())
        await until(lambda: len(api.created) == 2)
        writing.cancel()
        first, second = api.created
        assert first["involvedObject"] == {
            "kind": "Pod",
            "namespace": "default",
            "name": "p",
            "uid": "uid-p",
            "apiVersion": "v1",
            "fieldPath": "spec.containers{c}",
        }
        assert first["source"] == {"component": "kubelet", "host": "node1"}
        assert (first["reportingComponent"], first["reportingInstance"]) == ("kubelet", "node1")
        assert second["involvedObject"] == {"kind": "Node", "name": "node1", "uid": "node1", "apiVersion": "v1"}
        assert second["metadata"]["namespace"] == "default"

    asyncio.run(main())


def test_the_node_says_when_it_is_cordoned_and_that_it_was_rebooted() -> None:
    events, nothing = Events(), Any
    settings = AgentSettings(node_name="n", node_ip="10.0.0.1")
    view: Any = nothing
    registrar = Registrar(settings, view, view, 0, Reporter(events, "n"))
    seen: Any = type("Seen", (), {"facts": type("Facts", (), {"boot_id": "new"})})
    for unschedulable, boot in ((False, "new"), (True, "new"), (True, "old"), (False, "old")):
        node = {"spec": {"unschedulable": unschedulable}, "status": {"nodeInfo": {"bootID": boot}}}
        registrar._look(node, seen)
    assert events.told == [
        ("", "Normal", "NodeNotSchedulable", "Node n status is now: NodeNotSchedulable"),
        ("", "Warning", "Rebooted", "Node n has been rebooted, boot id: new"),
        ("", "Normal", "NodeSchedulable", "Node n status is now: NodeSchedulable"),
    ]


@live
async def test_a_probe_that_is_led_away_succeeds_and_says_so(agent: Agent, runtime: FakeRuntime) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 4\r\n\r\ngone")
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    events = listen(agent)
    probe = {"httpGet": {"host": "127.0.0.1", "port": port}, "periodSeconds": 1}
    agent.pods.set_pod("api", pod(containers=[container("c", readinessProbe=probe)]))
    text = "Readiness probe warning: Probe terminated redirects, Response body: gone"
    await until(lambda: ("ProbeWarning", text) in events.of("spec.containers{c}"))
    server.close()


@live
async def test_a_pod_that_cannot_be_stopped_says_so(agent: Agent, runtime: FakeRuntime) -> None:
    agent.pods.set_pod("api", pod())
    await until(lambda: runtime.running() == ["c"])
    events = listen(agent)
    runtime.fail["StopContainer"] = CriError("StopContainer", "Unknown", "no such luck")
    agent.pods.remove_pod("api", "uid-p")
    await until(lambda: any(reason == "FailedKillPod" for reason, _ in events.of("")))
    assert ("FailedKillPod", "error killing pod: rpc error: code = Unknown desc = no such luck") in events.of("")
