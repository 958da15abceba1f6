"""A lab as a test uses it: real commands, real kubectl, real connections from the host, nodes and pods."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from apimachinery import kinds, kubeconfig
from lab.paths import Paths
from lab.process import entering, on_node
from lab.supervisor_client import Supervision
from tests.cluster.commands import ROOT, Commands

EXAMPLES = ROOT / "docs" / "examples"


def run(
    argv: list[str],
    *,
    text: str | None = None,
    timeout: float = 180,
    check: bool = True,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A command's outcome; a failure shows what it printed."""
    done = subprocess.run(
        argv,
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return _well(argv, done) if check else done


def wherry(*arguments: str, timeout: float = 450, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line, as `./wherry` runs it once everything is installed."""
    done = _commands().run(list(arguments), {**os.environ, "PYTHONPATH": str(ROOT)}, timeout)
    return _well(["wherry", *arguments], done) if check else done


@functools.cache
def _commands() -> Commands:
    return Commands()


def _well(argv: list[str], done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def fetch(address: str, port: int = 80, timeout: float = 30.0) -> str:
    """GET / on a fresh connection from the host."""
    link = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        link.request("GET", "/")
        reply = link.getresponse()
        body = reply.read().decode()
        assert reply.status == 200, f"HTTP {reply.status}: {body}"
        return body.strip()
    finally:
        link.close()


@dataclass
class Traffic:
    """What a client that never stops asking has seen."""

    answers: int = 0
    errors: list[str] = field(default_factory=list)


@contextmanager
def traffic(address: str, port: int = 80) -> Iterator[Traffic]:
    """Ask in a loop, a fresh connection each time, until the block ends."""
    seen, done = Traffic(), threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                fetch(address, port)
                seen.answers += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                seen.errors.append(f"{time.strftime('%X')} {error!r}")
            time.sleep(0.01)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join(10)


# By what kubectl calls them, too; of two groups with one name the older.
_KINDS = {
    word: kind
    for kind in reversed([each for each in vars(kinds).values() if isinstance(each, kinds.Kind)])
    for word in (kind.plural, kind.singular, *kind.short_names)
}


@functools.lru_cache(maxsize=4)
def _trust(path: str, _written: int) -> tuple[str, ssl.SSLContext]:
    """Address and context of a kubeconfig; the file's time tells a lab from an earlier one of its name."""
    cluster = kubeconfig.load(Path(path))
    return cluster.server.removeprefix("https://"), cluster.ssl_context()


def _connection(path: str, written: int) -> http.client.HTTPSConnection:
    address, context = _trust(path, written)
    return http.client.HTTPSConnection(address, timeout=60, context=context)


def _asked(link: http.client.HTTPSConnection, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    link.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    reply = link.getresponse()
    return reply.status, reply.read().decode()


# Owners first, for they would make anew what they own; then what holds on to others.
_LEFT = (
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "jobs",
    "replicasets",
    "pods",
    "services",
    "configmaps",
    "secrets",
    "poddisruptionbudgets",
    "networkpolicies",
    "persistentvolumeclaims",
    "certificatesigningrequests",
)
# What the cluster itself keeps there.
_STAYING = {"kubernetes", "kube-root-ca.crt"}


@dataclass(frozen=True)
class Lab:
    """One running lab."""

    name: str
    kubectl_path: str

    @property
    def kubeconfig(self) -> str:
        return f"/var/lib/wherry/{self.name}/kubeconfig"

    def wherry(self, *arguments: str, timeout: float = 450, check: bool = True) -> subprocess.CompletedProcess[str]:
        head = arguments[:1] if arguments[0] not in ("node", "image") else arguments[:2]
        return wherry(*head, "--name", self.name, *arguments[len(head) :], timeout=timeout, check=check)

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = 180, check: bool = True) -> str:
        argv = [self.kubectl_path, "--kubeconfig", self.kubeconfig, *arguments]
        env = {"HOME": "/nonexistent"}
        return run(argv, text=text, timeout=timeout, check=check, env=env).stdout

    def get(
        self, resource: str, name: str = "", *, label: str = "", field: str = "", namespace: str = "default"
    ) -> Any:
        """An object, or a list by selectors, straight from the API: who polls starts no kubectl each time."""
        kind = _KINDS[resource]
        query = urlencode({key: text for key, text in (("labelSelector", label), ("fieldSelector", field)) if text})
        with self._link() as link:
            status, text = _asked(link, "GET", kind.path(namespace, name or None) + (f"?{query}" if query else ""))
        assert status == 200, f"HTTP {status}: {text}"
        return json.loads(text)

    def clear(self) -> None:
        """Delete what tests leave in the default namespace, and their requests for certificates. Nothing is awaited."""
        options = json.dumps({"gracePeriodSeconds": 1, "propagationPolicy": "Background"})
        with self._link() as link:
            for resource in _LEFT:
                kind = _KINDS[resource]
                status, text = _asked(link, "GET", kind.path("default"))
                assert status == 200, f"HTTP {status}: {text}"
                for name in {obj["metadata"]["name"] for obj in json.loads(text)["items"]} - _STAYING:
                    status, text = _asked(link, "DELETE", kind.path("default", name), options)
                    assert status in (200, 202, 404), f"HTTP {status}: {text}"

    @contextmanager
    def _link(self) -> Iterator[http.client.HTTPSConnection]:
        link = _connection(self.kubeconfig, Path(self.kubeconfig).stat().st_mtime_ns)
        try:
            yield link
        finally:
            link.close()

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def post(self, resource: str, obj: dict[str, Any], namespace: str = "default") -> int:
        """The status with which one object is made, straight at the API."""
        with self._link() as link:
            status, _ = _asked(link, "POST", _KINDS[resource].path(namespace), json.dumps(obj))
        return status

    def status(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.wherry("status", "-o", "json").stdout)
        return result

    def pid(self, component: str) -> int:
        """As its supervisor knows it; `wherry status` would ask everybody, in an interpreter of its own."""
        return asyncio.run(Supervision(Paths(self.name)).pid(component))

    def on_node(self, node: str, *argv: str) -> str:
        """As `wherry shell` runs it, which would be an interpreter each time."""
        return run([*entering(on_node(Paths(self.name), node)), *argv]).stdout.strip()

    def fetch_on_node(self, node: str, address: str, port: int = 80) -> str:
        return self.on_node(node, "timeout", "3", "busybox", "wget", "-q", "-O", "-", f"http://{address}:{port}/")

    def fetch_in_pod(self, pod: str, address: str, port: int = 80) -> str:
        url = f"http://{address}:{port}/"
        return self.kubectl("exec", pod, "--", "timeout", "3", "wget", "-q", "-O", "-", url).strip()

    def running(self, label: str) -> list[dict[str, Any]]:
        """Pods with the label that are Ready and not being deleted."""
        pods = self.get("pods", label=label)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and ready(pod)]


def ready(obj: dict[str, Any]) -> bool:
    conditions = obj.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def web(name: str, replicas: int, **template: Any) -> list[dict[str, Any]]:
    """The example's Deployment and Service under another name."""
    objects: list[dict[str, Any]] = list(yaml.safe_load_all((EXAMPLES / "web.yaml").read_text()))
    deployment, service = objects
    for obj in objects:
        obj["metadata"]["name"] = name
    deployment["spec"]["replicas"] = replicas
    deployment["spec"]["selector"]["matchLabels"] = {"app": name}
    deployment["spec"]["template"]["metadata"]["labels"] = {"app": name}
    deployment["spec"]["template"]["spec"].update(template)
    service["spec"]["selector"] = {"app": name}
    return objects
