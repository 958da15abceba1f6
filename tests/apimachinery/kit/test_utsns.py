"""UTS namespaces that a file keeps: inside there is another hostname, outside nothing changes."""

from __future__ import annotations

import os

import pytest

from tests.apimachinery.kit.test_netns_names import alone

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_a_hostname_is_told_inside_alone_and_nothing_is_left_of_it() -> None:
    alone(
        """
import os, socket
from apimachinery.kit import nsfile, utsns
directory, here = Path("/run/whtnames"), socket.gethostname()
made = [directory / name for name in ("node1", "node2")]
for path in made:
    utsns.create(path, path.name)
def inside(path, *argv):
    return subprocess.run(["nsenter", f"--uts={path}", "--", *argv], check=True, capture_output=True, text=True).stdout
assert [inside(path, "hostname") for path in made] == ["node1\\n", "node2\\n"]
assert socket.gethostname() == here and here not in ("node1", "node2")
pid = os.fork()
if not pid:
    nsfile.enter(made[1], nsfile.UTS)
    os._exit(socket.gethostname() != "node2")
assert os.waitpid(pid, 0)[1] == 0
for path in made:
    nsfile.forget(path)
assert [nsfile.identity(path) for path in made] == [None] * 2
assert mounted() == [directory]
"""
    )


def test_what_the_kernel_refuses_leaves_no_namespace() -> None:
    alone(
        """
from apimachinery.kit import nsfile, utsns
path = Path("/run/whtnames/a")
try:
    utsns.create(path, "x" * 65)
except OSError:
    assert nsfile.identity(path) is None and mounted() == []
else:
    raise AssertionError("a hostname has 64 bytes at most")
"""
    )
