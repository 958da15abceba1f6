"""Manifests and units that were written for kube-proxy start this proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from apimachinery.kit import daemon
from netproxy import __main__ as program
from netproxy import flags
from netproxy.limits import Conntrack
from netproxy.settings import Settings


def start(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Settings, str]:
    """The settings it would run with, and what it said."""
    found: list[Any] = []
    monkeypatch.setattr(daemon, "run", lambda settings, _: found.append(settings))
    result = CliRunner().invoke(program.main, words)
    said = result.output + str(result.exception or "")
    return (found[0] if found else Settings(Path())), said


def test_what_people_write_in_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "--kubeconfig=/k --proxy-mode=ipvs --cluster-cidr=10.244.0.0/16 --hostname-override=Node1 --ipvs-scheduler=wlc"
        " --ipvs-strict-arp --ipvs-exclude-cidrs=192.0.2.0/24,198.51.100.0/24 --ipvs-tcp-timeout=15m --masquerade-all"
        " --nodeport-addresses=10.0.0.0/8 --metrics-bind-address=0.0.0.0:10249 --healthz-bind-address="
        " --ipvs-sync-period=40s --conntrack-max-per-core=0 --oom-score-adj=-998 --v=4"
    )
    found, said = start(monkeypatch, *words.split())
    assert said == "" and found.mode == "ipvs" and found.node_name == "node1"
    assert found.ipvs.scheduler == "wlc" and found.ipvs.strict_arp and found.ipvs.tcp_timeout == 900
    assert found.ipvs.exclude_cidrs == ("192.0.2.0/24", "198.51.100.0/24") and found.masquerade_all
    assert (found.metrics_bind_address, found.metrics_port, found.health_port) == ("0.0.0.0", 10249, 0)
    assert found.node_port_addresses == ("10.0.0.0/8",) and found.sync_period == 40 and found.log_level == "debug"
    assert found.conntrack == Conntrack(0, 131072, 86400, 3600) and found.oom_score_adj == -998
    assert found.unused == ()


def test_our_own_default_mode_stays_and_its_section_gets_the_masquerading(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = start(monkeypatch, "--kubeconfig=/k", "--masquerade-all=true", "--cluster-cidr=10.244.0.0/16")
    assert found.mode == "nftables" and found.masquerade_all
    found, _ = start(monkeypatch, "--kubeconfig=/k")
    assert found.mode == "nftables" and found.node_name == ""


def test_what_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    _, said = start(monkeypatch, "--kubeconfig=/k", "--ipvs-scheduler=best", "--proxy-mode=ipvs")
    assert "ipvs.scheduler: 'best' is none of rr" in said
    _, said = start(monkeypatch, "--kubeconfig=/k", "--detect-local-mode=BridgeInterface")
    assert "detectLocal.bridgeInterface" in said
    _, said = start(monkeypatch, "--config=/c", "--cluster-cidr=10.244.0.0/16")
    assert "--cluster-cidr has no effect beside --config: say it in the file" in said


@pytest.mark.parametrize("flag", sorted(flags._REFUSED))
def test_flags_that_cannot_be_had_say_why(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    for words in ((f"--{flag}=1",), (f"--{flag}",)):
        found, said = start(monkeypatch, "--kubeconfig=/k", *words)
        assert (
            found.kubeconfig == Path()
            and f"--{flag} is a flag of kube-proxy's" in said
            and flags._REFUSED[flag] in said
        )


@pytest.mark.parametrize(
    ("words", "health", "metrics"),
    [
        ("--healthz-port=0 --metrics-port=0", ("0.0.0.0", 0), ("127.0.0.1", 0)),
        ("--healthz-port=1 --metrics-port=2", ("0.0.0.0", 1), ("127.0.0.1", 2)),
        ("--healthz-bind-address=::1 --metrics-bind-address=10.0.0.1", ("::1", 10256), ("10.0.0.1", 10249)),
        ("--healthz-bind-address=::1 --healthz-port=7", ("::1", 7), ("127.0.0.1", 10249)),
        ("--healthz-bind-address=[::1]:5 --healthz-port=7", ("::1", 5), ("127.0.0.1", 10249)),
        ("--healthz-bind-address= --metrics-bind-address=", ("0.0.0.0", 0), ("127.0.0.1", 0)),
    ],
)
def test_addresses_and_ports_of_servers(
    monkeypatch: pytest.MonkeyPatch, words: str, health: tuple[str, int], metrics: tuple[str, int]
) -> None:
    found, said = start(monkeypatch, "--kubeconfig=/k", *words.split())
    assert said == ""
    assert ((found.bind_address, found.health_port), (found.metrics_bind_address, found.metrics_port)) == (
        health,
        metrics,
    )


def test_a_format_of_logs_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "logging.format: 'json'" in start(monkeypatch, "--kubeconfig=/k", "--logging-format=json")[1]
    assert start(monkeypatch, "--kubeconfig=/k", "--logging-format=text")[1] == ""


def test_a_files_node_may_be_named_beside_it_as_kubeadms_manifest_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "config.conf"
    head = "kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\n"
    file.write_text(head + "clientConnection: {kubeconfig: /k}\n")
    found, _ = start(monkeypatch, f"--config={file}", "--hostname-override=node7")
    assert found.node_name == "node7" and found.mode == "iptables"
