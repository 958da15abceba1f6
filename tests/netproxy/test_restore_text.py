"""The text given to iptables-restore, where its form matters beside its meaning."""

from __future__ import annotations

from netproxy.ground import Ground
from netproxy.iptables import diff
from netproxy.iptables.plan import Key
from netproxy.model import Family


def test_a_full_write_declares_chains_in_order_because_the_nft_back_end_is_slow_otherwise() -> None:
    pieces = [(Key("nat", f"KUBE-SVC-{name}"), ("-j ACCEPT",)) for name in ("C", "A", "D")]
    text = diff.rebuild(pieces, Ground(Family.IPV4), {"nat": ("KUBE-SVC-B",)}, ())
    for table in text.split("COMMIT\n")[:-1]:
        declared = [line for line in table.splitlines() if line.startswith(":")]
        assert len(declared) > 4
        assert declared == sorted(declared)
    assert ":KUBE-SVC-A - [0:0]\n:KUBE-SVC-B - [0:0]\n:KUBE-SVC-C - [0:0]\n:KUBE-SVC-D - [0:0]\n" in text
