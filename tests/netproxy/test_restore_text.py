"""The text given to iptables-restore, where its form matters beside its meaning."""

from __future__ import annotations

from netproxy.ground import Ground
from netproxy.iptables import diff
from netproxy.iptables.plan import Key
from netproxy.model import Family


def test_a_full_write_declares_chains_in_order_because_the_nft_back_end_is_slow_otherwise() -> None:
    pieces = [(Key("nat", f"KUBE-SVC-{name}"), ("-j ACCEPT",)) for name in ("C", "A", "D")]
    (text,) = diff.rebuild(pieces, Ground(Family.IPV4), {"nat": ("KUBE-SVC-B",)}, ())
    for table in text.split("COMMIT\n")[:-1]:
        declared = [line for line in table.splitlines() if line.startswith(":")]
        assert len(declared) > 4
        assert declared == sorted(declared)
    assert ":KUBE-SVC-A - [0:0]\n:KUBE-SVC-B - [0:0]\n:KUBE-SVC-C - [0:0]\n:KUBE-SVC-D - [0:0]\n" in text


def test_in_portions_chains_come_before_those_that_lead_to_them_and_the_way_in_comes_last() -> None:
    leads = {
        "KUBE-EXT-A": "KUBE-SVC-A",
        "KUBE-SVC-A": "KUBE-SEP-A",
        "KUBE-FW-A": "KUBE-EXT-A",
        "KUBE-SEP-A": "KUBE-MARK-MASQ",
    }
    pieces = [(Key("nat", chain), (f"-j {target}",)) for chain, target in leads.items()]
    pieces.append((Key("nat", "KUBE-SERVICES", "-d 10.96.0.9/32"), ("-d 10.96.0.9/32 -j KUBE-SVC-A",)))
    texts = diff.rebuild(pieces, Ground(Family.IPV4), {"nat": ("KUBE-SVC-B",)}, (), portion=2)
    assert len(texts) == 3
    declared: set[str] = set()
    for text in texts[:-1]:
        here = {line[1:].split(" ")[0] for line in text.splitlines() if line.startswith(":")}
        declared |= here
        targets = {line.rpartition("-j ")[2] for line in text.splitlines() if "-j KUBE" in line}
        assert targets <= declared and "KUBE-SERVICES" not in here and "*filter" not in text
    assert "-A KUBE-SERVICES -d 10.96.0.9/32" in texts[-1] and "-X KUBE-SVC-B" in texts[-1]
    assert ":KUBE-SVC-A" not in texts[-1]
