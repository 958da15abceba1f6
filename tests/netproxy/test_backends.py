"""Hosts where both back ends of iptables hold rules: ours go from the one not in use, a stranger's stay."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.iptables import Iptables
from netproxy import names
from netproxy.ground import Ground
from netproxy.iptables.apply import IptablesMode
from netproxy.model import Backend, Family, PortKey, Route, ServicePort

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("iptables-legacy") is None, reason="needs iptables-legacy"),
    pytest.mark.skipif(shutil.which("iptables-nft") is None, reason="needs iptables-nft"),
]
GROUNDS = (Ground(Family.IPV4, cluster_cidrs=("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",)),)
KEY = PortKey("default", "web", "p", "TCP", Family.IPV4)
ROUTES = {KEY: Route(ServicePort(KEY, "10.96.0.9", 80), (Backend("10.244.1.5", 8080),), (), True)}
BACKENDS = ("nft", "legacy")


@pytest.fixture
def where() -> Iterator[Path]:
    path = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}b")
    yield path
    netns.delete(path.name)


async def write(where: Path, backend: str) -> IptablesMode:
    mode = IptablesMode(GROUNDS, where, backend)
    await mode.open()
    try:
        await mode.rebuild(ROUTES)
    except command.CommandError as error:
        pytest.skip(f"this kernel has no {backend} back end: {error.stderr[-200:]}")
    return mode


async def rules(where: Path, backend: str) -> str:
    tool = Iptables("iptables", backend, where)
    return "".join([await tool.save(table) for table in ("nat", "filter")])


@pytest.mark.parametrize("used", BACKENDS)
def test_what_an_earlier_start_wrote_by_the_other_back_end_goes(where: Path, used: str) -> None:
    other = BACKENDS[1 - BACKENDS.index(used)]

    async def body() -> None:
        await write(where, other)
        mode = await write(where, used)
        assert "KUBE-SERVICES" in await rules(where, other)
        await mode.tidy()
        assert "KUBE-" not in await rules(where, other)
        assert names.OWNER_CHAIN not in await rules(where, other)
        assert "--to-destination 10.244.1.5:8080" in await rules(where, used)
        await mode.tidy()

    asyncio.run(body())


def test_cleanup_empties_both(where: Path) -> None:
    async def body() -> None:
        for backend in BACKENDS:
            await write(where, backend)
        mode = IptablesMode(GROUNDS, where, "nft")
        await mode.cleanup()
        for backend in BACKENDS:
            assert "KUBE-" not in await rules(where, backend)

    asyncio.run(body())


def test_another_proxys_legacy_rules_stay(where: Path) -> None:
    async def body() -> None:
        await write(where, "legacy")
        tool = Iptables("iptables", "legacy", where)
        for table in ("nat", "filter"):
            await tool.restore(f"*{table}\n-X {names.OWNER_CHAIN}\nCOMMIT\n")
        before = (await rules(where, "legacy")).count("\n-A")
        await (await write(where, "nft")).cleanup()
        assert (await rules(where, "legacy")).count("\n-A") == before

    asyncio.run(body())


def test_without_the_package_the_log_says_what_to_install(
    where: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        await write(where, "legacy")
        mode = await write(where, "nft")
        monkeypatch.setitem(sys.modules, "iptc", None)
        await mode.tidy()
        assert "pip install python-iptables" in caplog.text
        assert "KUBE-SERVICES" in await rules(where, "legacy")

    asyncio.run(body())
