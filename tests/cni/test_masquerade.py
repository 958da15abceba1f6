"""`ipMasq` of the bridge plugin: the text, then who is seen outside and inside, beside Debian's plugin."""

from __future__ import annotations

import contextlib
from concurrent import futures
from ipaddress import ip_interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery.kit.nft import Nft, NftError
from cni import types
from cni.bridge import config, masquerade
from cni.bridge import plugin as bridge
from cni.host import Host
from cni.portmap.plan import Forward
from cni.portmap.rules import HostPorts
from cni.skel import Request
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Caller
from tests.cni.test_portmap import World, holder, world  # noqa: F401  (the fixture)

MAP = f"inet {masquerade.TABLE} pods4"


def test_a_pod_stays_itself_inside_its_network_and_in_multicast_alone() -> None:
    text = masquerade.ruleset(ip_interface("fd88::5/64"), "net", "veth0")
    chain = f"inet {masquerade.TABLE} leaving-fd88--/64"
    rules = [line.removeprefix(f"add rule {chain} ") for line in text.splitlines() if f"rule {chain}" in line]
    assert rules == ["ip6 daddr fd88::/64 return", "ip6 daddr ff00::/8 return", "masquerade"]
    assert "interval" not in text and "delete" not in text


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ipMasq": "yes"}, types.DECODING_FAILURE),
        ({"ipMasqBackend": "ipfw"}, types.INVALID_CONFIG),
        ({"ipMasq": True, "ipMasqBackend": "iptables"}, types.UNSUPPORTED_FIELD),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(given: dict[str, Any], code: int) -> None:
    with pytest.raises(CniError, match=next(iter(reversed(given)))) as refused:
        config.parse(Request("ADD", "c1", "/x", "eth0", config={"name": "net", **given}))
    assert refused.value.code == code


def test_where_there_is_no_nftables_status_says_so_and_nothing_is_left_to_remove(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_nft: Nft) -> None:
        raise NftError("install libnftables1")

    monkeypatch.setattr(Nft, "_open", missing)
    request = Request("STATUS", "", "", "", config={"name": "net", "ipMasq": True})
    with pytest.raises(CniError, match="libnftables1") as refused:
        bridge.status(request, Host(None, lambda: None))  # type: ignore[arg-type]
    assert refused.value.code == types.PLUGIN_NOT_AVAILABLE
    masquerade.remove("veth0")
    with pytest.raises(CniError, match="libnftables1"):
        masquerade.add([ip_interface("10.88.7.2/24")], "net", "veth0")


def test_where_nftables_does_not_answer_in_time_what_was_asked_is_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pod whose rule stayed would leave its address to the next one with it."""

    def late(_nft: Nft) -> None:
        raise futures.TimeoutError

    monkeypatch.setattr(Nft, "_open", late)
    forward = Forward("tcp", "", 80, "10.88.7.2", 80)
    for ask in (
        lambda: masquerade.add([ip_interface("10.88.7.2/24")], "net", "veth0"),
        lambda: masquerade.remove("veth0"),
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
    given: Any = SimpleNamespace(index=7, host_name="veth0", ifname="eth0", mac="", addresses=())
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
