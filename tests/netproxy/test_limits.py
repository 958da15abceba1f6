"""The connection tracker's limits and this process's chance to be ended."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from apimachinery.kit import netns
from netproxy import limits
from netproxy.limits import Conntrack
from tests.netproxy.rig import new_rig

HEAD = "net.netfilter.nf_conntrack_"


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (Conntrack(), {}),
        (Conntrack(min=5), {}),
        (Conntrack(max_per_core=100, min=5), {"max": 400}),
        (Conntrack(max_per_core=1, min=5, tcp_be_liberal=True), {"max": 5, "tcp_be_liberal": 1}),
        (Conntrack(max_per_core=262_144, min=2_000_000), {"max": 2_000_000}),
        (Conntrack(max_per_core=262_145, min=2_000_000), {"max": 1_048_576}),
        (Conntrack(udp_timeout=7, udp_stream_timeout=8), {"udp_timeout": 7, "udp_timeout_stream": 8}),
        (
            Conntrack(tcp_established_timeout=9, tcp_close_wait_timeout=3),
            {"tcp_timeout_established": 9, "tcp_timeout_close_wait": 3},
        ),
    ],
)
def test_what_is_written_on_four_cores(asked: Conntrack, written: dict[str, int]) -> None:
    assert asked.sysctls(4) == {HEAD + name: value for name, value in written.items()}


def test_the_table_is_made_as_wide_as_its_entries_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "HASHSIZE", tmp_path / "hashsize")
    monkeypatch.setattr(netns, "write_sysctl", lambda *_: None)
    limits.HASHSIZE.write_text("150\n")
    limits.apply(Conntrack(max_per_core=300), 1)
    assert limits.HASHSIZE.read_text() == "150\n", "wide enough"
    limits.apply(Conntrack(max_per_core=1000), 1)
    assert limits.HASHSIZE.read_text() == "250"


def test_what_cannot_be_set_is_told_and_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(limits, "HASHSIZE", tmp_path / "none")
    monkeypatch.setattr(limits, "OOM_SCORE", tmp_path / "no" / "file")
    monkeypatch.setattr(netns, "write_sysctl", refuse)
    with caplog.at_level(logging.WARNING):
        limits.apply(Conntrack(max_per_core=1, udp_timeout=4), 1)
        limits.set_oom_score(-999)
    told = "\n".join(caplog.messages)
    assert f"{HEAD}max stays as it is, 1 was wanted: Read-only" in told and f"{HEAD}udp_timeout stays" in told
    assert "file stays as it is, -999 was wanted: No such file" in told


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_kernel_takes_it() -> None:
    with new_rig() as rig:

        def set_and_read() -> str:
            limits.apply(Conntrack(udp_timeout=17), 1)
            return Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout").read_text().strip()

        assert netns.call(rig.node, set_and_read) == "17"
