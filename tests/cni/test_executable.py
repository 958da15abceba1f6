"""The specification's cases against executables: ours with a daemon, ours alone, and Debian's plugins beside
them.
"""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.netlink import Netlink, links
from cni import install
from cni.daemon import Daemon
from cni.types import CniError, Result
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller

pytestmark = pytest.mark.kernel
DEBIAN = Path("/usr/lib/cni")
SUBNET = "10.88.7.0/24"


@dataclass
class World:
    """One node namespace with one implementation of the plugins in it."""

    kind: str
    base: Path
    node: Path

    @property
    def socket(self) -> Path:
        return self.base / "run" / "cni.sock"

    @property
    def bin_dir(self) -> Path:
        return DEBIAN if self.kind == "debian" else self.base / "bin"

    def conflist(self, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "whtbr0",
            "isDefaultGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.base / "data"),
                "ranges": [[{"subnet": SUBNET}]],
            },
            **more,
        }
        if self.kind == "daemon":
            bridge["daemonSocket"] = str(self.socket)
        return {"cniVersion": version, "name": "whtnet", "plugins": [bridge]}

    def run(self, scenario: Callable[[Caller], Awaitable[None]]) -> None:
        async def whole() -> None:
            caller = Caller([self.bin_dir])
            if self.kind != "daemon":
                await scenario(caller)
                return
            daemon = Daemon(self.socket, self.base / "data")
            await daemon.start()
            try:
                await scenario(caller)
            finally:
                await daemon.stop()

        kernel.inside(self.node, whole)

    def reserved(self) -> set[str]:
        directory = self.base / "data" / "whtnet"
        return {p.name for p in directory.iterdir() if p.name[0].isdigit()} if directory.is_dir() else set()

    def ports(self) -> set[str]:
        with Netlink(self.node) as node:
            return {link.name for link in node.links() if link.kind == "veth" and not link.name.startswith("gone")}


