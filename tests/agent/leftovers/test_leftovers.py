"""What a runtime that was killed leaves behind: whose it is, and that nothing else is touched."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.cri.containerd import Containerd, Directories, Lease, server_pid
from agent.cri.errors import CriError
from agent.cri.wire import encode_text
from agent.leftovers import traces
from agent.leftovers.collect import Leftovers
from agent.leftovers.model import Removal, Shim, Traces
from agent.leftovers.plan import plan_removal
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import running
from tests.waiting import until

KNOWN, LOST, OTHER = "a" * 64, "b" * 64, "c" * 64


def test_only_what_the_runtime_does_not_know_goes():
    seen = Traces(
        shims=(Shim(1, KNOWN), Shim(2, LOST)),
        bundles=frozenset({KNOWN, LOST}),
        states=frozenset({KNOWN, OTHER}),
        dead_sockets=(Path("/s/1"),),
    )
    leases = (Lease("old", 50.0), Lease("new", 150.0), Lease("timeless", 0.0))
    assert plan_removal(seen, frozenset({KNOWN}), leases, 100.0) == Removal(
        ids=(LOST, OTHER), shims=(Shim(2, LOST),), sockets=(Path("/s/1"),), leases=(leases[0],)
    )
    assert not plan_removal(seen, seen.ids, leases, 0.0).leases, "nobody knows when the runtime began"


def test_what_an_earlier_runtime_was_cut_off_over_goes():
    seen = Traces(
        scratch=((Path("/t/old"), 50.0), (Path("/t/new"), 150.0)),
        networks=((Path("/n/used"), 50.0), (Path("/n/lost"), 50.0), (Path("/n/new"), 150.0)),
        records=((Path("/r") / KNOWN, 50.0), (Path("/r") / LOST, 50.0), (Path("/r") / OTHER, 150.0)),
    )
    removal = plan_removal(seen, frozenset({KNOWN}), (), 100.0, frozenset({"/n/used"}))
    assert removal.records == (Path("/r") / LOST,)
    assert removal.scratch == (Path("/t/old"),)
    assert removal.networks == (Path("/n/lost"),)
    assert plan_removal(seen, frozenset(), (), 0.0) == Removal(), "nobody knows when the runtime began"


@pytest.mark.kernel
def test_a_passing_mount_under_way_is_let_be_and_a_lost_namespace_is_let_go(tmp_path: Path) -> None:
    where = Directories(
        tmp_path / "containerd.sock",
        tmp_path / "b",
        tmp_path / "w",
        (),
        scratch=tmp_path / "t",
        networks=tmp_path / "n",
    )
    for made in (tmp_path / "t/empty", tmp_path / "t/mounted", tmp_path / "n"):
        made.mkdir(parents=True)
    space = tmp_path / "n/cni-whtlost"
    space.touch()
    subprocess.run(["mount", "-t", "tmpfs", "wht", str(tmp_path / "t/mounted")], check=True)
    subprocess.run(["unshare", f"--net={space}", "true"], check=True)
    try:
        seen = traces.read(where)
        assert [path.name for path, _ in seen.scratch] == ["empty"]
        removal = plan_removal(seen, frozenset(), (), time.time() + 1.0)
        Leftovers(Runtime(where, frozenset()), None, frozenset)._remove(removal, where)
        assert not space.exists() and not (tmp_path / "t/empty").exists()
        assert (tmp_path / "t/mounted").is_mount()
    finally:
        for point in (tmp_path / "t/mounted", space):
            subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)


def places(top: Path) -> Directories:
    for name in ("bundles", "works", "runc"):
        (top / name).mkdir(exist_ok=True)
    return Directories(top / "containerd.sock", top / "bundles", top / "works", (top / "runc",))


class Runtime(Containerd):
    """What containerd would answer."""

    def __init__(self, where: Directories, known: frozenset[str], leases: tuple[Lease, ...] = ()) -> None:
        self.where, self.known, self.held = where, known, list(leases)
        self.asked = 0

    async def directories(self) -> Directories:
        return self.where

    async def containers(self) -> frozenset[str]:
        self.asked += 1
        return self.known

    async def leases(self) -> tuple[Lease, ...]:
        return tuple(self.held)

    async def collect_garbage(self, leases: tuple[Lease, ...], snapshotter: str) -> None:
        self.held = [lease for lease in self.held if lease not in leases]


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of shims' sockets."""
    (tmp_path / "s").mkdir()
    monkeypatch.setattr(traces, "SOCKETS", tmp_path / "s")
    monkeypatch.setattr(traces, "_SETTLED_SECONDS", -1.0)
    return tmp_path / "s"


def test_everything_of_a_forgotten_container_goes_and_nothing_of_a_known_one(tmp_path: Path, sockets: Path) -> None:
    where = places(tmp_path)
    for container_id in (KNOWN, LOST):
        for top in (where.bundles, where.works, *where.runc):
            (top / container_id / "rootfs").mkdir(parents=True)
            (top / container_id / "state.json").write_text("{}")
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(sockets / container_id[:8]))
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(sockets / "alive"))
        alive.listen()
        runtime = Runtime(where, frozenset({KNOWN}))
        clock.run(Leftovers(runtime, None, lambda: frozenset({KNOWN})).collect())
    for top in (where.bundles, where.works, *where.runc):
        assert [entry.name for entry in top.iterdir()] == [KNOWN]
    assert [entry.name for entry in sockets.iterdir()] == ["alive"], "nobody listens at the others"


