"""A host firewall whose policy is to drop lets the lab through, and is left as it was found."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator

import pytest

from apimachinery.kit import command, netns
from lab import firewall

DOCKER = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n"


def test_only_closed_chains_get_rules() -> None:
    assert firewall.wanted(DOCKER, "lab") == firewall.rules("lab")[1:]
    assert firewall.wanted(DOCKER.replace("INPUT ACCEPT", "INPUT DROP"), "lab") == firewall.rules("lab")
    assert firewall.wanted(DOCKER.replace("FORWARD DROP", "FORWARD ACCEPT"), "lab") == ()


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[netns.Namespace]:
    """A namespace in which the module's commands run."""
    name = f"wht-{uuid.uuid4().hex[:8]}"
    netns.create(name)
    path = netns.path_of(name)
    run = command.run

    async def there(argv: list[str], **options: object) -> command.Result:
        return await run(["nsenter", f"--net={path}", *argv], **options)  # type: ignore[arg-type]

    monkeypatch.setattr("lab.firewall.command.run", there)
    yield path
    netns.delete(name)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_rules_come_once_and_go(inside: netns.Namespace) -> None:
    async def listed() -> list[str]:
        return (await firewall._iptables("-S")).stdout.decode().splitlines()

    async def main() -> None:
        await firewall.admit("lab")
        assert (await command.run(["nft", "list", "tables"], timeout=60)).stdout == b""
        await firewall._iptables("-P", "FORWARD", "DROP")
        before = await listed()
        for _ in range(2):
            await firewall.admit("lab")
        assert sorted(set(await listed()) - set(before)) == [
            "-A FORWARD -i wh-lab -j ACCEPT",
            "-A FORWARD -o wh-lab -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ]
        assert len(await listed()) == len(before) + 2
        await firewall.forget("lab")
        assert await listed() == before

    asyncio.run(main())
