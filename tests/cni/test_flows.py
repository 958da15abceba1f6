"""The short cut between nodes: what is offered to it, and what follows links that come and go. Packets that take it:
tests/vm."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from apimachinery.kit import command, netns, nft
from apimachinery.kit.nft import NftError
from cni.node import flows
from cni.node.flows import Flows, more, ruleset, table_of
from cni.node.masquerade import Masquerade
from tests.cni import kernel

CLUSTER = (ip_network("10.244.0.0/16"), ip_network("fd44::/48"))
WAYS = {2: "eth0", 3: "cni0"}


class Written(Flows):
    """Notes transactions where a kernel would take them."""

    def __init__(self) -> None:
        super().__init__("cni0")
        self.texts: list[str] = []
        self.refused = ""

    async def run(self, text: str) -> None:
        if self.refused and self.refused in text:
            raise NftError("refused", text)
        self.texts.append(text)

    def told(self, ways: dict[int, str], pods: dict[int, str]) -> list[str]:
        self.texts = []
        asyncio.run(self.shorten(CLUSTER, ways, pods))
        return self.texts


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "vm", "6.1.0-56-amd64", "", "")))
    one = Written()
    probe, gone, whole = one.told(WAYS, {})
    assert "table inet wherry-flows-cni0-probe {" in probe and "flow add @pods" in probe
    assert gone.endswith("delete table inet wherry-flows-cni0-probe\n") and whole == ruleset(
        "cni0", CLUSTER, WAYS.values()
    )
    return one


def test_offered_is_what_goes_from_pod_to_pod_by_tcp_through_this_node() -> None:
    text = ruleset("cni0", CLUSTER, ["eth0", "cni0"])
    assert 'devices = { "cni0", "eth0" };' in text
    chain = text.partition("priority filter + 20;\n")[2].partition("  }")[0]
    assert [line.strip() for line in chain.splitlines()] == [
        "meta l4proto != tcp accept",
        'iifname "cni0" oifname "cni0" accept',
        "ct direction reply accept",
        "ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 ct state established ct status & snat == 0 flow add @pods",
        "ip6 saddr fd44::/48 ip6 daddr fd44::/48 ct state established ct status & snat == 0 flow add @pods",
    ]


def test_a_pod_more_leaves_the_others_connections_where_they_are(written: Written) -> None:
    assert written.told(WAYS, {}) == []
    assert written.told(WAYS, {7: "veth7"}) == [more("cni0", ["veth7"])]
    assert written.told(WAYS, {7: "veth7", 8: "veth8"}) == [more("cni0", ["veth8"])]
    assert written.told(WAYS, {8: "veth8"}) == [], "the kernel has let go of it"
    assert written.told(WAYS, {8: "veth8", 9: "veth7"}) == [more("cni0", ["veth7"])], "another link of the same name"


def test_another_way_to_the_nodes_and_a_strangers_hand_have_the_table_written_anew(written: Written) -> None:
    ways, pods = {**WAYS, 4: "wherry-vxlan"}, {7: "veth7"}
    anew = [ruleset("cni0", CLUSTER, [*ways.values(), "veth7"])]
    assert written.told(ways, pods) == anew
    written._doubted = True
    assert written.told(ways, pods) == anew
    assert written.told({2: "eth0", 3: "cni0", 5: "wherry-vxlan"}, pods) == anew, "another device of the same name"


def test_many_links_come_in_several_requests_and_those_that_went_are_not_kept_for_ever(written: Written) -> None:
    many = {number: f"veth{number}" for number in range(10, 310)}

    def listed(texts: list[str]) -> list[int]:
        return [len(re.findall("veth[0-9]+", text)) for text in texts]

    assert listed(written.told(WAYS, many)) == [128, 128, 44]
    seen, anew = set(many.values()), 0
    for number in range(10, 310):
        del many[number]
        many[number + 300] = f"veth{number + 300}"
        texts = written.told(WAYS, many)
        names = set(re.findall("veth[0-9]+", "".join(texts)))
        if "delete table" in texts[0]:
            assert listed(texts) == [128, 128, 44]
            seen, anew = names, anew + 1
        else:
            assert names == {f"veth{number + 300}"}
            seen |= names
        assert seen >= set(many.values()) and len(seen) <= 300 + 128
    assert anew == 2


def test_what_was_refused_is_tried_again(written: Written) -> None:
    written.refused = "veth7"
    for _ in range(2):
        with pytest.raises(NftError):
            written.told(WAYS, {7: "veth7"})
    written.refused = ""
    assert written.told(WAYS, {7: "veth7"}) == [more("cni0", ["veth7"])]
    written._doubted, written.refused = True, "veth7"
    with pytest.raises(NftError):
        written.told(WAYS, {7: "veth7"})
    written.refused = ""
    assert written.told(WAYS, {}) == [ruleset("cni0", CLUSTER, WAYS.values())]


@pytest.mark.parametrize("release", ["5.15.0-91-generic", "4.19", "next"])
def test_kernels_that_lose_connections_in_it_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, release: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "old", release, "", "")))
    caplog.set_level(logging.INFO)
    one = Written()
    assert one.told(WAYS, {}) == one.told(WAYS, {7: "veth7"}) == []
    assert len(caplog.records) == 1 and "older than 6.1" in caplog.text


@pytest.mark.kernel
def test_what_an_earlier_process_left_goes_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise NftError("libnftables cannot be loaded")

    monkeypatch.setattr(nft, "_new_context", missing)

    async def scenario() -> str:
        one, other = Flows("cni0"), Masquerade("cni0")
        for table in (one, other):
            await command.run(["nft", "add", "table", "inet", table.name], timeout=60)
        for _ in range(2):
            await one.remove()
            await other.translate((), CLUSTER, (), 0)
        assert not one.is_written
        return (await command.run(["nft", "list", "tables"], timeout=60)).stdout.decode()

    with kernel.namespaces(1, "f") as (node,):
        assert netns.call(Path(node), lambda: asyncio.run(scenario())) == ""


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT])
def test_a_kernel_without_tables_has_none_to_remove(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def none(**_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(nft, "Netlink", none)
    asyncio.run(Flows("cni0").remove())


@pytest.mark.kernel
def test_where_the_kernel_has_none_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, flows.__name__)

    async def scenario() -> str:
        one = Flows("cni0")
        for pods in ({}, {1: "lo"}):
            await one.shorten(CLUSTER, {1: "lo"}, pods)
        one.close()
        return (await command.run(["nft", "list", "tables"], timeout=60)).stdout.decode()

    with kernel.namespaces(1, "f") as (node,):
        tables = netns.call(Path(node), lambda: asyncio.run(scenario()))
    if table_of("cni0") in tables:
        pytest.skip("this kernel has flow tables")
    assert tables == ""
    assert [record.message.partition(" (")[0] for record in caplog.records] == ["no flow table"]
