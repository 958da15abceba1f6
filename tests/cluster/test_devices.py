"""Devices of claims and of plugins: who offers them on one node, and the containers that get them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from lab import containerd
from lab.paths import Paths
from tests.agent.devices.driver import Driver
from tests.agent.devices.monitor import devices, monitoring
from tests.agent.devices.plugin import DevicePlugin
from tests.cluster.lab import Lab
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

DRIVER, NODE = "wht.example.com", "node2"
EDITS = {"env": ["WHT=g0"], "deviceNodes": [{"path": "/dev/wht-g0", "hostPath": "/dev/null"}]}
CDI = {"cdiVersion": "0.6.0", "kind": "example.com/wht", "devices": [{"name": "g0", "containerEdits": EDITS}]}


class Servant(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@contextmanager
def serving(driver: Servant) -> Iterator[asyncio.AbstractEventLoop]:
    """The driver or plugin at work on a loop of its own, which is told."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(driver.start(), loop).result()
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(driver.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def resource(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def pod(name: str) -> dict[str, Any]:
    base = {"image": "wherry.local/busybox:1", "command": ["sleep", "600"]}
    asking = {**base, "name": "asks", "resources": {"claims": [{"name": "gpu"}]}}
    claims = [{"name": "gpu", "resourceClaimTemplateName": "wht"}]
    spec = {"containers": [asking, {**base, "name": "plain"}], "resourceClaims": claims}
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, "terminationGracePeriodSeconds": 0}}


def test_a_driver_s_device_reaches_the_container_that_asks_and_is_given_back(clean: Lab) -> None:
    lab, paths = clean, Paths(clean.name)
    driver = Driver(DRIVER, _agent(paths))
    driver.answers["*"] = [{"pool": NODE, "name": "g0", "cdi": ["example.com/wht=g0"]}]
    request = {"name": "r", "exactly": {"deviceClassName": "wht"}}
    expression = f'device.driver == "{DRIVER}"'
    objects = [
        resource("DeviceClass", "wht", selectors=[{"cel": {"expression": expression}}]),
        resource("ResourceClaimTemplate", "wht", spec={"devices": {"requests": [request]}}),
        resource(
            "ResourceSlice",
            "wht",
            driver=DRIVER,
            nodeName=NODE,
            pool={"name": NODE, "generation": 1, "resourceSliceCount": 1},
            devices=[{"name": "g0"}],
        ),
    ]
    specification = containerd.cdi_specs(paths, NODE) / "wht.json"
    specification.write_text(json.dumps(CDI))
    try:
        with serving(driver):
            eventually(lambda: (True, "") in driver.told, what="the driver is registered")
            lab.apply(*objects)
            lab.apply(pod("dev"))
            eventually(lambda: len(lab.get("resourceclaims")["items"]) == 1, what="a claim is made")
            meta = lab.get("resourceclaims")["items"][0]["metadata"]
            claim = f"default/{meta['name']}/{meta['uid']}"
            lab.kubectl("wait", "--for=condition=Ready", "pod/dev", "--timeout=120s")
            look = "echo $WHT; ls /dev/wht-g0"
            assert lab.kubectl("exec", "dev", "-c", "asks", "--", "sh", "-c", look).split() == ["g0", "/dev/wht-g0"]
            assert lab.kubectl("exec", "dev", "-c", "plain", "--", "sh", "-c", "echo -$WHT").split() == ["-"]
            assert ("prepare", (claim,)) in driver.calls
            os.kill(lab.pid(f"{NODE}/agent"), signal.SIGKILL)
            lab.kubectl("delete", "pod", "dev", "--wait=false")
            eventually(lambda: ("unprepare", (claim,)) in driver.calls, what="its device is given back")
            eventually(lambda: not lab.get("resourceclaims")["items"], what="and its claim goes")
    finally:
        specification.unlink()
        for kind in ("deviceclass", "resourceclaimtemplate", "resourceslice"):
            lab.kubectl("delete", kind, "wht", check=False)


def _agent(paths: Paths) -> Path:
    return paths.node_state(NODE) / "agent"


async def _told(paths: Paths, pod: str) -> list[Any]:
    """The devices of a pod's container, as the node tells monitoring agents of them."""
    async with monitoring(_agent(paths) / "pod-resources") as monitor:
        (found,) = (each for each in (await monitor.ask("List", "Pods")).pods if each.name == pod)
        return devices(found.containers[0])


def test_a_device_plugin_s_device_is_one_container_s_at_a_time(clean: Lab) -> None:
    lab, resource_name = clean, "wht.example.com/dev"
    plugin = DevicePlugin(resource_name, _agent(Paths(lab.name)), "d0", near={"d0": (1,)})
    plugin.cdi = False

    def amounts() -> tuple[str | None, str | None]:
        status = lab.get("node", NODE)["status"]
        return status["capacity"].get(resource_name), status["allocatable"].get(resource_name)

    def asking(name: str, **spec: Any) -> dict[str, Any]:
        base = {"image": "wherry.local/busybox:1", "command": ["sleep", "600"], "name": "c"}
        containers = [{**base, "resources": {"limits": {resource_name: "1"}}}]
        body = {"containers": containers, "terminationGracePeriodSeconds": 0, **spec}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}

    def health() -> list[Any]:
        return lab.get("pod", "has")["status"]["containerStatuses"][0].get("allocatedResourcesStatus", [])

    def is_told(health: str) -> list[Any]:
        return [{"name": resource_name, "resources": [{"resourceID": "d0", "health": health}]}]

    with serving(plugin) as loop:
        eventually(lambda: amounts() == ("1", "1"), what="the node tells of its device")
        lab.apply(asking("has"))
        lab.kubectl("wait", "--for=condition=Ready", "pod/has", "--timeout=60s")
        look = "echo $IDS; ls /dev/d0; test -d /lib/g && echo mounted"
        assert lab.kubectl("exec", "has", "--", "sh", "-c", look).split() == ["d0", "/dev/d0", "mounted"]
        assert health() == is_told("Healthy")
        assert asyncio.run(_told(Paths(lab.name), "has")) == [(resource_name, ["d0"], [1])]
        lab.apply(asking("late", nodeName=NODE))
        eventually(lambda: lab.get("pod", "late")["status"].get("phase") == "Failed", what="there is no other")
        loop.call_soon_threadsafe(partial(plugin.say, d0=False))
        eventually(lambda: health() == is_told("Unhealthy"), what="the status says how the device is")
        os.kill(lab.pid(f"{NODE}/agent"), signal.SIGKILL)
        lab.kubectl("delete", "pod", "has", "late")
    eventually(lambda: amounts()[1] == "0", what="without its plugin nobody gets it")
