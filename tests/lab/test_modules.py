"""Kernel modules: only what is absent is loaded, and the host's own bridges stay as they were."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from apimachinery.kit.command import CommandError, Result
from lab import modules


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A kernel with modules, none loaded; the list of what was asked for."""
    (tmp_path / "filesystems").write_text("nodev\tproc\n\text4\n")
    monkeypatch.setattr(modules, "_FILE_SYSTEMS", tmp_path / "filesystems")
    monkeypatch.setattr(modules, "_BRIDGE", tmp_path / "bridge")
    monkeypatch.setattr("shutil.which", lambda name: f"/sbin/{name}")
    asked: list[str] = []

    async def run(argv: list[str], **_: object) -> Result:
        asked.append(argv[-1])
        if argv[-1] == "br_netfilter":
            (tmp_path / "bridge").mkdir()
            for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"):
                (tmp_path / "bridge" / name).write_text("1\n")
        return Result(tuple(argv), 0, b"", b"")

    monkeypatch.setattr("apimachinery.kit.command.run", run)
    monkeypatch.setattr(
        "apimachinery.kit.netns.write_sysctl",
        lambda _, name, value: (tmp_path / "bridge" / name.rpartition(".")[2]).write_text(str(value)),
    )
    return asked


def test_absent_ones_are_loaded_and_the_host_keeps_its_bridges(kernel: list[str], tmp_path: Path) -> None:
    asyncio.run(modules.load())
    assert kernel == ["overlay", "br_netfilter"]
    assert {file.read_text() for file in (tmp_path / "bridge").iterdir()} == {"0"}


def test_what_is_there_is_left_alone(kernel: list[str], tmp_path: Path) -> None:
    (tmp_path / "filesystems").write_text("nodev\tproc\nnodev\toverlay\n")
    (tmp_path / "bridge").mkdir()
    (tmp_path / "bridge/bridge-nf-call-iptables").write_text("1\n")
    asyncio.run(modules.load())
    assert kernel == []
    assert (tmp_path / "bridge/bridge-nf-call-iptables").read_text() == "1\n"


def test_without_modules_preflight_has_the_word(kernel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(argv: list[str], **_: object) -> Result:
        raise CommandError(argv, None, "no modules here", None)

    monkeypatch.setattr("apimachinery.kit.command.run", refused)
    asyncio.run(modules.load())
    monkeypatch.setattr("shutil.which", lambda _: None)
    asyncio.run(modules.load())