def test_the_metadata_is_read_only_where_there_is_something_unknown(tmp_path: Path, sockets: Path) -> None:
    where = places(tmp_path)
    (where.bundles / KNOWN).mkdir()
    runtime = Runtime(where, frozenset({KNOWN}))
    leftovers = Leftovers(runtime, None, lambda: frozenset({KNOWN}))
    clock.run(leftovers.collect())
    assert runtime.asked == 0
    # A container that is just being made: in the metadata, not yet in the cache.
    (where.bundles / OTHER).mkdir()
    runtime.known = frozenset({KNOWN, OTHER})
    clock.run(leftovers.collect())
    assert runtime.asked == 1 and (where.bundles / OTHER).is_dir()


def test_leases_from_before_the_runtime_began_go(tmp_path: Path, sockets: Path) -> None:
    where = places(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(where.socket))
        listening.listen()
        assert server_pid(where.socket) == os.getpid()
        began = traces.started(os.getpid())
        assert 0 < began < time.time()
        runtime = Runtime(where, frozenset(), (Lease("before", began - 10), Lease("since", time.time())))
        clock.run(Leftovers(runtime, None, frozenset).collect())
    assert [lease.id for lease in runtime.held] == ["since"]
    assert server_pid(tmp_path / "none") == 0


def test_a_shim_is_known_by_its_program_and_its_whole_arguments(tmp_path: Path) -> None:
    """An editor that was given the same words is nobody's shim."""
    address = tmp_path / "containerd.sock"
    shim = tmp_path / "containerd-shim-runc-v2"
    # A program of that name: the interpreter, copied so that the kernel shows it under the name.
    shim.write_bytes(Path(os.path.realpath("/bin/sleep")).read_bytes())
    shim.chmod(0o755)
    # coreutils' and busybox' sleep both refuse options: the words are put where only /proc shows them.
    words = [str(shim), "-namespace", "k8s.io", "-id", LOST, "-address", str(address)]
    code = f"import os; os.execv({str(shim)!r}, ['sleep', '60'])"
    plain = subprocess.Popen([sys.executable, "-c", code])
    lookalike = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words])
    try:
        assert traces.shim_of(plain.pid, address) is None
        assert traces.shim_of(lookalike.pid, address) is None
        assert traces.shims(address) == []
    finally:
        for process in (plain, lookalike):
            process.kill()
            process.wait()


class Wire:
    """A channel that answers with recorded bytes."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers, self.asked = answers, []  # type: ignore[var-annotated]
        self.socket = Path("/run/x.sock")

    async def call(self, path: str, request: Any, decode: Any, timeout: float, headers: Any = ()) -> Any:
        self.asked.append((".".join(path.split(".")[-2:]), bytes(request), dict(headers)))
        return decode(self.answers[path.rpartition("/")[2]])


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + struct.pack("B", len(data)) + data


def test_containerds_services_are_read(tmp_path: Path) -> None:
    async def main() -> None:
        stamp = b"\x08\x80\xa1\xad\xbe\x06"  # seconds: 1741377664
        listed = field(1, encode_text(1, "one") + field(2, stamp)) + field(1, encode_text(1, "two"))
        wire: Any = Wire({"List": listed, "Delete": b"", "Create": b"", "Prepare": b"", "Remove": b""})
        runtime = Containerd(wire)
        assert await runtime.containers() == {"one", "two"}
        assert await runtime.leases() == (Lease("one", 1741377664.0), Lease("two", 0.0))
        wire.asked.clear()
        await runtime.collect_garbage((Lease("one", 1.0),), "native")
        (_, mark, _), (method, body, headers), made, removed, (_, last, _) = wire.asked
        assert made[:2] == ("v1.Snapshots/Prepare", b"\x0a\x06native\x12" + mark[1:])
        assert removed[:2] == ("v1.Snapshots/Remove", made[1]), "so that the snapshotter is looked at"
        assert (method, body, headers) == ("v1.Leases/Delete", b"\x0a\x03one", {"containerd-namespace": "k8s.io"})
        assert last == mark + b"\x10\x01", "the last one waits for the collection"

    clock.run(main())


def test_logs_of_a_pod_nobody_knows_go(tmp_path: Path) -> None:
    async def main() -> None:
        left = tmp_path / "logs/default_gone_uid-gone/c"
        left.mkdir(parents=True)
        (left / "0.log").write_text("last words")
        async with running(tmp_path, FakeRuntime()) as agent:
            agent.pods.all_synced.set()
            await until(lambda: not left.parent.exists())

    clock.run(main())


def test_no_lease_of_ones_own_outlives_a_collection_that_fails() -> None:
    """It is tried again every two seconds, and what such a lease is of is collected only when containerd is new."""

    class Refusing(Wire):
        async def call(self, path: str, *rest: Any, **more: Any) -> Any:
            answer = await super().call(path, *rest, **more)
            if path.endswith("Prepare"):
                raise CriError("Prepare", "InvalidArgument", "snapshotter not loaded: overlayfs")
            return answer

    wire: Any = Refusing(dict.fromkeys(("Create", "Prepare", "Delete"), b""))
    with pytest.raises(CriError, match="not loaded"):
        clock.run(Containerd(wire).collect_garbage((), "overlayfs"))
    (_, mark, _), (last, body, _) = wire.asked[0], wire.asked[-1]
    assert (last, body) == ("v1.Leases/Delete", mark + b"\x10\x01")
