"""The official Python client as its users have it: input, resizing and ports over WebSockets; lists and patches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

from lab.images.catalog import BUSYBOX
from tests.cluster.lab import Lab
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

SECONDS = 60


@pytest.fixture
def core(clean: Lab) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(clean.kubeconfig)))


def start(core: client.CoreV1Api, name: str, script: str, **more: Any) -> None:
    """A Running pod of one container."""
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script], **more}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})

    def running() -> bool:
        return bool(core.read_namespaced_pod(name, "default").status.phase == "Running")

    eventually(running, SECONDS, f"pod {name} to run")


def session(call: Callable[..., Any], name: str, **more: Any) -> Any:
    wanted = {"stderr": True, "stdin": True, "stdout": True, "tty": False, **more}
    return stream(call, name, "default", _preload_content=False, **wanted)


def said(shell: Any, what: str) -> str:
    """What the session has said once `what` is among it."""
    heard = ""
    end = time.monotonic() + SECONDS
    while what not in heard:
        assert time.monotonic() < end, heard
        shell.update(timeout=1)
        heard += shell.read_stdout() if shell.peek_stdout() else ""
    return heard


def test_exec_with_input_as_text(core: client.CoreV1Api) -> None:
    start(core, "streams", "exec sleep 3600")
    shell = session(core.connect_get_namespaced_pod_exec, "streams", command=["sh"])
    shell.write_stdin("echo one; echo zwölf\n")
    assert "zwölf" in said(shell, "zwölf")
    shell.write_stdin("echo bad >&2; exit 7\n")
    shell.run_forever(timeout=SECONDS)
    assert "bad" in shell.read_stderr()
    assert shell.returncode == 7
    whole = stream(
        core.connect_get_namespaced_pod_exec, "streams", "default", command=["echo", "all"], stdout=True, stderr=True
    )
    assert whole == "all\n"


def test_a_terminal_takes_its_size(core: client.CoreV1Api) -> None:
    start(core, "terminal", "exec sleep 3600")
    shell = session(core.connect_get_namespaced_pod_exec, "terminal", command=["sh"], tty=True)
    shell.write_channel(4, json.dumps({"Width": 123, "Height": 45}))
    shell.write_stdin("while ! stty size | grep '45 123'; do sleep 0.1; done; echo fin''ished\n")
    assert "45 123" in said(shell, "finished")
    shell.close()


def test_attach_to_what_reads_its_input(core: client.CoreV1Api) -> None:
    start(core, "reader", "while read line; do echo got $line; done", stdin=True)
    shell = session(core.connect_get_namespaced_pod_attach, "reader")
    shell.write_stdin("hello\n")
    assert "got hello" in said(shell, "got hello")
    shell.close()


def test_a_port_over_channels(core: client.CoreV1Api) -> None:
    start(core, "served", "mkdir /www; echo through > /www/index.html; exec httpd -f -p 8080 -h /www")

    def fetched() -> str:
        forwarded = portforward(core.connect_get_namespaced_pod_portforward, "served", "default", ports="8080")
        sock = forwarded.socket(8080)
        sock.settimeout(60)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
        return answer.decode().rpartition("\r\n\r\n")[2]

    assert eventually(lambda: "through" in fetched(), SECONDS, "the page")


def test_logs_lists_watches_and_patches(core: client.CoreV1Api) -> None:
    start(core, "talker", "echo said; exec sleep 3600")

    def log() -> bytes:
        # As text, this client gives the representation of the bytes: "b'said\\n'".
        return bytes(core.read_namespaced_pod_log("talker", "default", _preload_content=False).data)

    assert eventually(log, SECONDS, "the log") == b"said\n"
    listed = core.list_namespaced_pod("default", field_selector="metadata.name=talker")
    core.patch_namespaced_pod("talker", "default", {"metadata": {"labels": {"seen": "yes"}}})
    seen = watch.Watch()
    version = listed.metadata.resource_version
    for event in seen.stream(core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=SECONDS):
        if (event["object"].metadata.labels or {}).get("seen") == "yes":
            seen.stop()
            break
    else:
        pytest.fail("the watch told of no patch")
