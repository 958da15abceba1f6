"""What is found of a lab's tables, whatever other tables the host has."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.nft import Nft
from lab import names, uplink

# What nft 1.0.6 says of one host. Where the owner's flag should be, it writes what lies in its memory.
TEXT = b"table ip wherry-x\ntable ip wherry-x-guard\ntable ip wherry-x-proxy\n"
JSON = (
    b'{"nftables": [{"table": {"family": "ip", "name": "wherry-x", "handle": 3}}, '
    b'{"table": {"family": "ip", "name": "wherry-x-guard", "handle": 5, "flags": \n'
)


def test_the_flag_of_a_tables_owner_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(argv: list[str], **_options: object) -> command.Result:
        return command.Result(tuple(argv), 0, JSON if "-j" in argv else TEXT, b"")

    monkeypatch.setattr("lab.uplink.command.run", answer)
    assert asyncio.run(uplink.tables_there("x")) == ["ip wherry-x", "ip wherry-x-proxy"]
    assert asyncio.run(uplink.tables_there("y")) == []


@pytest.mark.kernel
def test_tables_are_found_beside_those_that_have_an_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, name = "whtway", f"wht-{uuid.uuid4().hex[:8]}"
    run = command.run

    async def there(argv: list[str], **options: object) -> command.Result:
        return await run(["nsenter", f"--net={netns.path_of(name)}", *argv], **options)  # type: ignore[arg-type]

    async def found() -> list[str]:
        nft = Nft(netns.path_of(name))
        try:
            await nft.open()
            await nft.run("table ip wht-guard { flags owner; }\n")
            assert await uplink.tables_there(lab) == []
            await nft.run(f"table ip {names.table(lab)} {{}}\ntable ip {names.proxy_table(lab)}x {{}}\n")
            return await uplink.tables_there(lab)
        finally:
            nft.close()

    netns.create(name)
    try:
        monkeypatch.setattr("lab.uplink.command.run", there)
        assert asyncio.run(found()) == [f"ip {names.table(lab)}"]
    finally:
        netns.delete(name)
