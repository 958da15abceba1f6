"""Which kind of rules serves whoever names none: nftables, but for hosts that have only iptables."""

from __future__ import annotations

from collections.abc import Callable

from cni import types
from cni.types import CniError

NFTABLES, IPTABLES = BACKENDS = ("nftables", "iptables")


def choose(require_nftables: Callable[[], None], require_iptables: Callable[[], None]) -> str:
    """Each raises CniError(50) where its kind cannot be had; what nftables lacks is told when neither can."""
    try:
        require_nftables()
    except CniError as lacking:
        if lacking.code != types.PLUGIN_NOT_AVAILABLE:
            raise
        try:
            require_iptables()
        except CniError:
            raise lacking from None
        return IPTABLES
    return NFTABLES
