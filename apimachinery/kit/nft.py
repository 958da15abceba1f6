"""The one door to libnftables: text transactions, run in process, inside a chosen network namespace.

A context lives on a thread of its own. The thread enters the namespace once and stays there, so neither a fork nor an
`ip netns exec` is needed, and its kernel name is unique: the kernel writes that name into the notification of every
transaction, which tells our own changes from those of a stranger (see nft_events).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit import memory
from apimachinery.kit.netlink import Netlink, Request, elements
from apimachinery.kit.worker import Worker

_PR_SET_NAME = 15
_CLONE_NEWNET = 0x40000000
_LARGE_TEXT = 1 << 18
_NAME = re.compile(r"^\t(?:chain|set|map) (\S+) \{$", re.MULTILINE)
_DORMANT = re.compile(r"^\s*flags .*\bdormant\b", re.MULTILINE)
_NO_TABLE = (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
"""what the kernel says of a table that is not there, and without nf_tables, or nfnetlink, of any"""
_LONG, _CROWDED = 0.005, 10.0
"""Seconds from which on a small change has waited for another program's transaction (one at a time; one with iptables
rules of 1,000 Services was seen to take 0.23), and for how long ours are left to their own thread then."""
_BELOW = 1024
_SPARE = 8
_spare_lock = threading.Lock()
_spare: list[int] = []
"""Files that hold low descriptors for contexts to come: libnftables waits by select(2), which ends the process when its
socket has one above 1023, and a relay has thousands of files open by then."""


def _keep_low() -> None:
    with _spare_lock:
        while len(_spare) < _SPARE:
            try:
                held = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                # No more files may be open: contexts to come make do with what is kept.
                return
            if held >= _BELOW:
                os.close(held)
                return
            _spare.append(held)


class NftError(Exception):
    """A transaction was refused (nothing of it was applied), or libnftables cannot be used here.

    `text` holds the transaction's text (empty when the library itself is missing).
    """

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.text = text

    def __str__(self) -> str:
        head = self.text if len(self.text) <= 2000 else self.text[:2000] + "…"
        return f"{self.message}\n{head}" if head else self.message


class Nft:
    """One libnftables context. All methods are safe to call from one event loop; transactions run one by
    one."""

    def __init__(self, netns: Path | None = None) -> None:
        """`netns`: a namespace file (/run/netns/x, /proc/PID/ns/net); None is the process's own."""
        _keep_low()
        self.owner = "wh-nft-" + secrets.token_hex(4)
        self._netns = netns
        self._context: Any = None
        self._kernel: Netlink | None = None
        self._entered = False
        self.at_once = False
        """`change` writes on the thread that calls it while ours has nothing to do: ours would begin when a processor
        is free, which where they are few and busy takes longer than to write. For who knows its transactions by `port`:
        they bear the calling thread's name."""
        self._crowded_until = 0.0
        self._parsed = 0
        """characters of text, and bytes of elements, since memory was given back"""
        self._worker = Worker("nft")

    async def open(self, timeout: float = 10.0) -> None:
        """Enter the namespace and load the library; raises NftError with what to install or what is
        missing."""
        await self._worker.call(timeout, self._open)

    async def run(self, text: str, timeout: float = 60.0) -> str:
        """Apply `text` (nft syntax) as one atomic transaction; returns what list commands print.

        Raises NftError when the kernel or the parser refuses it, asyncio.TimeoutError after `timeout` seconds.
        """
        return await self._worker.call(timeout, self._run, text)

    @property
    def port(self) -> int | None:
        """From which netlink port `add` and `change` write, once opened: notifications of theirs carry it."""
        return self._kernel.port if self._kernel is not None else None

    def open_blocking(self, timeout: float = 10.0) -> None:
        """`open` for a thread that may wait. Raises NftError and TimeoutError."""
        self._wait(self._open, timeout=timeout)

    def run_blocking(self, text: str, timeout: float = 60.0) -> str:
        """`run` for a thread that may wait. Raises NftError and TimeoutError."""
        result: str = self._wait(self._run, text, timeout=timeout)
        return result

    async def add(self, requests: Iterable[Request], timeout: float = 60.0) -> None:
        """Elements for sets and maps, from `netlink.elements`: each request is a transaction of its own.

        Raises NftError when the kernel refuses one, asyncio.TimeoutError after `timeout` seconds.
        """
        await self._worker.call(timeout, self._add, ((request,) for request in requests))

    async def change(self, requests: Sequence[Request], timeout: float = 60.0) -> None:
        """Elements in and out, from `netlink.elements`, as one transaction, which spares the third of a
        millisecond that libnftables takes to read text and to ask what tables there are. At most some 100 KB.

        Raises NftError when the kernel refuses any, asyncio.TimeoutError after `timeout` seconds, which bound nothing
        where it is written `at_once`.
        """
        began = time.monotonic()
        if not self.at_once or self._kernel is None or began < self._crowded_until or not self._worker.idle:
            await self._worker.call(timeout, self._add, (requests,))
            return
        _transact(self._kernel, requests)
        if (ended := time.monotonic()) - began > _LONG:
            self._crowded_until = ended + _CROWDED

    async def remove(self, tables: Iterable[tuple[int, str]], timeout: float = 60.0) -> None:
        """Take tables (family as `netlink.elements` has it, name) away, whether they exist or not.

        Needs no `open`: the library would read in every chain of the host. Raises as `change` does.
        """
        await self._worker.call(timeout, self._remove, tuple(tables))

    async def names(self, family: str, table: str, timeout: float = 60.0) -> frozenset[str]:
        """The chains, sets and maps of a table, without their elements.

        Empty when there is no such table, or when it sleeps (flag dormant): only a table made anew wakes up.
        """
        return await self._worker.call(timeout, self._names, family, table)

    def close(self) -> None:
        """Drop the context; a running transaction ends first."""
        self._worker.close(self._drop)

    def _wait(self, fn: Any, *args: Any, timeout: float) -> Any:
        try:
            return self._worker.wait(timeout, fn, *args)
        except TimeoutError as late:
            raise TimeoutError(f"nftables did not answer within {timeout:.0f} s") from late

    def _enter(self) -> None:
        """Once: the thread's name and namespace."""
        if self._entered:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NAME, self.owner.encode(), 0, 0, 0)
        if self._netns is not None:
            with self._netns.open("rb") as handle:
                if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise NftError(f"cannot enter the network namespace {self._netns}: {os.strerror(code)}")
        self._entered = True

    def _open(self) -> None:
        self._enter()
        self._context = _new_context()
        # Without a file for it this time, it is tried again with the first elements.
        with contextlib.suppress(OSError):
            self._kernel = Netlink(protocol=elements.NETFILTER)

    def _run(self, text: str) -> str:
        if self._context is None:
            raise NftError("the nftables context is not open")
        code, out, err = self._context.cmd(text)
        self._given(len(text))
        if code != 0:
            raise NftError(f"nftables refused a transaction: {err.strip() or f'status {code}'}", text)
        return str(out)

    def _add(self, transactions: Iterable[Sequence[Request]]) -> None:
        try:
            # Made by this thread, it is in the namespace and has the name. Kept, for to close one waits, some 15 ms,
            # until the kernel has destroyed what the last transaction took away.
            kernel = self._kernel = self._kernel or Netlink(protocol=elements.NETFILTER)
        except OSError as error:
            raise NftError(f"no socket to the kernel: {error}") from error
        for requests in transactions:
            _transact(kernel, requests)
            self._given(sum(len(request.payload) for request in requests))

    def _remove(self, tables: Iterable[tuple[int, str]]) -> None:
        self._enter()
        for family, name in tables:
            try:
                self._add(((elements.remove_table(family, name),),))
            except NftError as refused:
                if not isinstance(refused.__cause__, OSError) or refused.__cause__.errno not in _NO_TABLE:
                    raise

    def _given(self, size: int) -> None:
        self._parsed += size
        if self._parsed > _LARGE_TEXT:
            # The parser builds a tree many times the size of its text; freed, it would stay with the process. So would
            # what many elements were made from.
            memory.give_back()
            self._parsed = 0

    def _names(self, family: str, table: str) -> frozenset[str]:
        self._context.set_terse_output(True)
        try:
            code, out, _ = self._context.cmd(f"list table {family} {table}")
        finally:
            self._context.set_terse_output(False)
        return frozenset(_NAME.findall(out)) if code == 0 and not _DORMANT.search(out) else frozenset()

    def _drop(self) -> None:
        self._context = None
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        _keep_low()
        # Even a small change may have read in every table of the host.
        memory.give_back()


