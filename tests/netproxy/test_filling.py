"""Elements packed by hand, of a new table or a small change, must be those libnftables makes of the same text."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from apimachinery.kit.nft import NftError
from netproxy.ground import Ground
from netproxy.ledger import Delta, Ledger
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from netproxy.nftables import base, diff
from netproxy.nftables.apply import portions
from netproxy.nftables.plan import Key, Value, plan
from netproxy.nftables.table import OwnTables
from tests.netproxy.simulated import ground

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
_PREFIX = {
    Family.IPV4: ("10.96.0.", "10.244.1.", {"EXTERNAL": "203.0.113.", "RANGE": "198.51.100.0/24"}),
    Family.IPV6: ("fd00:96::", "fd00:244:1::", {"EXTERNAL": "fd00:203::", "RANGE": "fd00:51::/64"}),
}
_KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"node_port": 30000, "external_ips": ("EXTERNAL1",)},
    # The one before has asked for the same address and port.
    {"node_port": 30000, "external_ips": ("EXTERNAL1",), "external_local": True},
    {"load_balancer_ips": ("EXTERNAL3",), "source_ranges": ("RANGE",)},
    {"node_port": 30004, "affinity_seconds": 60},
    {"internal_local": True},
)


def _filled_in(value: Any, words: Mapping[str, str]) -> Any:
    if not isinstance(value, tuple):
        return value
    for word, text in words.items():
        value = tuple(one.replace(word, text) for one in value)
    return value


def _routes(family: Family) -> list[Route]:
    """Each kind with each protocol, without endpoints, with one of this node and with twenty."""
    vip, pod, words = _PREFIX[family]
    made = []
    for number, (kind, protocol, count) in enumerate(
        (kind, protocol, count) for kind in _KINDS for protocol in ("TCP", "UDP", "SCTP") for count in (0, 1, 20)
    ):
        asked = {name: _filled_in(value, words) for name, value in kind.items()}
        key = PortKey("default", f"s{number}", "p", protocol, family)
        port = ServicePort(key, f"{vip}{number + 1}", 80 + number % 2, **asked)
        backends = tuple(sorted(Backend(f"{pod}{n + 1}", 8080 + n % 2, n == 0) for n in range(count)))
        made.append(Route(port, backends, backends[:1] if port.uses_local_endpoints else (), bool(backends)))
    return made


@pytest.fixture
def places() -> Iterator[tuple[Path, Path]]:
    made = [netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}") for _ in range(2)]
    try:
        yield made[0], made[1]
    finally:
        for path in made:
            netns.delete(path.name)


def _written(where: Path) -> Any:
    """All that nft tells of a namespace, but for handles; elements have no order."""
    argv = ["nsenter", f"--net={where}", "nft", "-j", "list", "ruleset"]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout)["nftables"]
    found = []
    for entry in told:
        ((kind, value),) = entry.items()
        value.pop("handle", None)
        if "elem" in value:
            value["elem"] = sorted(json.dumps(one, sort_keys=True) for one in value["elem"])
        if kind != "metainfo":
            found.append(json.dumps({kind: value}, sort_keys=True))
    return sorted(found)


async def _by_text(where: Path, on: Ground, routes: list[Route]) -> None:
    ledger = Ledger[Key, Value]()
    for route in routes:
        ledger.claim(route.port.key, plan(route, on))
    tables = OwnTables(where)
    try:
        await tables.open()
        for text in diff.anew(ledger.items(), base.layout(on)):
            await tables.run(text)
    finally:
        tables.close()


async def _packed(where: Path, on: Ground, routes: list[Route]) -> None:
    tables = OwnTables(where)
    try:
        await tables.open()
        mine = [(route.port.key, route) for route in routes]
        await tables.build(base.layout(on), portions(Ledger[Key, Value](), mine, on, size=7))
    finally:
        tables.close()


@pytest.mark.parametrize("by_priority", [True, False])
@pytest.mark.parametrize("family", list(Family))
def test_packed_elements_are_those_of_the_text(places: tuple[Path, Path], family: Family, by_priority: bool) -> None:
    on = replace(ground(family), random_by_priority=by_priority)
    for write, where in zip((_by_text, _packed), places, strict=True):
        try:
            asyncio.run(write(where, on, _routes(family)))
        except NftError as error:
            if by_priority:
                raise
            pytest.skip(f"this libnftables takes no random number into a key: {error.message}")
    by_text, packed = map(_written, places)
    assert len(by_text) > 80 and sum("elem" in one for one in by_text) >= 9
    assert packed == by_text


def _steps(routes: list[Route], on: Ground) -> list[Delta[Key, Value]]:
    """The first delta makes all of them; each of those that follow gives one another endpoint, or one less."""
    ledger, found = Ledger[Key, Value](), []
    for route in routes:
        ledger.claim(route.port.key, plan(route, on))
    found.append(ledger.delta())
    for route in routes:
        if not route.internal:
            continue
        first, *others = route.internal
        for left in ((first._replace(ip=first.ip + "1"), *others), tuple(others)):
            ledger.commit()
            here = left[:1] if left and left[0].local and route.port.uses_local_endpoints else ()
            changed = route._replace(cluster=left, local=here)
            ledger.claim(route.port.key, plan(changed, on))
            found.append(ledger.delta())
    return found


@pytest.mark.parametrize("family", list(Family))
def test_packed_changes_are_those_of_the_text(places: tuple[Path, Path], family: Family) -> None:
    on = replace(ground(family), random_by_priority=True)
    layout = base.layout(on)
    steps = _steps(_routes(family), on)
    assert sum(bool(diff.exchange(step, layout)) for step in steps) >= 12
    assert not all(diff.exchange(step, layout) for step in steps), "a change of chains is text"

    async def write(where: Path, packed: bool) -> None:
        tables = OwnTables(where)
        try:
            await tables.open()
            await tables.build(layout, [steps[0]])
            for step in steps[1:]:
                if packed:
                    await tables.change(layout, step)
                else:
                    for text in diff.change(step, layout):
                        await tables.run(text)
        finally:
            tables.close()

    for where, packed in zip(places, (False, True), strict=True):
        asyncio.run(write(where, packed))
    by_text, packed_too = map(_written, places)
    assert sum("elem" in one for one in by_text) >= 9
    assert packed_too == by_text


def test_a_packed_change_is_made_whole_or_not_at_all(places: tuple[Path, Path]) -> None:
    """A stranger took away what is to be replaced: the refusal is told, as what is to be written anew."""
    on = ground(Family.IPV4)
    there, absent, new = (Key("cluster-ips", f"10.96.0.{n}") for n in (1, 2, 3))

    async def body() -> None:
        tables = OwnTables(places[0])
        try:
            await tables.open()
            await tables.build(base.layout(on), [Delta({}, {there: ("",)})])
            await tables.change(base.layout(on), Delta({there: ("",), absent: ("",)}, {new: ("",)}))
        finally:
            tables.close()

    with pytest.raises(NftError, match="delete elements.*cluster-ips.*No such file"):
        asyncio.run(body())
    (found,) = (one for one in map(json.loads, _written(places[0])) if one.get("set", {}).get("name") == "cluster-ips")
    assert len(found["set"]["elem"]) == 1 and "10.96.0.1" in found["set"]["elem"][0]


def test_what_the_kernel_refuses_of_packed_elements_is_said(places: tuple[Path, Path]) -> None:
    on = ground(Family.IPV4)

    async def body() -> None:
        tables = OwnTables(places[0])
        try:
            await tables.open()
            await tables.build(
                base.layout(on), [Delta({}, {Key("services", "10.96.0.1 . tcp . 80"): ("goto absent",)})]
            )
        finally:
            tables.close()

    with pytest.raises(NftError, match="the kernel refused: .*add elements.*services.*No such file"):
        asyncio.run(body())


def test_more_elements_than_a_message_holds_arrive(places: tuple[Path, Path]) -> None:
    on = ground(Family.IPV4)
    wanted = {Key("cluster-ips", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"): ("",) for n in range(5000)}

    async def body() -> None:
        tables = OwnTables(places[0])
        try:
            await tables.open()
            await tables.build(base.layout(on), [Delta({}, wanted)])
        finally:
            tables.close()

    asyncio.run(body())
    (found,) = (one for one in map(json.loads, _written(places[0])) if one.get("set", {}).get("name") == "cluster-ips")
    assert len(found["set"]["elem"]) == len(wanted)
