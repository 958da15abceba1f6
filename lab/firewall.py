"""A host firewall that drops what it does not know (Docker's FORWARD, ufw's INPUT) is told of the lab's bridge.

Accepting here opens nothing else: what `uplink` refuses is refused in a table of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from apimachinery.kit import command
from lab import names
from lab.spec import Spec

DEADLINE = 10.0
_LEGACY = Path("/proc/net/ip_tables_names")
Rule = tuple[str, ...]


def rules(spec: Spec) -> tuple[Rule, ...]:
    """The chain, then the match, of what must pass: nodes to the host, nodes outward and to each other, answers."""
    bridge = names.bridge(spec.name)
    answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return (("INPUT", "-i", bridge), ("FORWARD", "-i", bridge), ("FORWARD", "-o", bridge, *answers))


def wanted(listed: str, spec: Spec) -> tuple[Rule, ...]:
    """Those for chains whose policy is to drop, by what ``iptables -S`` printed."""
    closed = {line.split()[1] for line in listed.splitlines() if line.startswith("-P ") and line.endswith(" DROP")}
    return tuple(rule for rule in rules(spec) if rule[0] in closed)


async def admit(spec: Spec) -> None:
    """Insert what is wanted and not there. Raises CommandError."""
    if not await _in_use():
        return
    listed = await _iptables("-S")
    for chain, *match in wanted(listed.stdout.decode(), spec):
        there = await _iptables("-C", chain, *match, "-j", "ACCEPT", check=False)
        if there.returncode:
            await _iptables("-I", chain, *match, "-j", "ACCEPT")


async def forget(spec: Spec) -> None:
    """Delete every one of the rules."""
    if await _in_use():
        for chain, *match in rules(spec):
            await _iptables("-D", chain, *match, "-j", "ACCEPT", check=False)


async def _in_use() -> bool:
    """Whether iptables has a filter table at all: asking iptables itself would make one."""
    if shutil.which("iptables") is None:
        return False
    if _LEGACY.exists() and "filter" in _LEGACY.read_text(encoding="ascii").split():
        return True
    listed = await command.run(["nft", "list", "tables", "ip"], timeout=DEADLINE, check=False)
    return "table ip filter" in listed.stdout.decode().splitlines()


async def _iptables(*arguments: str, check: bool = True) -> command.Result:
    return await command.run(["iptables", "-w", "5", *arguments], timeout=DEADLINE, check=check)
