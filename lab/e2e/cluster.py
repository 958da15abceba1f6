"""What a trial has at hand: kubectl on the cluster, its nodes, patience, and a pod in the network of each node."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from apimachinery.kit import command

NAMESPACE = "wherry-e2e"
WEB, PROBE = "web", "probe"
OF_A_TRIAL = "trial"
"""the label of pods that go with the trial that made them"""
PORT = 8080
# Each web server tells who it is, and who asked.
SERVE = (
    "mkdir -p /www/cgi-bin && hostname >/www/index.html && "
    "printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' >/www/cgi-bin/who && chmod 755 /www/cgi-bin/who && "
    "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"
)


class Failed(AssertionError):
    """A command said no, or something did not come in time; the message has its words."""


def run(argv: list[str], *, text: str | None = None, timeout: float = 60.0, check: bool = True) -> str:
    """What the command printed. Failed with its errors, unless they are expected."""
    stdin = None if text is None else text.encode()
    try:
        done = asyncio.run(command.run(argv, stdin=stdin, timeout=timeout, check=False))
    except command.CommandError as error:
        raise Failed(str(error)) from error
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode:
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}\n{out}{err}".strip())
    return out


@dataclass(frozen=True)
class Cluster:
    """One cluster; `patience` stretches every deadline, for emulated machines."""

    kubectl_path: str
    kubeconfig: str
    image: str
    nodes: tuple[str, ...]
    patience: float = 1.0

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = 60.0, check: bool = True) -> str:
        """In the trials' namespace."""
        argv = [self.kubectl_path, "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE, *arguments]
        return run(argv, text=text, timeout=timeout * self.patience, check=check)

    def get(self, *arguments: str) -> Any:
        """Objects as the API has them."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Make or change them."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Ask until the answer is true; Failed names the last one."""
        deadline = time.monotonic() + seconds * self.patience
        while True:
            try:
                answer = condition()
                last = repr(answer)
            except Failed as error:
                answer, last = None, str(error)
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {seconds * self.patience:.0f} s; last: {last[-1500:]}")
            # Each question takes time from a slow machine that it needs for the answer.
            time.sleep(0.2 * self.patience)

    def on(self, node: str, app: str) -> str:
        """The pod of that DaemonSet on the node."""
        found = self.get("pods", "-l", f"app={app}", "--field-selector", f"spec.nodeName={node},status.phase=Running")
        names = [pod["metadata"]["name"] for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        if not names:
            raise Failed(f"no pod of {app} runs on {node}")
        return str(names[0])

    def inside(self, pod: str, *argv: str, check: bool = True) -> str:
        """What a command prints in a pod."""
        return self.kubectl("exec", pod, "--", *argv, check=check).strip()

    def fetch(self, pod: str, address: str, port: int = 80, path: str = "/") -> str:
        """GET from a pod, on a fresh connection."""
        bound = str(int(5 * self.patience))
        host = f"[{address}]" if ":" in address else address
        return self.inside(pod, "timeout", bound, "wget", "-q", "-O", "-", f"http://{host}:{port}{path}")

    def pod(self, name: str, node: str, command: str, **spec: Any) -> dict[str, Any]:
        """A pod of one container on that node; `container` in `spec` says more of it."""
        more = spec.pop("container", {})
        container = {"name": "main", "image": self.image, "command": ["sh", "-c", command], **more}
        body = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
        metadata = {"name": name, "labels": {"app": name, OF_A_TRIAL: ""}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}

    def made(self, name: str, node: str, command: str, **spec: Any) -> str:
        """Such a pod, once it is Ready."""
        self.apply(self.pod(name, node, command, **spec))
        self.kubectl(
            "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={90 * self.patience:.0f}s", timeout=100
        )
        return name

    def finished(self, name: str, node: str, command: str, **spec: Any) -> dict[str, Any]:
        """Such a pod, once it is at its end."""
        self.apply(self.pod(name, node, command, **{"restartPolicy": "Never", **spec}))
        ends = ("Succeeded", "Failed")

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get("pod", name)
            return found if found["status"].get("phase") in ends else None

        result: dict[str, Any] = self.until(ended, 90, f"pod {name} ends")
        return result


def service(name: str, app: str = WEB, **spec: Any) -> dict[str, Any]:
    """A Service on port 80 before the pods of an app."""
    body = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": PORT}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def daemon_set(name: str, image: str, command: str, **spec: Any) -> dict[str, Any]:
    """A pod on every node, whatever its taints."""
    container: dict[str, Any] = {"name": "main", "image": image, "command": ["sh", "-c", command]}
    if not spec.get("hostNetwork"):
        container["readinessProbe"] = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1}
    body = {
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        **spec,
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": body}},
    }
