"""What becomes of elements that cannot be put into the kernel."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from apimachinery.kit import nft
from apimachinery.kit.netlink import elements


def test_no_socket_for_elements_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes tables waits for NftError, and goes another way or tries again."""

    def none(**_: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(nft, "Netlink", none)
    handle = nft.Nft()
    pairs = [("10.96.0.1 . tcp . 80", "drop")]
    service = (elements.ADDRESS[4], elements.PROTOCOL, elements.port)
    try:
        with pytest.raises(nft.NftError, match="Too many open files"):
            asyncio.run(handle.add(elements.add(2, "mine", "services", service, (), pairs)))
    finally:
        handle.close()
