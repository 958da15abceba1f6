"""Mount namespaces that a file keeps: what is mounted inside is shared there and seen nowhere else."""

from __future__ import annotations

import os

import pytest

from tests.apimachinery.kit.test_netns_names import alone

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SETUP = """
from apimachinery.kit import mountns, nsfile
directory = Path("/run/whtmounts")
place = Path("/run/place")
place.mkdir()
def make(name):
    mountns.create(directory / name, lambda: None)
    return directory / name
def inside(where, script):
    argv = ["nsenter", f"--mount={where}", "--", "sh", "-ec", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
"""


def test_what_is_mounted_inside_is_seen_by_all_inside_and_by_nobody_else() -> None:
    alone(
        SETUP
        + """
a, b = make("a"), make("b")
inside(a, "mount -t tmpfs tmpfs /run/place && echo 1 > /run/place/file")
assert inside(a, "cat /run/place/file") == "1\\n"
assert not list(place.iterdir()) and inside(b, "ls /run/place") == ""
# A namespace made inside, as a container's is, receives what is mounted later.
slave = subprocess.Popen(
    ["nsenter", f"--mount={a}", "--", "unshare", "-m", "--propagation", "slave"] +
    ["sh", "-c", "read x; ls /run/place/deep"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
while nsfile.identity(Path(f"/proc/{slave.pid}/ns/mnt")) in (nsfile.identity(a), nsfile.identity()):
    pass
inside(a, "mkdir /run/place/deep; mount -t tmpfs tmpfs /run/place/deep; touch /run/place/deep/seen")
assert slave.communicate(b"\\n")[0] == b"seen\\n"
"""
    )


def test_what_the_machine_mounts_later_is_seen_inside() -> None:
    alone(
        SETUP
        + """
mounts.mount("", Path("/"), flags=mounts.MS_SHARED | mounts.MS_REC)
a = make("a")
mounts.mount("tmpfs", place, "tmpfs")
(place / "disk").touch()
assert inside(a, "ls /run/place") == "disk\\n"
"""
    )


def test_nothing_is_left_when_it_is_forgotten() -> None:
    alone(
        SETUP
        + """
made = [make(f"n{number}") for number in range(8)]
assert len({nsfile.identity(path) for path in made}) == 8 and None not in map(nsfile.identity, made)
for path in made:
    nsfile.forget(path)
    nsfile.forget(path)
assert [nsfile.identity(path) for path in made] == [None] * 8
assert mounted() == [directory]
"""
    )


def test_many_at_once_and_one_that_lost_its_file() -> None:
    alone(
        SETUP
        + """
with ThreadPoolExecutor(8) as pool:
    made = list(pool.map(make, [f"n{number}" for number in range(16)]))
assert len({nsfile.identity(path) for path in made}) == 16
waiting = subprocess.Popen(["nsenter", f"--mount={made[0]}", "--", "sleep", "60"])
was = nsfile.identity(made[0])
while nsfile.identity(Path(f"/proc/{waiting.pid}/ns/mnt")) != was:
    pass
nsfile.forget(made[0])
nsfile.keep(made[0], Path(f"/proc/{waiting.pid}/ns/mnt"))
assert nsfile.identity(made[0]) == was
waiting.kill()
"""
    )


def test_what_cannot_be_arranged_leaves_no_namespace() -> None:
    alone(
        SETUP
        + """
def fail():
    raise RuntimeError("no")
try:
    mountns.create(directory / "a", fail)
except RuntimeError:
    pass
assert nsfile.identity(directory / "a") is None
"""
    )
