"""What the last lab leaves of a machine's own settings: what the first one found."""

from __future__ import annotations

from pathlib import Path

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, links
from cni.node import sysctls
from lab import machine, state
from lab import paths as places

pytestmark = pytest.mark.kernel
ALL, ONE = "net.ipv6.conf.all.forwarding", "net.ipv6.conf.whtone.forwarding"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A network namespace that stands for the machine, with a link that forwards though the rest does not."""
    monkeypatch.setattr(places, "RUN", tmp_path / "run")
    monkeypatch.setattr(state, "labs", list)
    (tmp_path / "run").mkdir()
    path = netns.create("whtmachine")
    try:
        with Netlink(path) as kernel:
            kernel.do(links.add_veth(End("whtone"), End("whttwo")))
        for family in ("ipv4", "ipv6"):
            netns.write_sysctl(path, f"net.{family}.conf.all.forwarding", 0)
        netns.write_sysctl(path, ONE, 1)
        yield path
    finally:
        netns.delete("whtmachine")


def test_a_machine_forwards_after_the_last_lab_as_before_the_first(host: Path) -> None:
    before = netns.call(host, machine._forwarding)
    assert (before[machine.FORWARD], before[ALL], before[ONE]) == ("0", "0", "1")
    netns.call(host, machine.prepare)
    netns.call(host, lambda: sysctls.keep(sysctls.names(node=False)))
    with Netlink(host) as kernel:
        kernel.do(links.add_veth(End("whtlater"), End("whtlater2")))
    assert netns.read_sysctl(host, ALL) == "1" and netns.read_sysctl(host, machine.FORWARD) == "1"
    netns.call(host, machine.restore)
    after = netns.call(host, machine._forwarding)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "whtlater" in name and after[name] != "0"]


def test_a_link_that_went_meanwhile_is_no_matter(host: Path) -> None:
    netns.call(host, machine.prepare)
    with Netlink(host) as kernel:
        kernel.do(links.delete("whtone"))
    netns.call(host, machine.restore)
    assert not (places.RUN / "host.json").exists()
