"""`ipMasq` of the bridge plugin: the text, then who is seen outside and inside, beside Debian's plugin."""

from __future__ import annotations

import contextlib
from concurrent import futures
from ipaddress import ip_interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery.kit import command
from apimachinery.kit.iptables import Snapshot
from apimachinery.kit.nft import Nft, NftError
from cni import types
from cni.bridge import config, masquerade, masquerade_iptables, masquerade_nft
from cni.bridge import plugin as bridge
from cni.host import Host
from cni.portmap.plan import Forward
from cni.portmap.rules import HostPorts
from cni.skel import Request
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Caller
from tests.cni.test_portmap import DEBIAN, OF_IPTABLES, World, holder, world  # noqa: F401  (the fixture)

MAP = f"inet {masquerade_nft.TABLE} pods4"


def test_a_pod_stays_itself_inside_its_network_and_in_multicast_alone() -> None:
    text = masquerade_nft.ruleset(ip_interface("fd88::5/64"), "net", "veth0")
    chain = f"inet {masquerade_nft.TABLE} leaving-fd88--/64"
    rules = [line.removeprefix(f"add rule {chain} ") for line in text.splitlines() if f"rule {chain}" in line]
    assert rules == ["ip6 daddr fd88::/64 return", "ip6 daddr ff00::/8 return", "masquerade"]
    assert "interval" not in text and "delete" not in text


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ipMasq": "yes"}, types.DECODING_FAILURE),
        ({"ipMasqBackend": "ipfw"}, types.INVALID_CONFIG),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(given: dict[str, Any], code: int) -> None:
    with pytest.raises(CniError, match=next(iter(reversed(given)))) as refused:
        config.parse(Request("ADD", "c1", "/x", "eth0", config={"name": "net", **given}))
    assert refused.value.code == code


def test_where_there_is_neither_kind_status_says_so_and_nothing_is_left_to_remove(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_nft: Nft) -> None:
        raise NftError("install libnftables1")

    monkeypatch.setattr(Nft, "_open", missing)
    masquerade.require("")
    monkeypatch.setenv("PATH", "/nowhere")
    request = Request("STATUS", "", "", "", config={"name": "net", "ipMasq": True})
    with pytest.raises(CniError, match="libnftables1") as refused:
        bridge.status(request, Host(None, lambda: None))  # type: ignore[arg-type]
    assert refused.value.code == types.PLUGIN_NOT_AVAILABLE
    masquerade.remove(("net", "c1", "eth0"))
    with pytest.raises(CniError, match="libnftables1"):
        masquerade_nft.add([ip_interface("10.88.7.2/24")], "net", "veth0")


def test_nftables_is_opened_once_for_each_thing_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(Nft, "_open", lambda _: done.append("open"))
    monkeypatch.setattr(Nft, "_run", lambda _, text: done.append("run"))
    held, key = [ip_interface("10.88.7.2/24")], ("net", "c1", "eth0")
    for ask in (masquerade.add, masquerade.check):
        ask("", held, key)
    masquerade.require("")
    assert done == ["open", "run", "open", "run", "open"]


def test_where_nftables_does_not_answer_in_time_what_was_asked_is_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pod whose rule stayed would leave its address to the next one with it."""

    def late(_nft: Nft) -> None:
        raise futures.TimeoutError

    monkeypatch.setattr(Nft, "_open", late)
    forward = Forward("tcp", "", 80, "10.88.7.2", 80)
    for ask in (
        lambda: masquerade_nft.add([ip_interface("10.88.7.2/24")], "net", "veth0"),
        lambda: masquerade_nft.remove("veth0"),
        # It is there: iptables would be chosen in its place.
        lambda: masquerade.require(""),
        lambda: HostPorts(tmp_path).check(holder("a", forward)),
    ):
        with pytest.raises(CniError, match="in time") as refused:
            ask()
        assert refused.value.code == types.TRY_AGAIN_LATER


def test_a_pod_that_cannot_be_masqueraded_is_out_of_service_before_its_rules_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever becomes of them: its address is given away next."""
    done: list[str] = []

    def fail(*_: object) -> None:
        raise CniError(types.IO_FAILURE, "refused")

    for name in ("_add_veth", "_dress", "_wait_for"):
        monkeypatch.setattr(bridge, name, lambda *_: None)
    monkeypatch.setattr(masquerade, "add", fail)
    monkeypatch.setattr(masquerade, "remove", lambda *_: done.append("rules"))
    monkeypatch.setattr(bridge, "retire", lambda *_: done.append("link"))
    request = Request("ADD", "c1", "/x", "eth0", config={"name": "net", "ipMasq": True})
    host: Any = SimpleNamespace(kernel=SimpleNamespace(do=lambda *_: None))
    given: Any = SimpleNamespace(index=7, host_name="veth0", ifname="eth0", mac="", addresses=(), gateways=())
    with pytest.raises(CniError, match="refused"):
        bridge._attach(request, host, config.parse(request), given, given, 3, host.kernel)
    assert done == ["link", "rules"]


