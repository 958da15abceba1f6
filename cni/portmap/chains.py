"""Keeps host ports in chains of iptables, of either kind (nft, legacy): looks, and writes what is missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence

from apimachinery.kit.command import CommandError
from apimachinery.kit.iptables import Iptables, IptablesError, Snapshot
from cni import types
from cni.foreign import changes_of_iptables
from cni.portmap import iptables
from cni.portmap.plan import Holder
from cni.types import CniError

_PROGRAMS = {4: Iptables("iptables"), 6: Iptables("ip6tables")}
# Another program that makes the same chain between our look and our write has ours refused: look again.
_TURNS = 3
# Seconds between two looks: whoever changes the table again and again costs no more than a little of the machine.
PAUSE = 0.5


class Chains:
    """One node's. Methods block and may be called from any thread of the node's namespace; failures are CniError."""

    def __init__(self) -> None:
        self._used = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_rules = False

    def add(self, container: Sequence[Holder]) -> None:
        """`container`: every attachment of one container, the new one too."""
        self._note(True)
        self._bring(container, [])

    def remove(self, holder: Holder, container: Sequence[Holder]) -> None:
        """`container`: its other attachments."""
        self._bring(container, [holder])

    def restore(self, everybody: Sequence[Holder], gone: Sequence[Holder]) -> None:
        """What is missing; nothing is touched where there is nobody. The chains of `gone` go."""
        self._note(bool(everybody))
        if everybody or gone:
            self._bring(everybody, gone)

    def check(self, container: Sequence[Holder]) -> None:
        """CniError when something is missing in the kernel."""
        for version, text in self._missing(container, []):
            if text:
                raise CniError(types.INTERNAL, f"a host port's rule is missing in IPv{version}", text)

    def require(self) -> None:
        """CniError(50) when rules cannot be written here."""
        try:
            for programs in _PROGRAMS.values():
                programs.require()
        except IptablesError as missing:
            raise CniError(types.PLUGIN_NOT_AVAILABLE, "host ports cannot be served", str(missing)) from None

    async def changes(self) -> AsyncIterator[None]:
        """Yields whenever another program may have changed the tables; nothing is watched while nobody is served."""
        self._loop = asyncio.get_running_loop()
        if self._has_rules:
            self._used.set()
        await self._used.wait()
        async for _ in changes_of_iptables((iptables.TABLE, iptables.GUARD_TABLE)):
            if self._has_rules:
                yield
            await asyncio.sleep(PAUSE)

    def _note(self, has_rules: bool) -> None:
        self._has_rules = has_rules
        if has_rules and self._loop is not None:
            # RuntimeError: the loop has closed, and nobody watches.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._used.set)

    def _bring(self, holders: Iterable[Holder], gone: Iterable[Holder]) -> None:
        holders, gone = list(holders), list(gone)
        self.require()
        try:
            if any(h.snat and f.version == 4 for h in holders for f in h.forwards):
                self._guard()
            for turn in range(_TURNS):
                try:
                    for version, text in self._missing(holders, gone):
                        if text:
                            _PROGRAMS[version].restore_blocking(text)
                    return
                except CommandError:
                    if turn == _TURNS - 1:
                        raise
        except CommandError as refused:
            raise CniError(types.IO_FAILURE, "host ports: iptables refused the rules", _words(refused)) from None

    def _guard(self) -> None:
        programs = _PROGRAMS[4]
        if text := iptables.guard(programs.snapshot_blocking(iptables.GUARD_TABLE, ("PREROUTING",))):
            programs.restore_blocking(text)

    def _missing(self, holders: Iterable[Holder], gone: Iterable[Holder]) -> Iterable[tuple[int, str]]:
        """(IP version, text)."""
        wanted: dict[str, list[Holder]] = {iptables.chain_of(h.network, h.container_id): [] for h in gone}
        for holder in holders:
            wanted.setdefault(iptables.chain_of(holder.network, holder.container_id), []).append(holder)
        for version in sorted({f.version for h in (*holders, *gone) for f in h.forwards}):
            saved = self._look(version, iptables.looked_at(wanted))
            yield version, iptables.changes(version, saved, wanted)

    def _look(self, version: int, chains: tuple[str, ...]) -> Snapshot:
        try:
            return _PROGRAMS[version].snapshot_blocking(iptables.TABLE, chains)
        except CommandError as problem:
            raise CniError(types.IO_FAILURE, "host ports: iptables cannot be read", _words(problem)) from None


def _words(problem: CommandError) -> str:
    return problem.stderr.strip()[-500:] or str(problem)
