"""The way out: how a lab's nodes and pods reach what lies beyond the machine, and what they may not reach.

One nftables table on the host. Traffic of the lab that leaves by another link is masqueraded; traffic to
private ranges is refused, so that an experiment cannot wander into the machine's own network. The host
forwards packets for the lab's sake only while a lab is up.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from apimachinery.kit import command, netns
from apimachinery.kit.files import write_atomic
from lab import firewall, names
from lab.paths import RUN
from lab.spec import Spec

DEADLINE = 10.0
_FORWARD = "net.ipv4.ip_forward"
# Private, shared, link-local and documentation ranges: RFC 1918, RFC 6598, RFC 3927, RFC 5737.
_PRIVATE = (
    "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16, "
    "192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24"
)


def rules(spec: Spec) -> str:
    """The table as nft text; replaces an earlier one of the same lab in one transaction."""
    table, bridge = names.table(spec.name), names.bridge(spec.name)
    inside = f"{{ {spec.pod_cidr}, {spec.node_cidr} }}"
    return f"""\
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  comment "wherry lab {spec.name}: the way out"
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{bridge}" oifname != "{bridge}" ip daddr {{ {_PRIVATE} }} reject with icmp type net-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {inside} oifname != "{bridge}" oifname != "lo" masquerade
  }}
}}
"""


async def open_way(spec: Spec) -> None:
    """Put the table in place and let the host forward; what ip_forward was before is remembered once."""
    _remember_forwarding()
    netns.write_sysctl(None, _FORWARD, 1)
    await command.run(["nft", "-f", "-"], stdin=rules(spec).encode(), timeout=DEADLINE)
    await firewall.admit(spec)


async def close_way(spec: Spec, last: bool) -> None:
    """Take the table away; after the machine's last lab, forwarding is again what it was."""
    table = names.table(spec.name)
    text = f"table ip {table} {{}}\ndelete table ip {table}\n"
    await command.run(["nft", "-f", "-"], stdin=text.encode(), timeout=DEADLINE)
    await firewall.forget(spec)
    if last:
        _restore_forwarding()


def _remembered() -> Path:
    return RUN / "host.json"


def _remember_forwarding() -> None:
    if not _remembered().exists():
        value = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip()
        write_atomic(_remembered(), json.dumps({_FORWARD: value}).encode())


def _restore_forwarding() -> None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        before = json.loads(_remembered().read_text(encoding="ascii"))
        netns.write_sysctl(None, _FORWARD, before[_FORWARD])
    _remembered().unlink(missing_ok=True)
