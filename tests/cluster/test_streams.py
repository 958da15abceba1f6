"""What kubectl does over streams, on WebSockets and on the older SPDY; and files that change under a running pod."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import ports
from lab.images.catalog import BUSYBOX
from tests.cluster.lab import Lab, fetch
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
TRANSPORTS = [pytest.param({}, id="websocket"), pytest.param(SPDY, id="spdy")]


def start(lab: Lab, name: str, script: str, **container: object) -> None:
    """A Ready pod of one container running `script`."""
    volumes = container.pop("volumes", [])
    body = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script], **container}
    spec = {"containers": [body], "terminationGracePeriodSeconds": 0, "volumes": volumes}
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    lab.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


def kubectl(lab: Lab, env: dict[str, str], *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = [lab.kubectl_path, "--kubeconfig", lab.kubeconfig, *arguments]
    return subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **env, "HOME": "/nonexistent"},
    )


@contextmanager
def forwarded(lab: Lab, env: dict[str, str], target: str, port: int) -> Iterator[int]:
    """A local port that leads to `port` of `target`."""
    (local,) = ports.free()
    argv = [lab.kubectl_path, "--kubeconfig", lab.kubeconfig, "port-forward", target, f"{local}:{port}"]
    process = subprocess.Popen(argv, env={**os.environ, **env, "HOME": "/nonexistent"}, stdout=subprocess.DEVNULL)
    try:
        yield local
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("env", TRANSPORTS)
def test_port_forward(clean: Lab, env: dict[str, str]) -> None:
    start(clean, "served", "mkdir /www; echo through > /www/index.html; exec httpd -f -p 8080 -h /www")
    with forwarded(clean, env, "pod/served", 8080) as port:
        assert eventually(lambda: fetch("127.0.0.1", port), what="the first answer") == "through"
        for _ in range(20):
            assert fetch("127.0.0.1", port) == "through"


@pytest.mark.parametrize("env", TRANSPORTS)
def test_exec_input_output_and_exit_code(clean: Lab, env: dict[str, str]) -> None:
    start(clean, "streams", "exec sleep 3600")
    payload = os.urandom(2_000_000)
    through = kubectl(clean, env, "exec", "-i", "streams", "--", "cat", stdin=payload)
    assert (through.returncode, through.stdout == payload) == (0, True), through.stderr
    ended = kubectl(clean, env, "exec", "-i", "streams", "--", "sh", "-c", "cat; echo bad >&2; exit 9", stdin=b"in")
    assert (ended.returncode, ended.stdout) == (9, b"in")
    assert ended.stderr.startswith(b"bad\n")
    missing = kubectl(clean, env, "exec", "streams", "--", "no-such-program")
    assert missing.returncode != 0


def test_cp_there_and_back(clean: Lab, tmp_path: Path) -> None:
    start(clean, "copies", "exec sleep 3600")
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(500_000))
    clean.kubectl("cp", str(source), "copies:/tmp/there")
    clean.kubectl("cp", "copies:/tmp/there", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_run_attaches_and_returns_what_the_command_returned(clean: Lab) -> None:
    image = f"--image={BUSYBOX}"
    words = ["run", "once", "-i", "--rm", "--restart=Never", "--quiet", image, "--", "sh", "-c", "cat; exit 3"]
    done = kubectl(clean, {}, *words, stdin=b"attached\n")
    assert (done.returncode, done.stdout) == (3, b"attached\n"), done.stderr


def test_a_changed_config_map_shows_in_a_running_pod(clean: Lab) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "live"}, "data": {"k": "1"}}
    clean.apply(config)
    start(
        clean,
        "reader",
        "exec sleep 3600",
        volumeMounts=[{"name": "c", "mountPath": "/c"}],
        volumes=[{"name": "c", "configMap": {"name": "live"}}],
    )
    assert clean.kubectl("exec", "reader", "--", "cat", "/c/k") == "1"
    clean.apply({**config, "data": {"k": "2"}})
    eventually(lambda: clean.kubectl("exec", "reader", "--", "cat", "/c/k") == "2", what="the new value")
