"""Pods' addresses from CNI's own records, as files come, change and go."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from netproxy.policy.addresses import PodAddresses, read
from tests import waiting


def result(name: str, *addresses: str, **more: Any) -> bytes:
    """As libcni 1.x writes it."""
    args = [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "x"], ["K8S_POD_NAME", name]]
    ips = [{"address": address, "interface": 2} for address in addresses]
    return json.dumps({"kind": "cniCacheV1", "cniArgs": args, "result": {"ips": ips}, **more}).encode()


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (result("a", "10.244.1.5/24"), ("x/a", ("10.244.1.5",))),
        (result("a", "10.244.1.5/24", "FD00::0:5/64"), ("x/a", ("10.244.1.5", "fd00::5"))),
        (result("a", result={"ip4": {"ip": "10.244.1.5/24"}}), ("x/a", ("10.244.1.5",))),
        (result("a"), None),
        (result("a", cniArgs=None), None),
        (result("a", "10.244.1.5/24")[:40], None),
        (b"", None),
        (b"[]", None),
    ],
)
def test_what_a_record_says(data: bytes, wanted: Any) -> None:
    assert read(data) == wanted


def test_files_that_come_change_and_go(tmp_path: Path) -> None:
    told: list[tuple[str, tuple[str, ...]]] = []

    async def until(key: str, *ips: str) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        while not told or told[-1] != (key, ips):
            assert asyncio.get_running_loop().time() < deadline, told
            await asyncio.sleep(0.005)

    async def main() -> None:
        folder = tmp_path / "results"
        folder.mkdir()
        (folder / "net-1-eth0").write_bytes(result("a", "10.244.1.5/24"))
        following = asyncio.ensure_future(PodAddresses(folder, lambda key, ips: told.append((key, ips))).run())
        await until("x/a", "10.244.1.5")
        (folder / "net-2-eth0").write_bytes(result("a", "10.244.1.6/24"))
        await until("x/a", "10.244.1.5", "10.244.1.6")
        (folder / "net-1-eth0").unlink()
        await until("x/a", "10.244.1.6")
        (folder / "net-2-eth0").write_bytes(result("b", "10.244.1.6/24"))
        await until("x/b", "10.244.1.6")
        assert ("x/a", ()) in told[-2:]
        (folder / "net-2-eth0").unlink()
        await until("x/b")
        following.cancel()

    asyncio.run(main())


def test_events_that_the_kernel_had_no_room_for_are_made_up(tmp_path: Path) -> None:
    told: dict[str, tuple[str, ...]] = {}

    async def main() -> None:
        (tmp_path / "first").write_bytes(result("a", "10.244.1.5/24"))
        following = asyncio.ensure_future(PodAddresses(tmp_path, told.__setitem__).run())
        await waiting.until(lambda: "x/a" in told)
        # Two events each, while nobody reads.
        room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for _ in range(room // 2 + 1):
            (tmp_path / "filling").touch()
            (tmp_path / "filling").unlink()
        (tmp_path / "last").write_bytes(result("b", "10.244.1.6/24"))
        await waiting.until(lambda: told.get("x/b") == ("10.244.1.6",))
        following.cancel()

    asyncio.run(main())
