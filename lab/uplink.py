"""The way out: how a lab's nodes and pods reach what lies beyond the machine, and what they may not reach.

One nftables table on the host. Traffic of the lab that leaves by another link is masqueraded; traffic to
private ranges is refused, so that an experiment cannot wander into the machine's own network. The host
forwards packets for the lab's sake only while a lab is up.
"""

from __future__ import annotations

from apimachinery.kit import command, netns
from lab import firewall, machine, names
from lab.spec import Spec, ranges

DEADLINE = 10.0
# Private, shared, link-local and documentation ranges: RFC 1918, RFC 6598, RFC 3927, RFC 5737.
_PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
)


def rules(spec: Spec) -> str:
    """The table as nft text; replaces an earlier one of the same lab in one transaction.

    A comparison for each network: a set of them would be empty to packets for a moment (`netproxy.nftables.layout`).
    """
    table, bridge = names.table(spec.name), names.bridge(spec.name)
    out = f'iifname "{bridge}" oifname != "{bridge}"'
    refused = "\n    ".join(f"{out} ip daddr {network} reject with icmp type net-prohibited" for network in _PRIVATE)
    # What has IPv6 addresses as well stays inside: nobody forwards those for a lab.
    inside = (ranges(cidr)[0] for cidr in (spec.pod_cidr, spec.node_cidr))
    leaving = "\n    ".join(
        f'ip saddr {network} oifname != "{bridge}" oifname != "lo" masquerade' for network in inside
    )
    return f"""\
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  comment "wherry lab {spec.name}: the way out"
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {refused}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {leaving}
  }}
}}
"""


async def open_way(spec: Spec) -> None:
    """Put the table in place and let the host forward."""
    netns.write_sysctl(None, machine.FORWARD, 1)
    await command.run(["nft", "-f", "-"], stdin=rules(spec).encode(), timeout=DEADLINE)
    await firewall.admit(spec.name)


async def close_way(lab: str) -> None:
    """Take the lab's tables away: this one, and the one in which its netproxy serves the host itself."""
    text = "".join(f"table {kind} {name} {{}}\ndelete table {kind} {name}\n" for kind, name in _tables(lab))
    await command.run(["nft", "-f", "-"], stdin=text.encode(), timeout=DEADLINE)
    await firewall.forget(lab)


async def tables_there(lab: str) -> list[str]:
    """The lab's tables that exist, as nft names them."""
    # As text: of a table with an owner (a proxy's guard) nft before 1.0.7 writes JSON that is none.
    listed = await command.run(["nft", "list", "tables"], timeout=DEADLINE)
    there = listed.stdout.decode(errors="replace").splitlines()
    return [f"{kind} {name}" for kind, name in _tables(lab) if f"table {kind} {name}" in there]


def _tables(lab: str) -> tuple[tuple[str, str], ...]:
    return ("ip", names.table(lab)), ("ip", names.proxy_table(lab))
