"""Run in the guest by test_podnet: a whole lab whose nodes send pods' packets to each other encrypted."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from apimachinery.kit.netlink.routes import MAIN_TABLE
from apimachinery.kit.wireguard import Peer, Wireguard
from cni.node import plan
from cni.settings import WireguardSettings
from lab import names
from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, Traffic, fetch, web, wherry
from tests.cluster.test_lifecycle import NAME, assert_nothing_left, own_ranges, snapshot
from tests.waiting import eventually

pytestmark = pytest.mark.vm
DEVICE = WireguardSettings().device
PATIENCE = 600.0
APP = "secret"
NODES = ("node1", "node2")


@pytest.fixture(scope="module")
def state() -> Iterator[None]:
    """Containers' layers cannot lie on the guest's root, which is made of layers itself."""
    place = Path("/var/lib/wherry")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "lab", place], check=True, timeout=60)
    yield
    subprocess.run(["umount", place], check=True, timeout=60)


def test_a_lab_goes_encrypted_from_its_start_to_its_end(state: None) -> None:
    before = snapshot()
    try:
        wherry("up", "--name", NAME, "--nodes", "2", "--pod-network", "wireguard", timeout=PATIENCE)
        lab = Lab(NAME, kubectl_path())
        lab.apply(*web(APP, 2))
        lab.kubectl("rollout", "status", f"deployment/{APP}", "--timeout=300s", timeout=PATIENCE)
        _everybody_is_reached(lab)
        _the_way_changes(lab)
        _an_agent_ends(lab)
        lab.wherry("node", "remove", NODES[1], timeout=PATIENCE)
        eventually(lambda: not _peers(lab, NODES[0]), what="nobody knows the node that left")
        ranges = own_ranges()
    finally:
        wherry("down", "--name", NAME, timeout=PATIENCE)
    assert_nothing_left(before, ranges)


def _vip(lab: Lab) -> str:
    return str(lab.get("service", APP)["spec"]["clusterIP"])


def _everybody_is_reached(lab: Lab) -> None:
    """Every pod and the VIP, from a pod of each node, from each node, and from the host."""
    pods = lab.running(f"app={APP}")
    assert {pod["spec"]["nodeName"] for pod in pods} == {*NODES}
    eventually(partial(_all_go_encrypted, lab), what="each node has shaken hands with the other")
    vip, told = _vip(lab), {f"{pod['status']['podIP']}:8080": pod["metadata"]["name"] for pod in pods}
    asks = "\n".join(f"timeout 30 wget -q -O - http://{place}/" for place in (*told, vip))
    for pod in pods:
        for answers in (
            lab.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-ec", asks),
            lab.on_node(pod["spec"]["nodeName"], "busybox", "sh", "-ec", asks),
        ):
            *each, by_vip = answers.split()
            assert each == [*told.values()] and by_vip in each
    assert fetch(vip) in told.values()


def _peers(lab: Lab, node: str) -> tuple[Peer, ...]:
    """Those of the node's device; none without one."""
    where = netns.path_of(names.namespace(lab.name, node))
    with Netlink(where) as kernel, Wireguard(where) as control:
        link = kernel.link(DEVICE)
        return control.device(link.index).peers if link else ()


def _goes_encrypted(lab: Lab, node: str) -> bool:
    """Whether the other node has proved itself, and the way to its pods is by the device."""
    where = netns.path_of(names.namespace(lab.name, node))
    with Netlink(where) as kernel:
        link = kernel.link(DEVICE)
        ours = [route.link for route in kernel.routes(protocol=plan.PROTOCOL) if route.table == MAIN_TABLE]
    (*peers,) = _peers(lab, node)
    return link is not None and ours.count(link.index) == 1 == len(peers) and peers[0].heard


def _all_go_encrypted(lab: Lab) -> bool:
    return all(_goes_encrypted(lab, node) for node in NODES)


def _the_way_changes(lab: Lab) -> None:
    with _asking(_vip(lab)) as seen:
        lab.wherry("pod-network", "host-gw", timeout=PATIENCE)
        eventually(lambda: not any(_peers(lab, node) for node in NODES), what="the devices are gone")
        _goes_on(seen)
        lab.wherry("pod-network", "wireguard", timeout=PATIENCE)
        eventually(partial(_all_go_encrypted, lab), what="nodes go encrypted again")
        _goes_on(seen)
    assert seen.errors == []


@contextmanager
def _asking(address: str) -> Iterator[Traffic]:
    """A fresh connection from the host ten times a second at most: whoever never rests has a guest's only processor."""
    seen, done = Traffic(), threading.Event()

    def ask() -> None:
        while not done.wait(0.1):
            try:
                fetch(address)
                seen.answers += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                seen.errors.append(repr(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join(60)


def _goes_on(seen: Traffic) -> None:
    before = seen.answers
    eventually(lambda: seen.answers > before + 10, what="answers")


def _an_agent_ends(lab: Lab) -> None:
    def keys() -> list[set[str]]:
        return [{peer.key for peer in _peers(lab, node)} for node in NODES]

    before, known = lab.pid(f"{NODES[0]}/agent"), keys()
    with _asking(_vip(lab)) as seen:
        os.kill(before, signal.SIGKILL)
        eventually(lambda: lab.pid(f"{NODES[0]}/agent") not in (0, before), what="another agent")
        _goes_on(seen)
        eventually(partial(_all_go_encrypted, lab), what="nodes go encrypted still")
    assert seen.errors == []
    assert keys() == known
