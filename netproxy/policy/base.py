"""The part of the policies' table that no policy and no pod changes. Pure.

Egress is judged before ingress, each in base chains of its own: `accept` ends one chain and leaves the packet to the
next, so that what one pod may send another may still refuse. A pod's packets to its node pass `input`. The node's own
packets pass `output`, where nothing is judged but what IPVS sends on: it takes a pod's packet to a Service on its way
in, and what it sends has been translated and still carries the pod's address.
"""

from __future__ import annotations

from netproxy import names
from netproxy.ground import Ground
from netproxy.model import Family
from netproxy.nftables.layout import Layout, address_type, ip_word
from netproxy.policy.plan import HELD, KNOWN, MAPS, SELF

# After everybody's translation and refusals at 0, so that what has no endpoint is refused and not lost.
_EGRESS, _INGRESS = 4, 5
_AFTER_IPVS = 110
"""on the way in, where IPVS has taken what is for its virtual servers (98, 99): their addresses say nothing of peers"""
_UNDER_WAY = "ct state established,related accept"
_NEIGHBOURS = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert"


def layout(ground: Ground) -> Layout:
    """Our table on this host."""
    address = address_type(ground.family)
    containers = (
        *(f"map {name} {{ type {address} : verdict; }}" for name in MAPS.values()),
        f"set {KNOWN} {{ type {address}; }}",
        f"set {HELD} {{ type {address}; flags interval; }}",
        f"set {SELF} {{ type {address} . {address}; }}",
    )
    hooks = (
        _hook("egress-forward", "forward", _EGRESS),
        _hook("egress-input", "input", _AFTER_IPVS),
        _hook("ingress-forward", "forward", _INGRESS),
        _hook("egress-output", "output", _EGRESS),
        _hook("ingress-output", "output", _INGRESS),
    )
    chains = {
        "from-pods": _judge(ground.family, "saddr", "egress"),
        "to-pods": _judge(ground.family, "daddr", "ingress"),
    }
    judges = {"egress": "jump from-pods", "ingress": "jump to-pods"}
    by_the_way = {"output": (_UNDER_WAY, "fib saddr type local accept")}
    return Layout(
        ground.family,
        names.policy_table(ground.nft_table),
        containers,
        chains,
        tuple(
            (name, declared, (*by_the_way.get(hook, ()), judges[direction]))
            for name, declared in hooks
            for direction, _, hook in [name.partition("-")]
        ),
        set_prefixes=(names.NFT_GROUP, names.NFT_NAMED_PORT),
    )


def _hook(name: str, hook: str, priority: int) -> tuple[str, str]:
    return name, f"type filter hook {hook} priority {priority}; policy accept;"


def _judge(family: Family, side: str, verdicts: str) -> tuple[str, ...]:
    word = ip_word(family)
    # Between pods of one bridge these are forwarded packets, too, and belong to no connection.
    neighbours = (f"icmpv6 type {{ {_NEIGHBOURS} }} accept",) if family is Family.IPV6 else ()
    return (
        _UNDER_WAY,
        *neighbours,
        f"{word} saddr . {word} daddr @{SELF} accept",
        f"{word} {side} vmap @{verdicts}",
        f"{word} {side} @{HELD} {word} {side} != @{KNOWN} drop",
    )
