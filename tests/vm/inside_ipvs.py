"""Run in the guest by test_ipvs: the modules that the project counts on, and a connection through a virtual server."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest

VIP, POD = "10.96.0.1", "10.244.1.2"
MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "dummy", "veth", "br_netfilter", "nf_conntrack", "overlay")


def run(line: str) -> str:
    return subprocess.run(line.split(), capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("module", MODULES)
def test_the_kernel_has_the_module(module: str):
    run(f"modprobe {module}")


@pytest.fixture
def server() -> Iterator[None]:
    """A web server in a namespace of its own."""
    for line in (
        "ip netns add pod",
        "ip link add v0 type veth peer name v1 netns pod",
        "ip addr add 10.244.1.1/24 dev v0",
        "ip link set v0 up",
        f"ip -n pod addr add {POD}/24 dev v1",
        "ip -n pod link set v1 up",
        "ip -n pod route add default via 10.244.1.1",
        "ip link add kube-ipvs0 type dummy",
        f"ip addr add {VIP}/32 dev kube-ipvs0",
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.vs.conntrack=1",
    ):
        run(line)
    argv = ["ip", "netns", "exec", "pod", "busybox", "nc", "-ll", "-p", "8080", "-e", "echo", "hello"]
    process = subprocess.Popen(argv)
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def test_a_virtual_server_answers_by_what_lies_behind_it(server: None):
    run(f"ipvsadm -A -t {VIP}:80 -s rr")
    run(f"ipvsadm -a -t {VIP}:80 -r {POD}:8080 -m")
    pause = threading.Event()
    for _ in range(100):
        done = subprocess.run(
            ["busybox", "nc", "-w", "10", VIP, "80"], capture_output=True, text=True, timeout=60, check=False
        )
        if done.stdout == "hello\n":
            break
        # The server is on its way up.
        pause.wait(0.3)
    assert done.stdout == "hello\n", done.stderr
    counted = [line.split() for line in run("ipvsadm -Ln --stats").splitlines() if f"{POD}:8080" in line]
    assert int(counted[0][2]) >= 1
