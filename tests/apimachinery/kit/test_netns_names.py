"""Names of network namespaces, in a directory that iproute2 and anybody else use and mount over, too.

Each test has a mount namespace and a directory of its own: what others keep in /run/netns stays.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ROOT = Path(__file__).resolve().parents[3]
CLONE_NEWNS = 0x20000
# A machine whose mounts are private, as where no systemd runs, and whose /run is its own.
PRELUDE = """
import os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from apimachinery.kit import mounts, netns
mounts.mount("", Path("/"), flags=mounts.MS_PRIVATE | mounts.MS_REC)
mounts.mount("tmpfs", Path("/run"), "tmpfs")
def ip(*words):
    subprocess.run(["ip", "netns", *words], check=True)
def table():
    return dict(line.split(" ", 5)[0:5:4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
BEFORE = set(table())
def mounted():
    return sorted(Path(point) for number, point in table().items() if number not in BEFORE)
def old(name):
    # As names were made before: on a directory that is no mount point.
    netns.DIRECTORY.mkdir(exist_ok=True)
    (netns.DIRECTORY / name).touch()
    subprocess.run(["unshare", f"--net={netns.DIRECTORY / name}", "true"], check=True)
"""


def alone(script: str) -> None:
    """Run the script in a mount namespace of its own."""

    def unshare() -> None:
        if ctypes.CDLL(None).unshare(CLONE_NEWNS):
            os._exit(99)

    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        preexec_fn=unshare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_names_stay_deletable_whoever_adds_one_later() -> None:
    alone("""
netns.create("whta")
ip("add", "whtx")
assert netns.names() == ["whta", "whtx"]
assert netns.delete("whta") and netns.names() == ["whtx"]
ip("del", "whtx")
assert mounted() == [netns.DIRECTORY] and not netns.names()
""")


def test_the_directory_is_shared_as_iproute2_shares_it() -> None:
    alone("""
netns.create("whta")
(line,) = [l for l in Path("/proc/self/mountinfo").read_text().splitlines() if l.split()[0] not in BEFORE][:1]
assert " shared:" in line, line
ip("add", "whtx")
assert mounted().count(netns.DIRECTORY) == 1
""")


def test_a_name_that_iproute2_hid_is_taken_away() -> None:
    alone("""
old("whta"); old("whtb")
ip("add", "whtx")
assert netns.delete("whta")
assert netns.names() == ["whtb", "whtx"]
assert netns.delete("whtb") and not netns.delete("whtb")
assert mounted() == [netns.DIRECTORY, netns.DIRECTORY / "whtx"], mounted()
""")


def test_a_name_under_a_foreign_file_system_is_taken_away() -> None:
    alone("""
netns.create("whta")
mounts.mount("tmpfs", netns.DIRECTORY, "tmpfs")
assert netns.delete("whta")
netns.create("whta")
assert netns.delete("whta")
mounts.unmount_top(netns.DIRECTORY)
assert netns.names() == [] and mounted() == [netns.DIRECTORY]
""")


def test_many_at_once_make_one_mount() -> None:
    alone("""
script = "from apimachinery.kit import netns; import sys; netns.create(sys.argv[1])"
def make(number):
    return subprocess.run([sys.executable, "-c", script, f"wht{number}"], check=True)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(make, range(16)))
assert len(netns.names()) == 16
assert mounted().count(netns.DIRECTORY) == 1
for name in netns.names():
    assert netns.delete(name)
assert mounted() == [netns.DIRECTORY]
""")


def test_the_mount_goes_when_no_name_is_left() -> None:
    alone("""
assert netns.prepare() and not netns.prepare()
ip("add", "whtx")
assert not netns.release() and netns.names() == ["whtx"]
ip("del", "whtx")
assert netns.release() and not mounted()
""")


def test_a_namespace_that_lost_its_name_gets_it_back() -> None:
    alone("""
import time
where = netns.create("whta")
was = netns.identity(where)
inside = subprocess.Popen(["nsenter", f"--net={where}", "sleep", "60"])
while netns.identity(f"/proc/{inside.pid}/ns/net") != was:
    time.sleep(0.01)
mounts.mount("tmpfs", netns.DIRECTORY, "tmpfs")
assert netns.identity(where) is None
assert netns.identity(netns.create("whta", Path(f"/proc/{inside.pid}/ns/net"))) == was
inside.kill()
""")