@pytest.mark.kernel
def test_outside_a_pod_is_seen_as_the_node_and_inside_as_itself(world: World) -> None:  # noqa: F811
    async def scenario(caller: Caller) -> None:
        plain = world.conflist()
        own = {**plain, "plugins": [{**plain["plugins"][0], "ipMasq": True}]}
        first, second = world.attachment(0), world.attachment(1)
        seen = [await caller.add(own, first), await caller.add({**own, "plugins": plain["plugins"][:1]}, second)]
        addresses = [{v: kernel.address_of(result, v) for v in (4, 6)} for result in seen]
        with kernel.echo(world.beside), kernel.echo(world.pods[1]):
            for version, node, outside in ((4, "10.99.0.1", "10.99.0.2"), (6, "fd99::1", "fd99::2")):
                assert kernel.ask(world.pods[0], outside) == node
                assert kernel.ask(world.pods[1], outside) == addresses[1][version], "it did not ask for it"
                assert kernel.ask(world.pods[0], addresses[1][version]) == addresses[0][version]
        await caller.check(own, first, seen[0])
        for _ in range(2):
            await caller.delete(own, first, seen[0])
        again = await caller.add({**own, "plugins": plain["plugins"][:1]}, world.attachment(2))
        with kernel.echo(world.beside):
            assert kernel.ask(world.pods[2], "10.99.0.2") == kernel.address_of(again)

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["alone"], indirect=True)
def test_what_others_left_or_took_is_noticed(world: World) -> None:  # noqa: F811
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        network = {**network, "cniVersion": "1.1.0", "plugins": [{**network["plugins"][0], "ipMasq": True}]}
        what = world.attachment(0)
        result = await caller.add(network, what)
        await world.nft(f"delete element {MAP} {{ {kernel.address_of(result)} }}")
        with pytest.raises(CniError, match="not masqueraded any more"):
            await caller.check(network, what, result)
        await caller.delete(network, what)
        assert "veth" not in await world.nft(f"list map {MAP}")
        # An attachment that went without DEL: its address is another's by now.
        stale = '10.88.7.3 comment "vethother vethgone" : accept'
        await world.nft(f"add element {MAP} {{ {stale} }}")
        result = await caller.add(network, what)
        assert kernel.address_of(result) == "10.88.7.3" and "vethgone" not in await world.nft(f"list map {MAP}")
        # Another network's stay when this one's are collected.
        await world.nft(f'add element {MAP} {{ 10.1.1.1 comment "vethother vethkept" : accept }}')
        await caller.gc(network, [(what.container_id, what.ifname)])
        assert kernel.address_of(result) in await world.nft(f"list map {MAP}")
        await caller.gc(network, [])
        left = await world.nft(f"list map {MAP}")
        assert "vethkept" in left and kernel.address_of(result) not in left
        with contextlib.suppress(CniError):
            await caller.delete(network, what)

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["alone"], indirect=True)
def test_what_a_pod_was_given_before_the_setting_changed_goes_with_it(world: World) -> None:  # noqa: F811
    """The next pod with its address would leave as the node without being asked."""

    async def scenario(caller: Caller) -> None:
        plain = {**world.conflist(), "cniVersion": "1.1.0"}
        network = {**plain, "plugins": [{**plain["plugins"][0], "ipMasq": True}]}
        for end in (
            lambda what: caller.delete(plain, what),
            lambda what: caller.gc(plain, []),
        ):
            what = world.attachment(0)
            result = await caller.add(network, what)
            assert kernel.address_of(result) in await world.nft(f"list map {MAP}")
            await end(what)
            assert kernel.address_of(result) not in await world.nft(f"list map {MAP}")
            await caller.delete(plain, what)

    world.run(scenario)


SAVED = Snapshot(("POSTROUTING",), frozenset())
TEN = ip_interface("10.88.7.2/24")


def entry(address: str, network: str, container: str) -> str:
    comment = f'-m comment --comment "name: \\"{network}\\" id: \\"{container}\\""'
    return f"-A POSTROUTING -s {address}/32 {comment} -j {masquerade_iptables.chain_of(network, container)}"


