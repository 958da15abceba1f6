"""The text given to iptables-restore, where its form matters beside its meaning."""

from __future__ import annotations

from collections.abc import Iterator

from netproxy.ground import Ground
from netproxy.iptables import diff
from netproxy.iptables.apply import portions
from netproxy.iptables.plan import Key, Value
from netproxy.ledger import Ledger
from netproxy.model import Backend, Family, PortKey, Route, ServicePort


def test_a_full_write_declares_chains_in_order_because_the_nft_back_end_is_slow_otherwise() -> None:
    pieces = [(Key("nat", f"KUBE-SVC-{name}"), ("-j ACCEPT",)) for name in ("C", "A", "D")]
    text = diff.rebuild(pieces, Ground(Family.IPV4), {"nat": ("KUBE-SVC-B",)}, ())
    for table in text.split("COMMIT\n")[:-1]:
        declared = [line for line in table.splitlines() if line.startswith(":")]
        assert len(declared) > 4
        assert declared == sorted(declared)
    assert ":KUBE-SVC-A - [0:0]\n:KUBE-SVC-B - [0:0]\n:KUBE-SVC-C - [0:0]\n:KUBE-SVC-D - [0:0]\n" in text


def _route(number: int) -> Route:
    key = PortKey("default", f"s{number}", "", "TCP", Family.IPV4)
    backends = tuple(Backend(f"10.244.{number}.{n}", 8080) for n in range(3))
    port = ServicePort(key, f"10.96.0.{number}", 80, external_ips=(f"192.0.2.{number}",))
    return Route(port, backends, (), True)


def test_in_portions_chains_come_before_those_that_lead_to_them_and_the_way_in_comes_last() -> None:
    ground, ledger, written = Ground(Family.IPV4), Ledger[Key, Value](), set[str]()
    routes = [(route.port.key, route) for route in map(_route, range(1, 11))]
    texts = list(portions(ledger, routes, ground, 14, written))
    assert [text.count(":KUBE-EXT-") for text in texts] == [1, 2, 2, 2, 2]
    declared: set[str] = set()
    for text in texts:
        here = {line[1:].split(" ")[0] for line in text.splitlines() if line.startswith(":")}
        declared |= here
        targets = {line.rpartition("-j ")[2] for line in text.splitlines() if "-j KUBE" in line}
        assert targets and targets <= declared and "KUBE-SERVICES" not in here and "*filter" not in text
    assert written == declared - {"KUBE-MARK-MASQ"} and len(written) == 9 * 5
    last = diff.rebuild(ledger.items(), ground, {"nat": ("KUBE-SVC-B", *written)}, (), written=written)
    assert all(f"-A KUBE-SERVICES -d 10.96.0.{n}/32" in last for n in range(1, 11))
    assert "-X KUBE-SVC-B" in last and last.count("-X ") == 1
    assert not any(f":{chain} " in last for chain in written)
    assert sum(f":{name} " in last for name in (key.chain for key, _ in ledger.items() if not key.rule)) == 5


def test_a_chain_that_another_claims_later_is_written_as_it_is_then() -> None:
    ground, ledger, written = Ground(Family.IPV4), Ledger[Key, Value](), set[str]()
    ledger.claim("b", [(Key("nat", "KUBE-SVC-A"), ("-j DROP",))])
    routes = [(_route(1).port.key, _route(1))]
    first = "".join(portions(ledger, routes, ground, 1, written))
    assert "-A KUBE-SVC-A -j DROP" in first
    ledger.claim("a", [(Key("nat", "KUBE-SVC-A"), ("-j ACCEPT",))])
    assert "-A KUBE-SVC-A -j ACCEPT" in "".join(portions(ledger, [(_route(2).port.key, _route(2))], ground, 1, written))


def test_a_chain_that_another_claims_after_its_portion_is_left_to_the_last_text() -> None:
    ground, ledger, written = Ground(Family.IPV4), Ledger[Key, Value](), set[str]()
    ledger.claim("b", [(Key("nat", "KUBE-SVC-A"), ("-j DROP",))])

    def routes() -> Iterator[tuple[PortKey, Route]]:
        yield _route(1).port.key, _route(1)
        ledger.claim("a", [(Key("nat", "KUBE-SVC-A"), ("-j ACCEPT",))])

    assert "-A KUBE-SVC-A -j DROP" in "".join(portions(ledger, routes(), ground, 1, written))
    last = diff.rebuild(ledger.items(), ground, {}, (), written=written)
    assert written and "-A KUBE-SVC-A -j ACCEPT" in last
