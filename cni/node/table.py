"""One nftables table of this node's, kept as it was last asked for whatever other programs do to it."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.kit.nft import Nft
from cni import foreign
from cni.foreign import INET


class Table:
    """The inet table of this name. A change is one transaction; the same wish twice costs nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nft: Nft | None = None
        self._applied: str | None = None
        """None: nobody knows; empty: there is no table."""
        self._doubted = False

    @property
    def is_written(self) -> bool:
        """Whether it was written, and nobody else has touched it since."""
        return bool(self._applied) and not self._doubted

    async def keep(self, text: str) -> None:
        """`text` is the whole table as one transaction, whether it exists or not. NftError when the kernel refuses it;
        the next call tries again."""
        if text != self._applied or self._doubted:
            await self.write(text)

    async def write(self, text: str) -> None:
        """As `keep`, also where it is there already."""
        self._applied, self._doubted = None, False
        await self.run(text)
        self._applied = text

    async def remove(self) -> None:
        """No table any more, nor one that an earlier process left; a host without libnftables has none. NftError."""
        if self._applied == "" and not self._doubted:
            return
        self._applied, self._doubted = None, False
        nft = self._nft or Nft()
        try:
            await nft.remove([(INET, self.name)])
        finally:
            if nft is not self._nft:
                nft.close()
        self._applied = ""

    async def run(self, text: str) -> None:
        """A transaction of its own beside what is kept. NftError."""
        if self._nft is None:
            nft = Nft()
            try:
                await nft.open()
            except BaseException:
                nft.close()
                raise
            self._nft = nft
        await self._nft.run(text)

    async def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost` when another program touched the table; `keep` then writes it again. Runs for ever."""
        async for _ in foreign.changes(self.name, lambda: self._nft.owner if self._nft else ""):
            self._doubted = True
            on_lost()

    def close(self) -> None:
        """What was written stays: pods keep talking while the daemon restarts."""
        if self._nft is not None:
            self._nft.close()
            self._nft = None


def gone(name: str) -> str:
    """A transaction after which there is no such table, whether there was one or not. Pure."""
    return f"add table inet {name}\ndelete table inet {name}\n"
