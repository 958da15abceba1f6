"""`ipMasq` in nftables: one table for all pods.

    pod's address ── map pods4 ── jump ── chain of its network: inside it, or multicast: unchanged
                                                                else: the node's address

The map's elements bear two names as comment, of the network and of the attachment, by which they are found again: a DEL
need not know the addresses. Nothing else is recorded. The map holds single values and networks are compared with one by
one, so that a pod added changes no other pod's connection (see `cni.node.masquerade`).

Source: https://www.cni.dev/plugins/current/main/bridge/
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator

from apimachinery.kit.netlink.routes import Interface
from apimachinery.kit.nft import Nft, NftError, has_table
from cni import types
from cni.bridge import plan
from cni.foreign import INET
from cni.types import CniError

TABLE = "wherry-ipmasq"
_IP = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_ELEMENT = re.compile(r'([0-9a-f.:]+) comment "(\w+) (\w+)" :')


def ruleset(address: Interface, network: str, attachment: str, *, instead: bool = False) -> str:
    """A transaction for one more address, whether the table exists or not; refused when the address is in it already,
    which `instead` replaces. `attachment`: the node's end of its link. Pure.
    """
    ip, version = _IP[address.version], address.version
    chain = f"inet {TABLE} leaving-{str(address.network).replace(':', '-')}"
    hook = f"inet {TABLE} postrouting"
    lines = [f"add table inet {TABLE}"]
    lines += [f"add map inet {TABLE} pods{v} {{ type {kind} : verdict; }}" for v, kind in _TYPE.items()]
    lines += [f"add chain {chain}", f"flush chain {chain}"]
    lines += [f"add rule {chain} {ip} daddr {inside} return" for inside in (address.network, _MULTICAST[version])]
    lines += [f"add rule {chain} masquerade"]
    lines += [f"add chain {hook} {{ type nat hook postrouting priority srcnat + 10; }}", f"flush chain {hook}"]
    lines += [f"add rule {hook} {word} saddr vmap @pods{v}" for v, word in _IP.items()]
    if instead:
        lines.append(f"delete element inet {TABLE} pods{version} {{ {address.ip} }}")
    comment = f'comment "{_network(network)} {attachment}"'
    jump = f"jump {chain.rpartition(' ')[2]}"
    lines.append(f"create element inet {TABLE} pods{version} {{ {address.ip} {comment} : {jump} }}")
    return "\n".join(lines) + "\n"


def add(addresses: Iterable[Interface], network: str, attachment: str) -> None:
    """CniError when the kernel refuses, and as `require`. What an attachment that is gone left at an address makes
    way."""
    with _opened() as nft:
        for address in addresses:
            try:
                nft.run_blocking(ruleset(address, network, attachment))
            except NftError:
                nft.run_blocking(ruleset(address, network, attachment, instead=True))


def remove(attachment: str) -> bool:
    """Whether there was anything to remove. CniError."""
    return _remove(lambda _network, held: held == attachment)


def keep_only(network: str, valid: set[str]) -> None:
    """Forget attachments of this network that are not `valid`. CniError."""
    _remove(lambda held_in, held: held_in == _network(network) and held not in valid)


def check(addresses: Iterable[Interface]) -> None:
    """CniError when an address would leave as it is, and as `require`."""
    with _opened() as nft:
        for address in addresses:
            try:
                nft.run_blocking(f"get element inet {TABLE} pods{address.version} {{ {address.ip} }}\n")
            except NftError as refused:
                raise CniError(types.INTERNAL, f"{address.ip} is not masqueraded any more", refused.message) from None


def require() -> None:
    """CniError(50) where nftables cannot be used; CniError(11) where it does not answer, which is not the same: another
    kind of rules would be chosen for it."""
    with _opened():
        pass


def is_used() -> bool:
    """Whether there may be anything to remove."""
    return has_table(INET, TABLE)


def _network(network: str) -> str:
    """A name for a comment, which has less room than a network's own may take."""
    return plan.host_name(network, "", "")


def _remove(unwanted: Callable[[str, str], bool]) -> bool:
    found = False
    with contextlib.ExitStack() as stack:
        try:
            nft = stack.enter_context(_opened())
        except CniError as problem:
            if problem.code == types.TRY_AGAIN_LATER:
                raise
            # Where there is no nftables, nobody was ever masqueraded by it.
            return False
        for version in _IP:
            try:
                listed = nft.run_blocking(f"list map inet {TABLE} pods{version}\n")
            except NftError:
                return False  # no such table
            gone = [address for address, *names in _ELEMENT.findall(listed) if unwanted(*names)]
            if gone:
                found = True
                nft.run_blocking(f"delete element inet {TABLE} pods{version} {{ {', '.join(gone)} }}\n")
    return found


@contextlib.contextmanager
def _opened() -> Iterator[Nft]:
    """In the calling thread's network namespace. What goes wrong with it is a CniError, as `require` has it where it is
    the opening."""
    nft = Nft()
    try:
        try:
            nft.open_blocking()
        except NftError as lacking:
            message = "ipMasq: nftables cannot be used"
            raise CniError(types.PLUGIN_NOT_AVAILABLE, message, lacking.message) from None
        yield nft
    except NftError as refused:
        raise CniError(types.IO_FAILURE, "ipMasq: nftables refused the rules", refused.message) from None
    except TimeoutError:
        raise CniError(types.TRY_AGAIN_LATER, "ipMasq: nftables did not answer in time") from None
    finally:
        nft.close()
