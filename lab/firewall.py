"""A host firewall that drops what it does not know (Docker's FORWARD, ufw's INPUT) is told of the lab's bridge.

Accepting here opens nothing else: what `uplink` refuses is refused in a table of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from apimachinery.kit import command
from lab import names

DEADLINE = 10.0
_LEGACY = Path("/proc/net/ip_tables_names")
Rule = tuple[str, ...]


def rules(lab: str) -> tuple[Rule, ...]:
    """The chain, then the match, of what must pass: nodes to the host, nodes outward and to each other, answers."""
    bridge = names.bridge(lab)
    answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return (("INPUT", "-i", bridge), ("FORWARD", "-i", bridge), ("FORWARD", "-o", bridge, *answers))


def wanted(listed: str, lab: str) -> tuple[Rule, ...]:
    """Those for chains whose policy is to drop, by what `iptables -S` printed."""
    closed = {line.split()[1] for line in listed.splitlines() if line.startswith("-P ") and line.endswith(" DROP")}
    return tuple(rule for rule in rules(lab) if rule[0] in closed)


async def admit(lab: str) -> None:
    """Insert what is wanted and not there. Raises CommandError."""
    if not await _in_use():
        return
    listed = await _iptables("-S")
    for chain, *match in wanted(listed.stdout.decode(), lab):
        there = await _iptables("-C", chain, *match, "-j", "ACCEPT", check=False)
        if there.returncode:
            await _iptables("-I", chain, *match, "-j", "ACCEPT")


async def forget(lab: str) -> None:
    """Delete every one of the rules, however often it is there. Raises CommandError when iptables cannot work."""
    if not await _in_use():
        return
    for chain, *match in rules(lab):
        rule = (chain, *match, "-j", "ACCEPT")
        # Status 1: there is no such rule; others (4: the lock is held) say nothing about it.
        while (there := await _iptables("-C", *rule, check=False)).returncode == 0:
            await _iptables("-D", *rule)
        if there.returncode != 1:
            raise command.CommandError(there.argv, there.returncode, there.stderr.decode(errors="replace"), None)


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
