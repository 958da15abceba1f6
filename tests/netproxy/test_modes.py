"""Which mode a host gets."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netproxy import app, modes
from netproxy.ground import Ground
from netproxy.iptables.apply import IptablesMode
from netproxy.model import Family
from netproxy.nftables.apply import NftablesMode
from netproxy.settings import Settings
from netproxy.standin import StoodInFor

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


@pytest.mark.parametrize(
    ("count", "in_force", "lost", "wanted"),
    [
        (600, False, False, False),
        (600, False, True, True),
        (400, False, True, False),
        (2100, False, False, True),
        (2100, True, False, False),
        (2100, True, True, True),
    ],
)
def test_flat_tables_stand_in_for_many_lost_chains_and_for_very_many_new_ones(
    monkeypatch: pytest.MonkeyPatch, count: int, in_force: bool, lost: bool, wanted: bool
) -> None:
    order: list[str] = []

    def noted(name: str, answer: bool = False) -> Any:
        async def call(*_: Any) -> bool:
            order.append(name)
            return answer

        return call

    async def lose(_: Any, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        on_lost()

    monkeypatch.setattr(IptablesMode, "in_force", lambda _: noted("asked", in_force)())
    monkeypatch.setattr(IptablesMode, "rebuild", noted("chains"))
    monkeypatch.setattr(IptablesMode, "watch", lose)
    for name in ("open", "rebuild", "cleanup"):
        monkeypatch.setattr(NftablesMode, name, noted(f"maps {name}"))

    async def body() -> None:
        mode = StoodInFor(GROUNDS)
        if lost:
            await mode.watch(lambda: None, lambda: None)
        await mode.rebuild(dict.fromkeys(range(count)))  # type: ignore[arg-type]  # how many there are is what counts

    asyncio.run(body())
    maps = (["maps open", "maps rebuild"], ["maps cleanup"]) if wanted else ([], [])
    assert [one for one in order if one != "asked"] == [*maps[0], "chains", *maps[1]]


def test_what_an_earlier_process_left_goes_before_other_modes_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def note(what: str, *_: Any) -> None:
        order.append(what)

    monkeypatch.setattr(app, "remove", note)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    mode = SimpleNamespace(name="iptables", tidy=lambda: note("tidied"))
    parts: Any = SimpleNamespace(
        _proxier=SimpleNamespace(wait_synced=lambda: note("synced")), _mode=mode, _settings=None
    )
    asyncio.run(app._Parts._settle(parts))
    assert order == ["synced", "tidied", *(name for name in modes.mode_names() if name != "iptables")]
