"""What the rules of a node do to real packets: nftables' own trace of one connection's packets, for some seconds."""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit import command
from apimachinery.kit.nft import Nft

TABLE = "wherry-trace"
_MOST_PACKETS = "50/second"
_SLACK = 10.0
"""seconds in which nft starts and ends"""


def ruleset(source: str, target: str, port: int, protocol: str) -> str:
    """One transaction: a table that marks the packets to follow, before any other rule. Pure.

    It has an owner, so that it goes with this process however that ends. `source` may be empty: from anybody.
    """
    word = "ip6" if ":" in target else "ip"
    sender = f"{word} saddr {source} " if source else ""
    rule = (
        f"{sender}{word} daddr {target} {protocol.lower()} dport {port} limit rate {_MOST_PACKETS} meta nftrace set 1"
    )
    hooks = (
        f"  chain {hook} {{ type filter hook {hook} priority -450; {rule}; }}" for hook in ("prerouting", "output")
    )
    return "\n".join([f"table inet {TABLE} {{", "  flags owner;", *hooks, "}", ""])


async def follow(where: Path, rules: str, seconds: int) -> list[str]:
    """The lines of `nft monitor trace` in this network namespace. Raises NftError where the kernel cannot."""
    nft = Nft(where)
    try:
        await nft.open()
        await nft.run(rules)
        argv = ["nsenter", f"--net={where}", "timeout", str(seconds), "nft", "monitor", "trace"]
        done = await command.run(argv, timeout=seconds + _SLACK, check=False)
    finally:
        nft.close()
    return [line for line in done.stdout.decode(errors="replace").splitlines() if f" {TABLE} " not in line]
