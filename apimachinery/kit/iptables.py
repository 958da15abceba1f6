"""iptables by its own programs: whole texts to iptables-restore, chain names from iptables-save, single jump
rules.

Works on the nft and the legacy back end alike; every call waits for the xtables lock, with a deadline.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import command

_CHAIN = re.compile(rb"^:(\S+) ", re.MULTILINE)
_RULE = re.compile(rb"^-A (\S+)", re.MULTILINE)
_NFT = b"(nf_tables)"
_LOCK_SECONDS = 5


class IptablesError(Exception):
    """iptables cannot be used here: which program is missing and how to get it."""


@dataclass(frozen=True)
class Snapshot:
    """What a table held at one moment; rules as iptables-save prints them, `-A CHAIN …`."""

    chains: tuple[str, ...]
    rules: frozenset[str]


@dataclass(frozen=True)
class Iptables:
    """One family's programs. `program` is iptables or ip6tables; `backend` empty (the host's choice), nft or
    legacy."""

    program: str = "iptables"
    backend: str = ""
    netns: Path | None = None
    """a namespace file to work in; None: the process's own"""

    def require(self) -> None:
        """Raises IptablesError unless the programs exist."""
        for suffix in ("", "-restore", "-save"):
            if shutil.which(self._name(suffix)) is None:
                raise IptablesError(f"{self._name(suffix)} was not found: install the package iptables")

    async def is_legacy(self) -> bool:
        """Whether the program writes the kernel's legacy tables, not nftables."""
        result = await command.run([self._name(""), "--version"], timeout=10)
        return _NFT not in result.stdout

    def is_legacy_blocking(self) -> bool:
        """`is_legacy` for a thread that may wait."""
        return _NFT not in command.run_blocking([self._name(""), "--version"], timeout=10).stdout

    async def restore(self, text: str, timeout: float = 60.0) -> None:
        """Apply tables' changes; each table's part is atomic and what it does not name stays.

        Raises command.CommandError, which carries the text.
        """
        await command.run(self._restoring(), stdin=text.encode(), timeout=timeout)

    def restore_blocking(self, text: str, timeout: float = 60.0) -> None:
        """`restore` for a thread that may wait."""
        command.run_blocking(self._restoring(), stdin=text.encode(), timeout=timeout)

    async def chains(self, table: str, timeout: float = 60.0) -> tuple[str, ...]:
        """The names of a table's chains, built-in ones too; empty when the kernel has no such table."""
        return (await self.snapshot(table, (), timeout)).chains

    async def snapshot(self, table: str, rules_of: Collection[str], timeout: float = 60.0) -> Snapshot:
        """A table's chain names, and the rules of the chains in `rules_of`."""
        result = await command.run([*self._command("-save"), "-t", table], timeout=timeout, check=False)
        return _snapshot(result.stdout, rules_of)

    def snapshot_blocking(self, table: str, rules_of: Collection[str], timeout: float = 60.0) -> Snapshot:
        """`snapshot` for a thread that may wait."""
        result = command.run_blocking([*self._command("-save"), "-t", table], timeout=timeout, check=False)
        return _snapshot(result.stdout, rules_of)

    async def sizes(self, table: str, timeout: float = 60.0) -> dict[str, int]:
        """How many rules each chain of a table has; empty when the kernel has no such table."""
        result = await command.run([*self._command("-save"), "-t", table], timeout=timeout, check=False)
        rules = Counter(_RULE.findall(result.stdout))
        return {name.decode(): rules[name] for name in _CHAIN.findall(result.stdout)}

    async def save(self, table: str, timeout: float = 60.0) -> str:
        """A table's rules as text, for people and tests."""
        result = await command.run([*self._command("-save"), "-t", table], timeout=timeout)
        return result.stdout.decode()

    async def has_chain(self, table: str, chain: str) -> bool:
        """True when the chain exists."""
        return await self._try("-S", table, chain, ["1"])

    async def has_rule(self, table: str, chain: str, rule: str) -> bool:
        """True when the chain holds this rule (text without -A CHAIN)."""
        return await self._try("-C", table, chain, shlex.split(rule))

    async def remove(self, table: str, chain: str, rule: str) -> None:
        """Take every copy of `rule` out of `chain`; neither need exist."""
        for _ in range(16):
            if not await self._try("-D", table, chain, shlex.split(rule)):
                return

    async def _try(self, action: str, table: str, chain: str, words: Sequence[str]) -> bool:
        result = await command.run(self._argv(action, table, chain, words), timeout=30, check=False)
        return result.returncode == 0

    def _argv(self, action: str, table: str, chain: str, words: Sequence[str]) -> list[str]:
        return [*self._command(), "-w", str(_LOCK_SECONDS), "-t", table, action, chain, *words]

    def _restoring(self) -> list[str]:
        return [*self._command("-restore"), "--noflush", "-w", str(_LOCK_SECONDS)]

    def _command(self, suffix: str = "") -> list[str]:
        enter = ["nsenter", f"--net={self.netns}"] if self.netns else []
        return [*enter, self._name(suffix)]

    def _name(self, suffix: str = "") -> str:
        return f"{self.program}-{self.backend}{suffix}" if self.backend else self.program + suffix


def _snapshot(saved: bytes, rules_of: Collection[str]) -> Snapshot:
    wanted = tuple(f"-A {chain} ".encode() for chain in rules_of)
    lines = saved.splitlines() if wanted else []
    rules = frozenset(line.decode() for line in lines if line.startswith(wanted))
    return Snapshot(tuple(name.decode() for name in _CHAIN.findall(saved)), rules)
