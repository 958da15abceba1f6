"""Which mode a host gets."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from netproxy import modes
from netproxy.ground import Ground
from netproxy.model import Family
from netproxy.settings import Settings

GROUNDS = (Ground(Family.IPV4),)


class Host:
    """Builds modes of which some lack something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lacks: dict[str, str]) -> None:
        self.closed: list[str] = []
        rows = tuple((name, self._builder(name, lacks.get(name, ""))) for name, _ in modes.MODES)
        monkeypatch.setattr(modes, "MODES", rows)

    def _builder(self, name: str, lack: str) -> modes.Builder:
        host = self

        class Fake:
            def __init__(self) -> None:
                self.name = name

            async def open(self) -> None: ...

            async def prepare(self) -> None:
                if lack:
                    raise RuntimeError(lack)

            def close(self) -> None:
                host.closed.append(name)

        return lambda *_: Fake()  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("lacks", "chosen"),
    [
        ((), "nftables"),
        (("nftables",), "ipvs"),
        (("nftables", "ipvs"), "iptables"),
        (("nftables", "ipvs", "iptables"), "userspace"),
    ],
)
def test_auto_takes_the_first_that_can_be_had_and_says_why_not_those_before(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lacks: tuple[str, ...], chosen: str
) -> None:
    host = Host(monkeypatch, {name: f"no {name} in this kernel\nmore" for name in lacks})
    with caplog.at_level(logging.INFO):
        mode = asyncio.run(modes.begin(modes.AUTO, GROUNDS))
    assert mode.name == chosen and host.closed == list(lacks)
    assert [f"mode auto: not {name}: no {name} in this kernel" for name in lacks] == caplog.messages[:-1]
    assert f"mode auto: {chosen}, the best of nftables, ipvs, iptables, userspace" in caplog.messages[-1]


def test_a_mode_that_was_asked_for_is_not_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, {"ipvs": "no module ip_vs"})
    with pytest.raises(RuntimeError, match="no module ip_vs"):
        asyncio.run(modes.begin("ipvs", GROUNDS))
    assert host.closed == ["ipvs"]
    with pytest.raises(ValueError, match="unknown proxy mode 'ebpf'"):
        asyncio.run(modes.begin("ebpf", GROUNDS))


def test_the_settings_take_every_mode_and_no_other() -> None:
    for mode in modes.choices():
        assert Settings(kubeconfig=Path("k"), mode=mode).mode == mode
    with pytest.raises(ValueError, match="mode: use one of nftables, ipvs, iptables, userspace, auto"):
        Settings(kubeconfig=Path("k"), mode="ebpf")
