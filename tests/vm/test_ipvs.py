"""On Debian's own kernel: what the project's tests of IPVS mode say there, with real packets."""

from __future__ import annotations

import pytest

from tests.vm import guest

# Each is one guest's work: a file, and which of its tests. Those of every mode have one of this mode where the kernel
# can do it.
PORTIONS = {
    "kinds": ("tests/vm/inside_kinds.py", ""),
    "healing": ("tests/vm/inside_healing.py", ""),
    "endings": ("tests/vm/inside_endings.py", ""),
    "packets": ("tests/netproxy/test_kernel.py", "ipvs and not load"),
    "load": ("tests/netproxy/test_kernel.py", "ipvs and load"),
    "addresses": ("tests/netproxy/test_packets.py", "ipvs"),
    "daemon": ("tests/netproxy/test_daemon.py", "ipvs"),
    "policies": ("tests/netproxy/policy/test_kernel.py", "ipvs"),
}

pytestmark = guest.MARKS


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    guest.compile_packages("apimachinery", "benchmarks", "controlplane", "lab", "netproxy")


@pytest.mark.parametrize("portion", PORTIONS)
def test_ipvs_does_its_work_on_debians_kernel(portion: str) -> None:
    guest.every_test_passes(portion, *PORTIONS[portion])