@pytest.fixture(params=["daemon", "alone", "debian"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "debian" and not (DEBIAN / "bridge").exists():
        pytest.skip("containernetworking-plugins is not installed")
    # The collection had flannel up to 0.9 (Ubuntu 22.04's), which does not yet do all that is asked of 1.0 here.
    if request.param == "debian" and (DEBIAN / "flannel").exists():
        pytest.skip("containernetworking-plugins is older than 1.0")
    if request.param != "debian":
        install.install_executables(tmp_path / "bin")
    with kernel.namespaces(1, "n") as nodes:
        yield World(request.param, tmp_path, nodes[0])


@pytest.fixture
def pod() -> Iterator[Path]:
    with kernel.namespaces(1, "p") as pods:
        yield pods[0]


def shape(result: Result) -> Any:
    """A result without what may differ: names and MACs of links, and newer optional keys."""
    return {
        "cniVersion": result["cniVersion"],
        "interfaces": [("sandbox" in i, bool(i["mac"])) for i in result["interfaces"]],
        "ips": result["ips"],
        "routes": result.get("routes"),
        "dns": result.get("dns"),
    }


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_add_answers_as_the_reference_does(world: World, pod: Path, version: str) -> None:
    async def scenario(caller: Caller) -> None:
        result = await caller.add(world.conflist(version), Attachment("c1", str(pod)))
        ip = {"address": "10.88.7.2/24", "gateway": "10.88.7.1", "interface": 2}
        assert shape(result) == {
            "cniVersion": version,
            "interfaces": [(False, True), (False, True), (True, True)],
            "ips": [{"version": "4", **ip} if version < "1.0.0" else ip],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.7.1"}],
            "dns": {},
        }
        assert result["interfaces"][0]["name"] == "whtbr0"
        assert result["interfaces"][2] == {**result["interfaces"][2], "name": "eth0", "sandbox": str(pod)}
        with Netlink(pod) as inner, Netlink(world.node) as node:
            link = inner.link("eth0")
            near = node.link(result["interfaces"][1]["name"])
            assert link and link.mac == result["interfaces"][2]["mac"] and link.up
            assert near and near.mac == result["interfaces"][1]["mac"] and near.hairpin
            assert [str(r.gateway) for r in inner.routes(4) if r.destination.prefixlen == 0] == ["10.88.7.1"]
        with kernel.echo(pod):
            assert kernel.ask(world.node, "10.88.7.2") == "10.88.7.1"

    world.run(scenario)


def test_delete_undoes_add_and_may_be_repeated(world: World, pod: Path) -> None:
    async def scenario(caller: Caller) -> None:
        network, what = world.conflist(), Attachment("c1", str(pod))
        result = await caller.add(network, what)
        assert world.reserved() == {"10.88.7.2"} and len(world.ports()) == 1
        for _ in range(2):
            await caller.delete(network, what, result)
            assert not world.reserved() and not world.ports()
            with Netlink(pod) as inner:
                assert inner.link("eth0") is None
        again = await caller.add(network, what)
        assert kernel.address_of(again) == "10.88.7.3"
        await caller.delete(network, Attachment("c1", ""), None)
        assert not world.reserved()

    world.run(scenario)


def test_delete_of_the_unknown_succeeds(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        await caller.delete(world.conflist(), Attachment("never", "/run/netns/whtno-such"))
        await caller.delete(world.conflist(), Attachment("never", ""))

    world.run(scenario)


def test_check_sees_what_is_broken(world: World, pod: Path) -> None:
    async def scenario(caller: Caller) -> None:
        network, what = world.conflist(), Attachment("c1", str(pod))
        result = await caller.add(network, what)
        await caller.check(network, what, result)
        with Netlink(pod) as inner:
            inner.do(links.delete("eth0"))
        with pytest.raises(CniError):
            await caller.check(network, what, result)

    world.run(scenario)


def test_a_failed_add_leaves_nothing(world: World, pod: Path) -> None:
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        with Netlink(pod) as inner:
            inner.do(links.add_bridge(links.End("eth0")))
        with pytest.raises(CniError, match="already exists"):
            await caller.add(network, Attachment("c1", str(pod)))
        assert not world.reserved() and not world.ports()

    world.run(scenario)


@pytest.mark.parametrize(
    ("environment", "config", "code"),
    [
        ({"CNI_IFNAME": ""}, {}, 4),
        ({"CNI_NETNS": ""}, {}, 4),
        ({}, {"cniVersion": "9.9.9"}, 1),
        ({}, {"name": ""}, 7),
        ({}, {"name": "a b"}, 7),
        ({"CNI_CONTAINERID": "a b"}, {}, 4),
    ],
)
def test_error_codes_agree(
    world: World, pod: Path, environment: dict[str, str], config: dict[str, str], code: int
) -> None:
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        given = {**network["plugins"][0], "name": network["name"], "cniVersion": "1.0.0", **config}
        base = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": str(pod),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(world.bin_dir),
        }
        with pytest.raises(CniError) as refused:
            await caller.execute("bridge", {**base, **environment}, json.dumps(given).encode())
        assert refused.value.code == code

    world.run(scenario)


def test_versions_are_told(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        for plugin in ("bridge", "host-local", "loopback"):
            supported = (await caller.version(plugin))["supportedVersions"]
            assert {"0.3.0", "0.3.1", "0.4.0", "1.0.0"} <= set(supported)

    world.run(scenario)


def test_loopback(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        plugin = {"type": "loopback", "daemonSocket": str(world.socket)}
        network = {"cniVersion": "1.0.0", "name": "cni-loopback", "plugins": [plugin]}
        with kernel.namespaces(1, "p") as (pod,), Netlink(pod) as inner:
            inner.do(links.change("lo", up=False))
            result = await caller.add(network, Attachment("c1", str(pod), "lo"))
            link = inner.link("lo")
            assert link and link.up
            assert result["interfaces"][0]["name"] == "lo" and result["interfaces"][0]["sandbox"] == str(pod)
            assert {"127.0.0.1/8", "::1/128"} == {ip["address"] for ip in result["ips"]}
            await caller.check(network, Attachment("c1", str(pod), "lo"), result)
            await caller.delete(network, Attachment("c1", str(pod), "lo"))

    world.run(scenario)


def test_a_configuration_without_a_socket_finds_the_daemon(tmp_path: Path, pod: Path) -> None:
    """containerd configures loopback itself, so the executable must know the way."""
    with kernel.namespaces(1, "n") as (node,):
        world = World("daemon", tmp_path, node)
        install.install_executables(world.bin_dir, world.socket, interpreter="/nonexistent")

        async def scenario(caller: Caller) -> None:
            network = {"cniVersion": "0.3.1", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}
            result = await caller.add(network, Attachment("c1", str(pod), "lo"))
            assert result["interfaces"][0]["name"] == "lo"

        world.run(scenario)
        with pytest.raises(CniError, match="no CNI daemon answers"):
            kernel.inside(node, lambda: Caller([world.bin_dir]).add(world.conflist(), Attachment("c1", str(pod))))


def test_both_families_mac_and_mtu(world: World, pod: Path) -> None:
    async def scenario(caller: Caller) -> None:
        sets = [[{"subnet": SUBNET}], [{"subnet": "fd88:7::/64"}]]
        ipam = {"type": "host-local", "dataDir": str(world.base / "data"), "ranges": sets}
        network = world.conflist(mtu=1400, ipam=ipam, capabilities={"mac": True})
        what = Attachment("c1", str(pod), capabilities={"mac": "02:00:00:00:00:07"})
        result = await caller.add(network, what)
        with Netlink(pod) as inner, Netlink(world.node) as node:
            link, near = inner.link("eth0"), node.link(result["interfaces"][1]["name"])
            assert link and near and (link.mtu, near.mtu, link.mac) == (1400, 1400, "02:00:00:00:00:07")
        if world.kind != "debian":
            with kernel.echo(pod):
                assert kernel.ask(world.node, kernel.address_of(result, 6)) == "fd88:7::1"

    world.run(scenario)


def test_gc_and_status(world: World, pod: Path) -> None:
    if world.kind == "debian":
        pytest.skip("Debian's plugins are older than GC and STATUS")

    async def scenario(caller: Caller) -> None:
        network = world.conflist("1.1.0")
        await caller.status(network)
        with kernel.namespaces(1, "p") as (other,):
            kept = await caller.add(network, Attachment("kept", str(pod)))
            await caller.add(network, Attachment("lost", str(other)))
            await caller.gc(network, [("kept", "eth0")])
            assert world.reserved() == {kernel.address_of(kept)}
            assert world.ports() == {kept["interfaces"][1]["name"]}
            assert kept["interfaces"][1]["mtu"] == 1500

    world.run(scenario)


def test_a_foreign_ipam_plugin_is_delegated_to(world: World, pod: Path) -> None:
    if world.kind == "debian" or not (DEBIAN / "static").exists():
        pytest.skip("needs our bridge and Debian's static plugin")
    shutil.copy(DEBIAN / "static", world.bin_dir / "static")

    async def scenario(caller: Caller) -> None:
        ipam = {"type": "static", "addresses": [{"address": "10.88.7.77/24", "gateway": "10.88.7.1"}]}
        result = await caller.add(world.conflist(ipam=ipam), Attachment("c1", str(pod)))
        assert kernel.address_of(result) == "10.88.7.77"
        missing = world.conflist(ipam={"type": "no-such"})
        with pytest.raises(CniError, match="failed to find plugin"):
            await caller.add(missing, Attachment("c2", str(pod), "eth1"))

    world.run(scenario)


def test_our_plugins_take_over_from_debians(tmp_path: Path, pod: Path) -> None:
    """Addresses one implementation reserved are respected and released by the other."""
    if not (DEBIAN / "bridge").exists():
        pytest.skip("containernetworking-plugins is not installed")
    install.install_executables(tmp_path / "bin")
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(1, "p") as (other,):
        world = World("alone", tmp_path, node)

        async def scenario(ours: Caller) -> None:
            theirs = Caller([DEBIAN])
            first = await theirs.add(world.conflist(), Attachment("c1", str(pod)))
            second = await ours.add(world.conflist(), Attachment("c2", str(other)))
            assert world.reserved() == {kernel.address_of(first), kernel.address_of(second)}
            with kernel.echo(other):
                assert kernel.ask(pod, kernel.address_of(second)) == kernel.address_of(first)
            await ours.delete(world.conflist(), Attachment("c1", str(pod)), first)
            await theirs.delete(world.conflist(), Attachment("c2", str(other)), second)
            assert not world.reserved()

        world.run(scenario)


def test_a_burst_through_the_daemon(tmp_path: Path) -> None:
    install.install_executables(tmp_path / "bin")
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(30, "p") as pods:
        world = World("daemon", tmp_path, node)

        async def scenario(caller: Caller) -> None:
            every = [Attachment(f"c{n}", str(p)) for n, p in enumerate(pods)]
            results = await asyncio.gather(*[caller.add(world.conflist(), a) for a in every])
            assert len({kernel.address_of(r) for r in results}) == 30 == len(world.ports())
            await asyncio.gather(*[caller.delete(world.conflist(), a) for a in every])
            assert not world.reserved() and not world.ports()

        world.run(scenario)
        assert list((tmp_path / "run").iterdir()) == []
