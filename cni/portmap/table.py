"""Keeps host ports in the table of nftables."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence

from apimachinery.kit.nft import Nft, NftError
from cni import foreign, types
from cni.portmap import nftables
from cni.portmap.plan import Holder
from cni.types import CniError

Everybody = Callable[[], Sequence[Holder]]
"""Who shall be served by this kind of rules, once a change is through."""


class Table:
    """One node's. Methods block and may be called from any thread of the node's namespace; failures are CniError."""

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._nft: Nft | None = None

    def add(self, holder: Holder, everybody: Everybody, *, known: bool) -> None:
        """`known`: the table has the networks of this holder's pod."""
        if known:
            self._apply(nftables.added(holder), everybody)
        else:
            self._write(nftables.ruleset(everybody()))

    def remove(self, holder: Holder, everybody: Everybody, *, last: bool) -> None:
        self._apply(nftables.ruleset(()) if last else nftables.removed(holder), everybody)

    def restore(self, everybody: Sequence[Holder], gone: Sequence[Holder]) -> None:
        """All of it, `gone` without a trace; nothing where there is neither."""
        if everybody or gone:
            self._write(nftables.ruleset(everybody))

    def check(self, holder: Holder) -> None:
        """CniError when a port is missing in the kernel."""
        try:
            self._run(nftables.present(holder))
        except NftError as refused:
            raise CniError(types.INTERNAL, "a host port's rule is missing", refused.message) from None

    def require(self) -> None:
        """CniError(50) when rules cannot be written here."""
        try:
            self._open()
        except NftError as refused:
            raise CniError(types.PLUGIN_NOT_AVAILABLE, "host ports cannot be served", refused.message) from None
        except TimeoutError as late:
            raise CniError(types.TRY_AGAIN_LATER, f"host ports: {late}") from None

    async def changes(self) -> AsyncIterator[None]:
        """Yields whenever another program changed the table."""
        async for _ in foreign.changes(nftables.TABLE, lambda: self._nft.owner if self._nft else ""):
            yield

    def close(self) -> None:
        """Rules stay."""
        if self._nft is not None:
            self._nft.close()
            self._nft = None

    def _apply(self, change: str, everybody: Everybody) -> None:
        try:
            self._run(change)
        except NftError:
            # The table is missing, or not what the records say: all of it then.
            self._write(nftables.ruleset(everybody()))

    def _write(self, text: str) -> None:
        try:
            self._run(text)
        except NftError as refused:
            raise CniError(types.IO_FAILURE, "host ports: the kernel refused the rules", refused.message) from None

    def _run(self, text: str) -> None:
        try:
            self._open().run_blocking(text)
        except TimeoutError:
            raise CniError(types.TRY_AGAIN_LATER, "host ports: nftables did not answer in time") from None

    def _open(self) -> Nft:
        with self._opening:
            if self._nft is None:
                nft = Nft()
                try:
                    nft.open_blocking()
                except BaseException:
                    nft.close()
                    raise
                self._nft = nft
            return self._nft
