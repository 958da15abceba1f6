"""Legacy tables through python-iptables, in a private namespace; and the words when the package is absent."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.iptables_legacy import Jump, LegacyError, LegacyTables

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy"),
]
RULES = {
    4: """*nat
:OURS - [0:0]
:OURS-ONE - [0:0]
:THEIRS - [0:0]
-A PREROUTING -m comment --comment "no chain" -j ACCEPT
-A PREROUTING -m comment --comment "to ours" -j OURS
-A OUTPUT -j THEIRS
-A OUTPUT -j OURS
-A OUTPUT -p tcp -j OURS-ONE
-A OURS -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -m statistic --mode random --probability 0.5 -j OURS-ONE
-A OURS-ONE -p tcp -m tcp -j DNAT --to-destination 10.1.1.1:80
-A THEIRS -g OURS-ONE
-A THEIRS -j RETURN
COMMIT
"""
}
RULES[6] = RULES[4].replace("10.96.0.1/32", "fd00::1/128").replace("10.1.1.1:80", "[fd00::2]:80")
PROGRAM = {4: "iptables-legacy", 6: "ip6tables-legacy"}


@pytest.fixture
def where() -> Iterator[Path]:
    path = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}l")
    yield path
    netns.delete(path.name)


async def _load(where: Path, family: int) -> None:
    argv = ["nsenter", f"--net={where}", f"{PROGRAM[family]}-restore", "--noflush"]
    result = await command.run(argv, stdin=RULES[family].encode(), timeout=60, check=False)
    if result.returncode:
        pytest.skip(f"this kernel has no legacy {PROGRAM[family]}: {result.stderr.decode()[-200:]}")


async def _rules(where: Path, family: int) -> list[str]:
    result = await command.run(["nsenter", f"--net={where}", f"{PROGRAM[family]}-save", "-t", "nat"], timeout=60)
    return [line for line in result.stdout.decode().splitlines() if line.startswith("-A")]


def _run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


@pytest.mark.parametrize("family", [4, 6])
def test_chains_and_all_jumps_to_them_go_and_the_rest_stays(where: Path, family: int) -> None:
    async def body() -> None:
        await _load(where, family)
        tables = LegacyTables(family == 6, where)
        assert tables.names() == ("nat",)
        assert {"OURS", "OURS-ONE", "THEIRS", "PREROUTING"} <= set(tables.chains("nat"))
        assert Jump("PREROUTING", "OURS") in tables.jumps("nat")
        assert Jump("THEIRS", "OURS-ONE") in tables.jumps("nat")
        assert tables.remove("nat", ["OURS", "OURS-ONE", "NEVER"]) == 2
        left = await _rules(where, family)
        assert left == [
            '-A PREROUTING -m comment --comment "no chain" -j ACCEPT',
            "-A OUTPUT -j THEIRS",
            "-A THEIRS -j RETURN",
        ]
        assert tables.jumps("nat") == (Jump("OUTPUT", "THEIRS"),)
        assert tables.remove("nat", ["OURS"]) == 0

    _run(body())


def test_reading_creates_no_table(where: Path) -> None:
    tables = LegacyTables(netns=where)
    assert tables.chains("nat") == ()
    assert tables.jumps("filter") == ()
    assert tables.remove("nat", ["OURS"]) == 0
    assert tables.names() == ()


def test_tables_of_two_namespaces_are_not_mixed_up(where: Path) -> None:
    other = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}m")
    try:

        async def body() -> None:
            await _load(where, 4)
            await _load(other, 4)
            assert LegacyTables(netns=where).remove("nat", ["THEIRS"]) == 1
            assert "THEIRS" in LegacyTables(netns=other).chains("nat")
            assert "THEIRS" not in LegacyTables(netns=where).chains("nat")

        _run(body())
    finally:
        netns.delete(other.name)


def test_a_missing_package_is_named_only_where_it_is_needed(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iptc", None)
    assert LegacyTables(netns=where).chains("nat") == ()

    async def body() -> None:
        await _load(where, 4)
        with pytest.raises(LegacyError, match="pip install python-iptables"):
            LegacyTables(netns=where).chains("nat")

    _run(body())
