"""On Debian's own kernel: what the pod network does there and cannot do on every kernel."""

from __future__ import annotations

import pytest

from tests.vm import guest

PORTIONS = {
    "vlans": ("tests/vm/inside_vlan.py", ""),
    "flow tables": ("tests/vm/inside_flows.py", ""),
    "vxlan": ("tests/cni/test_overlay.py", "traffic"),
    "wireguard": ("tests/vm/inside_wireguard.py", ""),
    "whole lab": ("tests/vm/inside_lab.py", ""),
    "host ports": ("tests/cni/test_portmap.py", "(every_side or sctp) and (daemon or iptables or legacy)"),
}

pytestmark = guest.MARKS


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    guest.compile_packages("agent", "apimachinery", "cni", "controlplane", "lab", "netproxy", "tests/cluster")


@pytest.mark.parametrize("portion", PORTIONS)
def test_the_pod_network_does_its_work_on_debians_kernel(portion: str) -> None:
    guest.every_test_passes(portion, *PORTIONS[portion])
