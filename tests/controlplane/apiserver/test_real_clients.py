"""kubectl and Helm of several years against the server: those that WHERRY_CLIENTS names, else the kubectl of the tests.

WHERRY_CLIENTS: paths of executables called kubectl or helm, separated by colons.
"""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apimachinery import kubeconfig
from apimachinery.kinds import CONFIG_MAP, DEPLOYMENT
from tests.controlplane.apiserver.custom.definitions import V1 as BOAT
from tests.controlplane.apiserver.custom.definitions import boat, definition
from tests.controlplane.apiserver.custom.test_served import established
from tests.controlplane.apiserver.server import run

GIVEN = [path for path in os.environ.get("WHERRY_CLIENTS", "").split(":") if path]
FOUND = [path for path in [shutil.which("kubectl")] if path and not GIVEN]
KUBECTLS = [path for path in (*GIVEN, *FOUND) if Path(path).name == "kubectl"]
HELMS = [path for path in GIVEN if Path(path).name == "helm"]
NONE = pytest.param("", marks=pytest.mark.skip(reason="no such executable (set WHERRY_CLIENTS)"))

MANY = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: d}
  spec:
    selector: {matchLabels: {a: b}}
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: ConfigMapList
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
"""


def told(folder, client, *words, text="", fails=False):
    """What a command prints, run while the server answers."""
    config = folder / "kubeconfig"
    if not config.exists():
        ca, cert, key = ((folder / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
        kubeconfig.write(config, kubeconfig.Cluster(client.server, ca=ca, cert=cert, key=key), "admin")
    env = {**os.environ, "KUBECONFIG": str(config), "HOME": str(folder)}

    def call():
        return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, env=env, check=False)

    async def wait():
        done = await asyncio.to_thread(call)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return wait()


@pytest.mark.parametrize("kubectl", KUBECTLS or [NONE])
def test_kubectl_applies_lists_and_says_what_it_does_not_know(tmp_path, kubectl):
    async def test(client):
        await told(tmp_path, client, kubectl, "apply", "-f", "-", text=MANY)
        assert await client.get(CONFIG_MAP, "two", "default") and await client.get(DEPLOYMENT, "d", "default")
        odd = "apiVersion: v9.example.com/v1\nkind: Odd\nmetadata: {name: x}\n"
        assert "no matches for kind" in await told(tmp_path, client, kubectl, "apply", "-f", "-", text=odd, fails=True)
        wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndota: {}\n"
        assert 'unknown field "dota"' in await told(
            tmp_path, client, kubectl, "apply", "-f", "-", text=wrong, fails=True
        )
        assert "image <string>" in await told(tmp_path, client, kubectl, "explain", "pod.spec.containers.image")
        shown = await told(tmp_path, client, kubectl, "get", "cm,deploy")
        assert "configmap/one" in shown and "deployment.apps/d" in shown
        await told(tmp_path, client, kubectl, "create", "cm", "s", "--from-literal=a=b", "--dry-run=server")

    run(tmp_path, test)


@pytest.mark.parametrize("kubectl", KUBECTLS or [NONE])
def test_kubectl_changes_a_custom_resource_as_it_does_a_built_in_kind(tmp_path, kubectl):
    async def test(client):
        await established(client, definition())

        def manifest(crew):
            return json.dumps(boat("a", crew=crew))

        await told(tmp_path, client, kubectl, "apply", "-f", "-", text=manifest(3))
        shown = await told(tmp_path, client, kubectl, "diff", "-f", "-", text=manifest(4), fails=True)
        assert "+  crew: 4" in shown
        await told(tmp_path, client, kubectl, "apply", "-f", "-", text=manifest(4))
        assert (await client.get(BOAT, "a", "default"))["spec"]["crew"] == 4
        assert "crew\t<integer>" in await told(tmp_path, client, kubectl, "explain", "boats.spec")

    run(tmp_path, test)


@pytest.mark.parametrize("helm", HELMS or [NONE])
def test_helm_installs_upgrades_and_removes(tmp_path, helm):
    async def test(client):
        await told(tmp_path, client, helm, "create", str(tmp_path / "chart"))
        await told(tmp_path, client, helm, "install", "r", str(tmp_path / "chart"))
        assert (await client.get(DEPLOYMENT, "r-chart", "default"))["spec"]["replicas"] == 1
        await told(tmp_path, client, helm, "upgrade", "r", str(tmp_path / "chart"), "--set", "replicaCount=2")
        assert (await client.get(DEPLOYMENT, "r-chart", "default"))["spec"]["replicas"] == 2
        await told(tmp_path, client, helm, "uninstall", "r")

    run(tmp_path, test)
