"""`ipMasq` in iptables: a chain for each container, under the reference plugin's name for it.

    POSTROUTING ── from the pod's address ──> CNI-hash: inside its network, or multicast: unchanged
                                                        else: the node's address

Names and comments are a contract: whichever plugin is asked to take a container's rules away finds them, and of which
network and container a rule is stands in its comment alone.

Source: https://www.cni.dev/plugins/current/main/bridge/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from apimachinery.kit.command import CommandError
from apimachinery.kit.iptables import Iptables, IptablesError, Snapshot
from apimachinery.kit.iptables_legacy import LegacyTables
from apimachinery.kit.netlink.routes import Interface
from cni import types
from cni.types import CniError

_TABLE, _HOOK = "nat", "POSTROUTING"
_NAME_LENGTH = 28
_PROGRAMS = {4: Iptables("iptables"), 6: Iptables("ip6tables")}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_CHAIN = re.compile(r"CNI-[0-9a-f]{24}")
# As programs print what is ours; quotes in a comment are escaped, and a network's name has none.
_RULE = re.compile(
    r"-A (?P<place>\S+) (-s (?P<address>[0-9a-f.:]+)(/32|/128)? )?"
    r'.*name: \\?"(?P<network>[\w.\-]+)\\?" id: \\?"(?P<container>[\w.\-]+)\\?"'
)


@dataclass(frozen=True)
class Entry:
    """The way into a container's chain; `address` is "" where somebody took all ways and left the chain."""

    network: str
    container_id: str
    chain: str
    address: str


def chain_of(network: str, container_id: str) -> str:
    """A container's chain, of both families."""
    return f"CNI-{hashlib.sha512(f'{network}{container_id}'.encode()).hexdigest()}"[:_NAME_LENGTH]


def added(version: int, saved: Snapshot, addresses: Sequence[Interface], network: str, container_id: str) -> str:
    """iptables-restore text for these addresses of one family; what others left at one makes way. Pure."""
    chain = chain_of(network, container_id)
    comment = f'-m comment --comment "name: \\"{network}\\" id: \\"{container_id}\\""'
    held = {str(a.ip) for a in addresses}
    lines = _without(saved, lambda entry: entry.address in held)
    new = chain not in saved.chains or f"-X {chain}" in lines
    lines += [f"-N {chain}"] if new else []
    if new or not _translates(saved, chain):
        lines.append(f"-A {chain} ! -d {_MULTICAST[version]} {comment} -j MASQUERADE")
    # Before the rule that translates whatever comes by.
    lines += [f"-I {chain} 1 -d {address.network} {comment} -j RETURN" for address in addresses]
    lines += [f"-A {_HOOK} -s {address.ip} {comment} -j {chain}" for address in addresses]
    return "\n".join([f"*{_TABLE}", *lines, "COMMIT", ""])


def removed(saved: Snapshot, unwanted: Callable[[Entry], bool]) -> str:
    """Text that takes the unwanted entries out, and chains that none leads to any more; "" when there is none. Pure."""
    lines = _without(saved, unwanted)
    return "\n".join([f"*{_TABLE}", *lines, "COMMIT", ""]) if lines else ""


def _translates(saved: Snapshot, chain: str) -> bool:
    return any(rule.startswith(f"-A {chain} ") and "-j MASQUERADE" in rule for rule in saved.rules)


def _without(saved: Snapshot, unwanted: Callable[[Entry], bool]) -> list[str]:
    entries = {rule: entry for rule in sorted(saved.rules) if (entry := _entry(rule))}
    ways = {entry.chain for entry in entries.values() if entry.address}
    entries = {rule: entry for rule, entry in entries.items() if entry.address or entry.chain not in ways}
    gone = {rule: entry for rule, entry in entries.items() if unwanted(entry)}
    needed = {entry.chain for rule, entry in entries.items() if rule not in gone}
    lines = [f"-D{rule.removeprefix('-A')}" for rule, entry in gone.items() if entry.address]
    empty = sorted({entry.chain for entry in gone.values()} - needed)
    return lines + [f"-{action} {chain}" for chain in empty for action in "FX"]


def _entry(rule: str) -> Entry | None:
    """Of a rule of POSTROUTING, or of a container's own chain."""
    if not (told := _RULE.match(rule)):
        return None
    found = _CHAIN.findall(rule) if told["place"] == _HOOK else [told["place"]]
    if not found or (told["place"] == _HOOK and not told["address"]):
        return None
    address = told["address"] if told["place"] == _HOOK else ""
    return Entry(told["network"], told["container"], found[-1], address)


def add(addresses: Iterable[Interface], network: str, container_id: str) -> None:
    """CniError when the kernel refuses."""
    require()
    for version, own in _families(addresses):
        saved = _read(version, (_HOOK, chain_of(network, container_id)))
        _write(version, added(version, saved, own, network, container_id))


def remove(network: str, container_id: str, addresses: Collection[str]) -> None:
    """Of these addresses (each with its prefix) alone where they are known: a container may have several interfaces.
    CniError."""
    mine = {address.partition("/")[0] for address in addresses}
    chain = chain_of(network, container_id)
    _remove(lambda entry: entry.chain == chain and (not mine or entry.address in ("", *mine)))


def keep_only(network: str, valid: Collection[str]) -> None:
    """Forget containers of this network that are not `valid`. CniError."""
    _remove(lambda entry: entry.network == network and entry.container_id not in valid)


def check(addresses: Iterable[Interface], network: str, container_id: str) -> None:
    """CniError when an address would leave as it is."""
    chain = chain_of(network, container_id)
    for version, own in _families(addresses):
        saved = _read(version, (_HOOK, chain))
        entries = {e.address for e in map(_entry, saved.rules) if e and e.chain == chain}
        for address in own:
            if str(address.ip) not in entries or not _translates(saved, chain):
                raise CniError(types.INTERNAL, f"{address.ip} is not masqueraded any more")


def require() -> None:
    """CniError(50) where iptables cannot be used."""
    try:
        for programs in _PROGRAMS.values():
            programs.require()
    except IptablesError as missing:
        raise CniError(types.PLUGIN_NOT_AVAILABLE, "ipMasq", str(missing)) from None


def _families(addresses: Iterable[Interface]) -> list[tuple[int, list[Interface]]]:
    every = list(addresses)
    found = ((version, [a for a in every if a.version == version]) for version in _PROGRAMS)
    return [(version, own) for version, own in found if own]


def _remove(unwanted: Callable[[Entry], bool]) -> None:
    for version, programs in _PROGRAMS.items():
        try:
            programs.require()
        except IptablesError:
            # Where there is no iptables, nobody was ever masqueraded by it.
            continue
        # To ask the legacy kind for a table makes it.
        if programs.is_legacy_blocking() and _TABLE not in LegacyTables(version == 6).names():
            continue
        chains = tuple(filter(_CHAIN.fullmatch, _read(version, ()).chains))
        if chains and (text := removed(_read(version, (_HOOK, *chains)), unwanted)):
            _write(version, text)


def _read(version: int, chains: tuple[str, ...]) -> Snapshot:
    try:
        return _PROGRAMS[version].snapshot_blocking(_TABLE, chains)
    except CommandError as problem:
        raise CniError(types.IO_FAILURE, "ipMasq: iptables cannot be read", problem.stderr.strip()[-500:]) from None


def _write(version: int, text: str) -> None:
    try:
        _PROGRAMS[version].restore_blocking(text)
    except CommandError as refused:
        raise CniError(types.IO_FAILURE, "ipMasq: iptables refused the rules", refused.stderr.strip()[-500:]) from None
