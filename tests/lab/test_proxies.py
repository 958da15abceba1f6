"""What the proxies of nodes say of themselves."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from apimachinery import zpages
from lab import proxies
from netproxy.settings import Settings
from netproxy.trace.model import Proxy
from tests.lab.test_spec import make


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({}, Proxy("ipvs")),
        ({"masquerade_all": True, "pod_interface": "veth+"}, Proxy("ipvs", True, (), "veth+")),
        ({"node_port_addresses": ("10.0.0.0/8", "192.0.2.0/24")}, Proxy("ipvs", False, ("10.0.0.0/8", "192.0.2.0/24"))),
        ({"node_port_addresses": ("primary",), "node_ips": ("10.0.0.1",)}, Proxy("ipvs", False, ("10.0.0.1",))),
    ],
)
def test_flags_of_a_proxy_are_read_as_it_shows_them(asked: dict[str, object], known: Proxy) -> None:
    shown = zpages.flags(Settings(Path("/k"), **asked))  # type: ignore[arg-type]
    assert proxies.proxy_of("ipvs", shown) == known


def test_nodes_are_asked_side_by_side_and_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody, let_go = threading.Barrier(3), threading.Event()

    def ask(space: Path) -> Proxy:
        everybody.wait(20)
        if space.name.endswith("node1"):
            let_go.wait(20)
        if space.name.endswith("node2"):
            raise ConnectionRefusedError
        return Proxy("userspace", masquerade_all=True)

    monkeypatch.setattr(proxies, "_ask", ask)
    monkeypatch.setattr(proxies, "_ALL_SECONDS", 1.0)

    async def main() -> dict[str, Proxy]:
        try:
            return await proxies.proxies(make(node_count=3, proxy_mode="auto"))
        finally:
            let_go.set()

    found = asyncio.run(asyncio.wait_for(main(), 30))
    assert found == {
        "node1": Proxy("nftables"),
        "node2": Proxy("nftables"),
        "node3": Proxy("userspace", masquerade_all=True),
    }
