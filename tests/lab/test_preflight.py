"""Preflight: each thing that is missing is named with its mend, before anything is changed."""

import asyncio
import dataclasses
import socket
import subprocess
from pathlib import Path

import pytest

from apimachinery.kit import mounts, netns
from apimachinery.kit.command import Result
from lab import preflight
from lab.spec import POD_NETWORKS
from tests.lab.test_spec import make


def findings(monkeypatch: pytest.MonkeyPatch, **options: object) -> str:
    """What preflight says when it refuses."""
    with pytest.raises(preflight.PreflightError) as refused:
        asyncio.run(preflight.check(make(**options)))
    return str(refused.value)


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything; each test takes one thing away."""
    monkeypatch.setattr(preflight, "_PROBES", (preflight._programs, preflight._disk))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    answer(monkeypatch, {})


def answer(monkeypatch: pytest.MonkeyPatch, failing: dict[str, str]) -> None:
    async def run(argv: list[str], **_: object) -> Result:
        text = failing.get(argv[0], "")
        return Result(tuple(argv), 1 if text else 0, b"", text.encode())

    monkeypatch.setattr("apimachinery.kit.command.run", run)


def test_a_complete_machine_passes() -> None:
    assert asyncio.run(preflight.check(make())) == []


def test_missing_programs_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("runc", "nft") else name)
    assert "programs are missing: runc, nft; apt-get install" in findings(monkeypatch)


def test_a_full_disk_is_told_with_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "DISK_NEEDED", 1 << 60)
    assert "MB free; a lab needs" in findings(monkeypatch)


def test_a_port_that_another_listens_on_is_told() -> None:
    with socket.create_server(("", 0)) as other:
        spec = dataclasses.replace(make(), api_port=other.getsockname()[1])
        found = preflight._address(spec)
        assert [finding.fatal for finding in found] == [True]
        assert f"port {spec.api_port} is taken" in found[0].text
    assert preflight._address(spec) == []


def test_a_kernel_without_nf_tables_is_told_the_version_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, {"nft": "netlink: Error: cache initialization failed: Operation not supported"})
    text = findings(monkeypatch)
    assert "Operation not supported" in text
    assert "Linux 5.13 or newer with nf_tables" in text


def test_a_kernel_without_an_iptables_nat_table_is_told_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, {"iptables": "iptables: Table does not exist"})
    assert asyncio.run(preflight.check(make())) == []
    text = findings(monkeypatch, proxy_mode="iptables")
    assert "modprobe iptable_nat, or leave out --proxy-mode iptables" in text


@pytest.mark.kernel
def test_this_kernel_takes_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert asyncio.run(preflight._rules(make(proxy_mode="iptables"))) == []


@pytest.mark.kernel
def test_a_pod_network_that_the_kernel_lacks_is_named_with_its_mend() -> None:
    """Asked of this machine's own kernel, in a namespace that is gone afterwards."""
    for mode in POD_NETWORKS:
        told = [finding.text for finding in preflight.network_findings(mode)]
        able = mode in ("host-gw", "none") or makes_link(mode)
        assert (told == []) is able, (mode, told)
        if told:
            assert f"no {mode} (" in told[0] and f"modprobe {mode}, or leave out --pod-network {mode}" in told[0]


@pytest.mark.kernel
def test_asking_the_kernel_for_a_pod_network_leaves_no_directory_of_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab would find it there, think it the machine's and leave it, too."""
    monkeypatch.setattr(netns, "DIRECTORY", tmp_path / "netns")
    for mode in POD_NETWORKS:
        preflight.network_findings(mode)
    assert mounts.stacked(tmp_path / "netns") == 0
    assert not (tmp_path / "netns").exists()


def makes_link(kind: str) -> bool:
    words = ["id", "1", "dstport", "4789"] if kind == "vxlan" else []
    # The fixture's answers are for the daemons' own way to start programs.
    asked = ["unshare", "--net", "ip", "link", "add", "probe", "type", kind, *words]
    return subprocess.run(asked, capture_output=True, timeout=60).returncode == 0
