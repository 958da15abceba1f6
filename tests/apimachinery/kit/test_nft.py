"""Libnftables in process, beside rules of others."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit import netns
from apimachinery.kit.nft import has_table

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

RULES = 20_000
# Ten for the library itself; the rules take sixty.
LIMIT_MB = 25
CHANGES_A_TABLE = """
import asyncio, json
from pathlib import Path
from apimachinery.kit.nft import Nft

def resident():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

async def main():
    nft = Nft()
    before = resident()
    await nft.open()
    await nft.run("add table ip whtmine; add chain ip whtmine c")
    listed = sorted(await nft.names("ip", "whtmine"))
    await nft.run("delete table ip whtmine")
    print(json.dumps([resident() - before, listed]))
    nft.close()

asyncio.run(main())
"""


REMOVES_A_TABLE = """
import asyncio, sys
from apimachinery.kit.nft import Nft

async def main():
    nft = Nft()
    for _ in range(2):
        await nft.remove([(2, "whtmine"), (10, "whtmine")])
    nft.close()

asyncio.run(main())
print(any("libnftables" in line for line in open("/proc/self/maps")))
"""


@pytest.fixture
def where() -> Iterator[Path]:
    path = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}f")
    try:
        yield path
    finally:
        netns.delete(path.name)


def test_a_host_full_of_others_rules_costs_no_memory(where: Path) -> None:
    enter = ["nsenter", f"--net={where}"]
    rules = "".join(f"add rule ip whtothers c ip daddr 10.1.2.3 tcp dport {n} accept\n" for n in range(1, RULES + 1))
    text = "add table ip whtothers\nadd chain ip whtothers c\n" + rules
    subprocess.run([*enter, "nft", "-f", "-"], input=text, text=True, check=True, timeout=60)
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [*enter, sys.executable, "-c", CHANGES_A_TABLE],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=root,
    )
    grown, listed = json.loads(done.stdout)
    assert listed == ["c"]
    assert grown < LIMIT_MB


def test_tables_are_taken_away_without_the_library_whether_they_are_there_or_not(where: Path) -> None:
    enter = ["nsenter", f"--net={where}"]
    chains = "chain d { }; chain c { type filter hook input priority 0; jump d; };"
    mine = f"{{ set s {{ type inet_service; elements = {{ 1, 2 }}; }}; {chains}"
    text = f"table ip whtmine {mine} }}; table ip6 whtmine {{ }}; table ip whtothers {{ }}"
    subprocess.run([*enter, "nft", text], check=True, timeout=60)
    root = Path(__file__).resolve().parents[3]
    argv = [*enter, sys.executable, "-c", REMOVES_A_TABLE]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=root)
    assert done.stdout == "False\n", done.stderr[-500:]
    left = subprocess.run([*enter, "nft", "list", "tables"], capture_output=True, text=True, check=True, timeout=60)
    assert left.stdout.split() == ["table", "ip", "whtothers"]


BUSY = """
import asyncio, os, resource
from apimachinery.kit.nft import Nft
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
Nft().close()
files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1500)]
async def main():
    for _ in range(3):
        late = Nft()
        await late.open()
        await late.run("add table ip wht-busy; delete table ip wht-busy")
        late.close()
asyncio.run(main())
print("well")
"""


def test_whether_a_table_is_there_is_told_of_its_family(where: Path) -> None:
    def told() -> list[bool]:
        return [has_table(family, "whtmine") for family in (1, 2)]

    assert netns.call(where, told) == [False, False]
    subprocess.run(["nsenter", f"--net={where}", "nft", "add table inet whtmine"], check=True, timeout=60)
    assert netns.call(where, told) == [True, False]


def test_it_works_in_a_process_with_thousands_of_open_files(where: Path) -> None:
    # It would end the process: select(2) knows 1,024 descriptors.
    root = Path(__file__).resolve().parents[3]
    argv = ["nsenter", f"--net={where}", sys.executable, "-c", BUSY]
    found = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=60)
    assert found.stdout == "well\n", found.stderr[-500:]
