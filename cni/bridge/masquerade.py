"""The setting `ipMasq`: a pod takes the node's address when it leaves its own network, by rules of either kind.

Source: https://www.cni.dev/plugins/current/main/bridge/
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from apimachinery.kit.netlink.routes import Interface
from cni import backend
from cni.backend import IPTABLES, NFTABLES
from cni.bridge import masquerade_iptables, masquerade_nft, plan

Key = tuple[str, str, str]
"""(network, container id, interface)"""


def add(kind: str, addresses: Iterable[Interface], key: Key) -> None:
    """CniError when the kernel refuses. What an attachment that is gone left at an address makes way. `kind`: one of
    BACKENDS, "" for any."""
    held = list(addresses)
    _by(
        kind,
        lambda: masquerade_nft.add(held, key[0], plan.host_name(*key)),
        lambda: masquerade_iptables.add(held, key[0], key[1]),
    )


def remove(key: Key, addresses: Collection[str] = ()) -> None:
    """By whatever kind it was added: the configuration may have changed since. `addresses`, each with its prefix, where
    they are known. Nothing that is missing is an error. CniError."""
    if not masquerade_nft.remove(plan.host_name(*key)):
        masquerade_iptables.remove(key[0], key[1], addresses)


def remove_left(key: Key) -> None:
    """What was added before the configuration stopped asking for it; in nftables alone, where it costs next to nothing
    to know that there is none. CniError, OSError."""
    if masquerade_nft.is_used():
        masquerade_nft.remove(plan.host_name(*key))


def keep_only(network: str, valid: Collection[tuple[str, str]], asked: bool) -> None:
    """Forget attachments, (container id, interface), of this network that are not `valid`. `asked`: the configuration
    does now; if it does not, what is left of before is looked for as in `remove_left`. CniError, OSError."""
    if asked or masquerade_nft.is_used():
        masquerade_nft.keep_only(network, {plan.host_name(network, *each) for each in valid})
    if asked:
        masquerade_iptables.keep_only(network, {container_id for container_id, _ in valid})


def check(kind: str, addresses: Iterable[Interface], key: Key) -> None:
    """CniError when an address would leave as it is."""
    held = list(addresses)
    _by(kind, lambda: masquerade_nft.check(held), lambda: masquerade_iptables.check(held, key[0], key[1]))


def require(kind: str) -> None:
    """CniError(50) where rules of this kind, or "" of any, cannot be had."""
    _by(kind, masquerade_nft.require, masquerade_iptables.require)


def _by(kind: str, nftables: Callable[[], None], iptables: Callable[[], None]) -> None:
    """Do it by rules of this kind. For any kind what does it says whether nftables can be had, instead of who would
    open all of it to ask that alone."""
    if kind == NFTABLES:
        nftables()
    elif kind == IPTABLES or backend.choose(nftables, masquerade_iptables.require) == IPTABLES:
        iptables()
