"""What leads to Services' addresses while a relay lives, and what after it."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit import netns
from netproxy.userspace import ways
from netproxy.userspace.ways import ROUTE_PROTOCOL, Ways

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun (modprobe tun)"),
]
MINE = frozenset({"10.96.0.7", "10.96.0.8", "fd00:96::7"})


@pytest.fixture
def where() -> Iterator[Path]:
    path = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}")
    try:
        subprocess.run(["ip", "-n", path.name, "link", "set", "lo", "up"], check=True, timeout=60)
        yield path
    finally:
        netns.delete(path.name)


def routes(where: Path, kind: str) -> list[str]:
    """Addresses that routes of ours of a kind lead to."""
    told = ""
    for family in ("-4", "-6"):
        argv = ["ip", "-n", where.name, family, "route", "show", "table", "all", "proto", str(ROUTE_PROTOCOL)]
        told += subprocess.run([*argv, "type", kind], check=True, capture_output=True, timeout=60, text=True).stdout
    return sorted(line.split()[line.startswith(kind)] for line in told.splitlines())


def links(where: Path) -> set[str]:
    argv = ["ip", "-n", where.name, "-br", "link"]
    told = subprocess.run(argv, check=True, capture_output=True, timeout=60, text=True).stdout
    return {line.split()[0] for line in told.splitlines()} - {"lo"}


def test_what_leads_here_ends_with_the_process_and_its_successor_takes_it_over(where: Path) -> None:
    def body() -> None:
        first, second = Ways((4, 6)), Ways((4, 6))
        first.prepare()
        assert links(where) == {"wherry-relay0", "wherry-silent"} and first.held() == frozenset()
        first.take(MINE)
        assert first.held() == MINE and routes(where, "local") == routes(where, "unicast") == sorted(MINE)
        second.prepare()
        assert second.held() == frozenset()
        second.keep_only({"10.96.0.7"})
        second.take({"10.96.0.7"})
        first.close()
        assert second.held() == {"10.96.0.7"} and routes(where, "local") == routes(where, "unicast") == ["10.96.0.7"]
        second.close()
        assert routes(where, "local") == [] and routes(where, "unicast") == ["10.96.0.7"]
        assert links(where) == {"wherry-silent"}
        second.remove()
        assert routes(where, "unicast") == [] and links(where) == set()

    netns.call(where, body)


@pytest.mark.parametrize("lost", ["wherry-relay0", "wherry-silent"])
def test_a_link_that_somebody_deletes_is_missed_and_made_again(where: Path, lost: str) -> None:
    def body() -> None:
        mine = Ways((4, 6))
        mine.prepare()
        mine.take(MINE)
        subprocess.run(["ip", "-n", where.name, "link", "del", lost], check=True, timeout=60)
        assert mine.held() == frozenset()
        mine.prepare()
        mine.take(MINE)
        assert mine.held() == MINE
        mine.give_up({"10.96.0.8"})
        assert mine.held() == MINE - {"10.96.0.8"}
        mine.remove()
        assert links(where) == set()

    netns.call(where, body)


def test_without_such_links_what_is_left_behind_swallows(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_pattern: str) -> None:
        raise FileNotFoundError("/dev/net/tun")

    monkeypatch.setattr(ways, "Passing", none)

    def body() -> None:
        mine = Ways((4, 6))
        mine.prepare()
        mine.take(MINE)
        assert mine.held() == MINE and links(where) == set()
        mine.close()
        assert routes(where, "local") == [] and routes(where, "blackhole") == sorted(MINE)
        monkeypatch.undo()
        successor = Ways((4, 6))
        successor.prepare()
        successor.take(MINE)
        assert successor.held() == MINE and routes(where, "blackhole") == []
        successor.remove()
        assert routes(where, "unicast") == []

    netns.call(where, body)
