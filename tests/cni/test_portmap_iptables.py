"""Host ports in iptables, of both kinds: the text, then what strangers do to the rules, beside Debian's portmap."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery.kit import command
from apimachinery.kit.iptables import Snapshot
from apimachinery.kit.nft_events import Transaction
from cni import backend, foreign, types
from cni.portmap import chains, config, iptables, rules, table
from cni.portmap.plan import Forward, Holder, Special
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Caller
from tests.cni.test_portmap import DEBIAN, OF_IPTABLES, WEB, World, _passes, request, world  # noqa: F401

NO_RULES = Snapshot(("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), frozenset())
CHAIN = iptables.chain_of("net", "c1")


def holder(*forwards: Forward, special: Special | None = None, **more: Any) -> Holder:
    made = Holder("net", "c1", "eth0", forwards, ("10.244.1.0/24", "fd44::/64"), backend="iptables")
    return replace(made, special=special or Special(), **more)


def applied(saved: Snapshot, text: str) -> Snapshot:
    """What a table holds after iptables-restore has read the text, as far as it is used here."""
    names, held = list(saved.chains), list(saved.rules)
    for line in text.splitlines():
        if line.startswith(":"):
            name = line[1:].split()[0]
            names += [name] if name not in names else []
            held = [rule for rule in held if not rule.startswith(f"-A {name} ")]
        elif line.startswith("-N "):
            assert line[3:] not in names
            names.append(line[3:])
        elif line.startswith(("-A ", "-I ")):
            held.append("-A " + line[3:].replace(" 1 ", " ", 1) if line.startswith("-I") else line)
        elif line.startswith("-D "):
            held.remove("-A " + line[3:])
        elif line.startswith("-F "):
            held = [rule for rule in held if not rule.startswith(f"-A {line[3:]} ")]
        elif line.startswith("-X "):
            names.remove(line[3:])
    return Snapshot(tuple(names), frozenset(held))


def test_what_is_there_stays_and_what_is_missing_comes() -> None:
    one = holder(Forward("tcp", "", 8080, "10.244.1.5", 80), Forward("udp", "10.0.0.1", 53, "10.244.1.5", 53))
    wanted = {CHAIN: [one]}
    whole = applied(NO_RULES, iptables.changes(4, NO_RULES, wanted))
    assert iptables.changes(4, whole, wanted) == "", "nothing is written twice"
    # As another version prints it.
    other = frozenset(r.replace("-d 10.0.0.1 ", "-d 10.0.0.1/32 ").replace("-m tcp ", "") for r in whole.rules)
    assert iptables.changes(4, Snapshot(whole.chains, other), wanted) == ""
    for lost in whole.rules:
        damaged = Snapshot(whole.chains, whole.rules - {lost})
        mended = applied(damaged, iptables.changes(4, damaged, wanted))
        assert mended.rules == whole.rules, lost
    gone = applied(whole, iptables.changes(4, whole, {CHAIN: []}))
    assert CHAIN not in gone.chains and not any(CHAIN in rule for rule in gone.rules)
    assert {iptables.ALL, iptables.MARK, iptables.MASQUERADE} <= set(gone.chains), "others may need them"
    assert iptables.changes(4, gone, {CHAIN: []}) == "" == iptables.changes(6, NO_RULES, wanted)


def test_marks_come_before_the_translation_and_only_where_they_are_wanted() -> None:
    forward = Forward("sctp", "", 8080, "fd44::5", 80)
    text = iptables.changes(6, NO_RULES, {CHAIN: [holder(forward)]})
    own = [line.removeprefix(f"-A {CHAIN} ") for line in text.splitlines() if line.startswith(f"-A {CHAIN} ")]
    assert own == [
        "-s fd44::/64 -p sctp -m sctp --dport 8080 -j CNI-HOSTPORT-SETMARK",
        "-p sctp -m sctp --dport 8080 -j DNAT --to-destination [fd44::5]:80",
    ]
    assert "! -d ::1/128" in text
    plain = iptables.changes(6, NO_RULES, {CHAIN: [holder(forward, snat=False)]})
    assert "MARK" not in plain and "MASQ" not in plain


def test_what_only_iptables_can_do() -> None:
    special = Special(3, "", True, (("!", "-s", "10.0.0.0/8"), ("-m", "comment", "--comment", 'a "b"')))
    both = [Forward("tcp", "", 80, "10.244.1.5", 80), Forward("tcp", "", 80, "fd44::5", 80)]
    four, six = (iptables.changes(v, NO_RULES, {CHAIN: [holder(*both, special=special)]}) for v in (4, 6))
    assert "-s 0.0.0.0/0 -p tcp" in four and "127.0.0.0" not in four and "--set-xmark 0x8/0x8" in four
    assert "! -s 10.0.0.0/8" in four and '--comment "a \\"b\\""' in six and "-s ::/0" in six
    theirs = holder(both[0], special=Special(mark_chain="KUBE-MARK-MASQ"))
    text = iptables.changes(4, NO_RULES, {CHAIN: [theirs]})
    assert "-j KUBE-MARK-MASQ" in text and "CNI-HOSTPORT-SETMARK" not in text and "CNI-HOSTPORT-MASQ" not in text


def test_one_rule_takes_fifteen_ports() -> None:
    forwards = [Forward("tcp", "", port, "10.244.1.5", port) for port in range(1, 17)]
    text = iptables.changes(4, NO_RULES, {CHAIN: [holder(*forwards)]})
    assert [line.count(",") for line in text.splitlines() if "--dports" in line] == [14, 0]


def test_settings_that_only_iptables_has_ask_for_it() -> None:
    parsed = config.parse(request([], conditionsV4=["-s", "10.0.0.0/8"], markMasqBit=0))
    assert parsed.backend == "iptables" and parsed.special == Special(0, "", False, (("-s", "10.0.0.0/8"), ()))
    assert config.parse(request([])).backend == ""


def test_a_host_without_nftables_has_iptables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    code = [types.PLUGIN_NOT_AVAILABLE]

    def missing(_self: object) -> None:
        raise CniError(code[0], "install libnftables1")

    monkeypatch.setattr(table.Table, "require", missing)
    monkeypatch.setattr(chains.Chains, "add", lambda _self, container: added.extend(h.backend for h in container))
    ports = rules.HostPorts(tmp_path)
    ports.add(holder(Forward("tcp", "", 80, "10.244.1.5", 80), backend=""), "/x")
    assert added == ["iptables"]
    monkeypatch.setattr(chains.Chains, "require", missing)
    with pytest.raises(CniError, match="libnftables1"):
        ports.require()
    # One that does not answer is there: what it holds would be forgotten.
    code[0] = types.TRY_AGAIN_LATER
    monkeypatch.setattr(chains.Chains, "require", lambda _self: None)
    with pytest.raises(CniError) as late:
        backend.choose(ports._table.require, ports._chains.require)
    assert late.value.code == types.TRY_AGAIN_LATER


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        (None, True),
        (Transaction(touched_chains={(2, "nat", "CNI-DN-1")}), True),
        (Transaction(touched_chains={(2, "nat", "KUBE-SERVICES")}), False),
        (Transaction(touched_chains={(1, "nat", "CNI-DN-1")}), False),
        (Transaction(lost_chains={(10, "nat", "OUTPUT")}), True),
        (Transaction(deleted_tables={(10, "nat")}), True),
        (Transaction(deleted_tables={(10, "filter")}), False),
    ],
)
def test_which_changes_of_iptables_concern_plugins(told: Transaction | None, ours: bool) -> None:
    assert foreign.concerns(told, ("nat", "raw")) is ours


def test_what_is_changed_while_rules_are_mended_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the legacy kind, on a kernel without IPv6."""

    def opened(ipv6: bool) -> Any:
        if ipv6:
            raise OSError(97, "Address family not supported by protocol")
        return SimpleNamespace(close=lambda: None)

    looks = [b"a", b"a", b"flushed", b"flushed again", b"mended", b"mended"]
    monkeypatch.setattr(foreign, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(foreign, "Fingerprint", opened)
    monkeypatch.setattr(foreign, "_look", lambda prints, _tables: {(ipv6, "nat"): looks.pop(0) for ipv6 in prints})
    told = []

    async def watch() -> None:
        async for _ in foreign._looked_at(("nat",)):
            told.append(len(looks))

    with pytest.raises(IndexError):
        asyncio.run(watch())
    assert told == [3, 2, 1]


def test_where_iptables_has_gone_nobody_ends_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    async def watch() -> list[None]:
        return [each async for each in foreign.changes_of_iptables(("nat",))]

    assert asyncio.run(watch()) == []


def test_a_pod_that_comes_while_the_daemon_ends_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    served = chains.Chains()
    monkeypatch.setattr(served, "_bring", lambda *_: None)

    async def watch() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(served.changes().__anext__(), 0.01)

    asyncio.run(watch())
    served.add([holder(Forward("tcp", "", 80, "10.244.1.5", 80))])


async def run(world: World, program: str, text: str) -> str:  # noqa: F811
    argv = ["nsenter", f"--net={world.node}", program, *text.split()]
    return (await command.run(argv, timeout=60)).stdout.decode()


@pytest.mark.kernel
@pytest.mark.parametrize("world", OF_IPTABLES, indirect=True)
@pytest.mark.parametrize(
    "damage",
    ["-t nat -F", f"-t nat -F {iptables.ALL}", "-t nat -D OUTPUT 1", "-t nat -F POSTROUTING", "-t raw -F"],
)
def test_rules_come_back_after_a_stranger(world: World, damage: str) -> None:  # noqa: F811
    async def scenario(caller: Caller) -> None:
        version = await run(world, "iptables", "--version")
        assert ("legacy" in version) is (world.kind == "legacy")
        network, what = world.conflist(), world.attachment(0, WEB)
        result = await caller.add(network, what)
        before = await run(world, "iptables-save", "-t nat"), await run(world, "iptables-save", "-t raw")
        for program in ("iptables", "ip6tables"):
            if "raw" not in damage or program == "iptables":
                await run(world, program, damage)
        deadline = time.monotonic() + 60
        while not await _passes(caller, network, what, result) or _rules(before) != _rules(
            (await run(world, "iptables-save", "-t nat"), await run(world, "iptables-save", "-t raw"))
        ):
            assert time.monotonic() < deadline, "the rules did not come back"
            await asyncio.sleep(0.05)
        with kernel.echo(world.pods[0]):
            for address, seen in (("10.99.0.1", "10.99.0.2"), ("fd99::1", "fd99::2")):
                assert kernel.ask(world.beside, address, 8080) == seen
            assert kernel.ask(world.node, "127.0.0.1", 8080) == "10.88.7.1"

    world.run(scenario)


def _rules(tables: tuple[str, str]) -> list[list[str]]:
    return [sorted(line for line in text.splitlines() if line.startswith("-A")) for text in tables]


@pytest.mark.kernel
@pytest.mark.skipif(not (DEBIAN / "portmap").exists(), reason="containernetworking-plugins is not installed")
@pytest.mark.parametrize("world", OF_IPTABLES, indirect=True)
def test_debians_portmap_beside_ours_keeps_what_is_its_own_and_takes_ours_away(world: World) -> None:  # noqa: F811
    """Both use the chains of all; who is asked for a container's DEL need not be who made its rules."""

    async def scenario(caller: Caller) -> None:
        network, first = world.conflist(), world.attachment(0, WEB)
        second = world.attachment(1, {**WEB, "hostPort": 8081})
        debian = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
        theirs = {**network, "plugins": [network["plugins"][0], debian]}
        mixed = Caller([DEBIAN])
        await caller.add(network, first)
        result = await caller.add({**network, "plugins": network["plugins"][:1]}, second)
        await _portmap(mixed, "ADD", theirs, second, result)
        with kernel.echo(world.pods[0]), kernel.echo(world.pods[1]):
            for port in (8080, 8081):
                assert kernel.ask(world.beside, "10.99.0.1", port) == "10.99.0.2"
            # Ours are gone by Debian's hand, and only ours.
            await _portmap(mixed, "DEL", theirs, first, None)
            assert kernel.ask(world.beside, "10.99.0.1", 8081) == "10.99.0.2"
            # They come back, for the record is here; and go for good.
            deadline = time.monotonic() + 60
            while iptables.chain_of("whtnet", "c0") not in await run(world, "iptables-save", "-t nat"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            await caller.delete(network, first)
            assert iptables.chain_of("whtnet", "c0") not in await run(world, "iptables-save", "-t nat")
            assert kernel.ask(world.beside, "10.99.0.1", 8081) == "10.99.0.2"
            await _portmap(mixed, "DEL", theirs, second, None)

    world.run(scenario)


async def _portmap(caller: Caller, verb: str, network: dict[str, Any], what: Any, result: Any) -> None:
    await caller._call(verb, network, network["plugins"][1], what, result)