def test_in_iptables_what_somebody_left_at_an_address_makes_way() -> None:
    stale, kept = entry("10.88.7.2", "net", "gone"), entry("10.88.7.3", "net", "kept")
    chains = [masquerade_iptables.chain_of("net", name) for name in ("gone", "kept", "c1")]
    saved = Snapshot((*SAVED.chains, *chains[:2]), frozenset([stale, kept]))
    lines = masquerade_iptables.added(4, saved, [TEN], "net", "c1").splitlines()
    assert lines[1:5] == [f"-D{stale[2:]}", f"-F {chains[0]}", f"-X {chains[0]}", f"-N {chains[2]}"]
    assert not any(chains[1] in line for line in lines)
    assert [line.split()[-1] for line in lines if chains[2] in line][1:] == ["MASQUERADE", "RETURN", chains[2]]
    # The container itself, once more.
    saved = Snapshot((*SAVED.chains, chains[0]), frozenset([stale]))
    again = masquerade_iptables.added(4, saved, [TEN], "net", "gone").splitlines()
    assert again[1:5] == [f"-D{stale[2:]}", f"-F {chains[0]}", f"-X {chains[0]}", f"-N {chains[0]}"]


def test_in_iptables_a_chain_stays_while_another_interface_needs_it() -> None:
    one, two = entry("10.88.7.2", "net", "c1"), entry("10.88.7.3", "net", "c1")
    chain = masquerade_iptables.chain_of("net", "c1")
    saved = Snapshot((*SAVED.chains, chain), frozenset([one, two]))
    assert masquerade_iptables.removed(saved, lambda e: e.address == "10.88.7.2").splitlines()[1:-1] == [f"-D{one[2:]}"]
    assert f"-X {chain}" in masquerade_iptables.removed(saved, lambda e: e.container_id == "c1")
    assert masquerade_iptables.removed(saved, lambda e: e.network == "other") == ""


@pytest.mark.kernel
@pytest.mark.parametrize("world", OF_IPTABLES, indirect=True)
def test_in_iptables_what_others_took_is_noticed_and_who_is_gone_is_forgotten(world: World) -> None:  # noqa: F811
    async def rules(program: str = "iptables") -> str:
        argv = ["nsenter", f"--net={world.node}", f"{program}-save", "-t", "nat"]
        return (await command.run(argv, timeout=60)).stdout.decode()

    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        network = {**network, "cniVersion": "1.1.0", "plugins": [{**network["plugins"][0], "ipMasq": True}]}
        what = world.attachment(0)
        result = await caller.add(network, what)
        await caller.check(network, what, result)
        await caller.status(network)
        argv = ["nsenter", f"--net={world.node}", "iptables", "-t", "nat", "-F", "POSTROUTING"]
        await command.run(argv, timeout=60)
        with pytest.raises(CniError, match="not masqueraded any more"):
            await caller.check(network, what, result)
        await caller.delete(network, what, result)
        # Which kind it is now is not how it was made.
        first, second = world.attachment(1), world.attachment(2)
        await caller.add(network, first)
        await caller.add(network, second)
        other = {**network, "name": "whtother"}
        await caller.gc(other, [])
        await caller.gc(network, [(first.container_id, first.ifname)])
        for program in ("iptables", "ip6tables"):
            left = await rules(program)
            assert masquerade_iptables.chain_of("whtnet", "c1") in left
            assert masquerade_iptables.chain_of("whtnet", "c2") not in left
        nft = [{k: v for k, v in network["plugins"][0].items() if k != "ipMasqBackend"}]
        await caller.delete({**network, "plugins": nft}, first)
        assert "CNI-" not in await rules() + await rules("ip6tables")

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.skipif(not (DEBIAN / "bridge").exists(), reason="containernetworking-plugins is not installed")
@pytest.mark.parametrize("world", ["iptables"], indirect=True)
def test_debians_bridge_takes_away_what_ours_masqueraded(world: World) -> None:  # noqa: F811
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        network = {**network, "plugins": [{**network["plugins"][0], "ipMasq": True}]}
        what = world.attachment(0)
        result = await caller.add(network, what)
        argv = ["nsenter", f"--net={world.node}", "iptables-save", "-t", "nat"]
        assert masquerade_iptables.chain_of("whtnet", "c0") in (await command.run(argv, timeout=60)).stdout.decode()
        await Caller([DEBIAN]).delete(network, what, result)
        assert "CNI-" not in (await command.run(argv, timeout=60)).stdout.decode()
        await caller.delete(network, what, result)

    world.run(scenario)