def has_table(family: int, name: str) -> bool:
    """Whether there is such a table in this thread's network namespace (family as `netlink.elements` has it). Needs no
    libnftables; blocks for a fraction of a millisecond, or until the kernel is done with another's transaction and has
    destroyed what that took away (5 ms). Raises OSError."""
    try:
        with Netlink(protocol=elements.NETFILTER) as kernel:
            return kernel.ask(elements.get_table(family, name), lambda _: True)
    except OSError as error:
        # The last: nf_tables is missing, as nfnetlink says it outside of a transaction.
        if error.errno in (*_NO_TABLE, errno.EINVAL):
            return False
        raise


def _transact(kernel: Netlink, requests: Sequence[Request]) -> None:
    try:
        kernel.transact(elements.BEGIN, requests, elements.END)
    except OSError as error:
        raise NftError(f"the kernel refused: {error}") from error


def _new_context() -> Any:
    try:
        from nftables import Nftables
    except ImportError as error:
        raise NftError("the Python module 'nftables' is missing: install pip-nftables") from error
    try:
        with _spare_lock:
            if _spare:
                os.close(_spare.pop())
            context = Nftables()
    except OSError as error:
        raise NftError(f"libnftables cannot be loaded ({error}): install the package libnftables1") from error
    # Any other list reads in every rule of the host: seconds and 150 MB where iptables serves 5,000 Services.
    code, _, err = context.cmd("list table ip wherry-absent")
    if code != 0 and os.strerror(errno.ENOENT) not in err:
        raise NftError(f"the kernel's nftables cannot be used: {str(err).strip()} (root and nf_tables are needed)")
    return context
