"""Kill -9 in the middle of a hundred ADDs and DELs: nothing may stay reserved, linked or locked."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from cni import daemon as cni_daemon
from cni.hostlocal.store import DiskStore, sweep
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller

pytestmark = pytest.mark.kernel
PODS = 50
# A call of the full plugin costs 40 times what one of the stub does: fewer of them are under way as long, and each is a
# third of a second of processor, of which a busy machine has little.
PODS_WITHOUT_A_DAEMON = 6


def start(config: Path, node: Path, socket: Path) -> subprocess.Popen[bytes]:
    """The daemon in a process of its own, inside the node."""
    argv = [sys.executable, "-m", "cni", "--config", str(config), "--log-level", "warning"]
    daemon = netns.call(node, lambda: subprocess.Popen(argv))
    deadline = time.monotonic() + 60
    while not socket.exists():
        assert daemon.poll() is None and time.monotonic() < deadline, "the daemon did not start"
        time.sleep(0.02)
    return daemon


def stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait(60)


def veths(node: Path) -> list[str]:
    with Netlink(node) as kernel_of_node:
        return [link.name for link in kernel_of_node.links() if link.kind == "veth"]


@pytest.mark.parametrize("killed", ["executables", "executables without a daemon"])
def test_kill_nine_in_the_middle_leaks_nothing(tmp_path: Path, killed: str) -> None:
    """The daemon's own end is the test's below."""
    settings = {"run_dir": "run", "conf_dir": "conf", "bin_dir": "bin", "data_dir": "data"}
    config = tmp_path / "cni.yaml"
    config.write_text(yaml.safe_dump({k: str(tmp_path / v) for k, v in settings.items()}))
    socket = tmp_path / "run" / "cni.sock"
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "data"), "subnet": "10.88.9.0/24"}
    bridge = {"type": "bridge", "bridge": "whtbr0", "isDefaultGateway": True, "ipam": ipam, "daemonSocket": str(socket)}
    network = {"cniVersion": "1.0.0", "name": "whtnet", "plugins": [bridge]}
    count = PODS_WITHOUT_A_DAEMON if killed == "executables without a daemon" else PODS
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(count, "p") as pods:
        daemon = start(config, node, socket)
        if killed == "executables without a daemon":
            stop(daemon)
        try:
            every = [Attachment(f"c{n}", str(p)) for n, p in enumerate(pods)]
            caller = Caller([tmp_path / "bin"])

            async def storm() -> bool:
                """ADD and DEL without end until the kill; whether it came in the middle of any."""
                over = asyncio.Event()

                async def churn(what: Attachment) -> None:
                    while not over.is_set():
                        await caller.add(network, what)
                        await caller.delete(network, what)

                running = asyncio.gather(*[churn(a) for a in every], return_exceptions=True)
                await until_some_are_reserved(tmp_path / "data" / "whtnet", count // 2)
                kill_executables(tmp_path / "bin")
                over.set()
                return any(isinstance(outcome, CniError) for outcome in await running)

            # On a machine that stalls everybody may just have been answered.
            for _ in range(10):
                if kernel.inside(node, storm):
                    break
            else:
                raise AssertionError("the kill never came in the middle")

            async def clean() -> None:
                await asyncio.gather(*[caller.delete(network, a) for a in every])
                # The whole range is usable again: nothing is held twice, lost or locked.
                results = await asyncio.gather(*[caller.add(network, a) for a in every])
                assert len({kernel.address_of(r) for r in results}) == count
                await asyncio.gather(*[caller.delete(network, a) for a in every])

            kernel.inside(node, clean)
            store = DiskStore(tmp_path / "data", "whtnet")
            assert store.taken() == {} and store.noted() == set()
        finally:
            stop(daemon)
        assert veths(node) == []


SANDBOXES, INTERFACES = 50, 10
RATES = {"ingressRate": 10**9, "ingressBurst": 10**7, "egressRate": 10**9, "egressBurst": 10**7}


@dataclass(frozen=True)
class One:
    """One of five hundred attachments: an interface of a sandbox, with a host port and bounds of its own."""

    number: int
    pod: Path

    @property
    def ifname(self) -> str:
        return f"eth{self.number % INTERFACES}"

    def request(self, command: str, config: dict[str, Any], previous: dict[str, Any]) -> bytes:
        port = {"hostPort": 20_000 + self.number, "containerPort": 80, "protocol": "tcp"}
        given = {"cniVersion": "1.0.0", "name": "whtnet", **config, **({"prevResult": previous} if previous else {})}
        wishes = {"portmap": {"portMappings": [port]}, "bandwidth": {"bandwidth": RATES}}
        given["runtimeConfig"] = wishes.get(config["type"], {})
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"c{self.number}", "CNI_IFNAME": self.ifname}
        environment |= {"CNI_NETNS": str(self.pod), "CNI_PATH": "/x"}
        head = "\0".join([config["type"], *(f"{key}={value}" for key, value in environment.items())])
        return head.encode() + b"\0\0" + json.dumps(given).encode()


async def asked(socket: Path, request: bytes) -> bytes:
    """The daemon's whole answer, as the executable takes it; ConnectionError when it dies in the middle."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(request)
        writer.write_eof()
        answer = await reader.read()
    finally:
        writer.close()
    if not answer.endswith(b"\0") or answer[:1] != b"\0":
        raise ConnectionError(answer[:500])
    return answer[1:-1]


async def chained(socket: Path, one: One, command: str, chain: list[dict[str, Any]]) -> None:
    previous: dict[str, Any] = {}
    for config in chain if command == "ADD" else reversed(chain):
        answer = await asked(socket, one.request(command, config, previous))
        previous = json.loads(answer) if command == "ADD" else {}


def test_five_hundred_at_once_through_the_whole_chain_leave_nothing_when_it_is_killed(tmp_path: Path) -> None:
    """Killed in the middle of 500 ADDs, then of ADDs and DELs together."""
    settings = {"run_dir": "run", "conf_dir": "conf", "bin_dir": "bin", "data_dir": "data"}
    config = tmp_path / "cni.yaml"
    config.write_text(yaml.safe_dump({k: str(tmp_path / v) for k, v in settings.items()}))
    socket = tmp_path / "run" / "cni.sock"
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "data"), "subnet": "10.88.8.0/22"}
    chain: list[dict[str, Any]] = [
        {"type": "bridge", "bridge": "whtbr0", "isDefaultGateway": True, "ipam": ipam},
        {"type": "portmap", "daemonSocket": str(socket)},
        {"type": "bandwidth"},
    ]

    async def killed_in_the_middle(daemon: subprocess.Popen[bytes], work: list[tuple[One, str]]) -> int:
        """How many calls did not hear their end; the kill comes when a fifth of them has."""
        ended: list[OSError | None] = []

        async def call(one: One, command: str) -> None:
            try:
                await chained(socket, one, command, chain)
                ended.append(None)
            except OSError as cut:
                ended.append(cut)
            if len(ended) == len(work) // 5:
                daemon.kill()

        await asyncio.gather(*(call(one, command) for one, command in work))
        return sum(isinstance(cut, OSError) for cut in ended)

    async def each(command: str, ones: list[One]) -> None:
        await asyncio.gather(*(chained(socket, one, command, chain) for one in ones))

    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(SANDBOXES, "p") as pods:
        ones = [One(number, pods[number // INTERFACES]) for number in range(SANDBOXES * INTERFACES)]
        added, gone = [(one, "ADD") for one in ones], [(one, "DEL") for one in ones]
        for work in (added, [*gone[: len(ones) // 2], *added[len(ones) // 2 :]]):
            daemon = start(config, node, socket)
            assert kernel.inside(node, partial(killed_in_the_middle, daemon, work)), "the kill came after all"
            daemon.wait(60)
            socket.unlink(missing_ok=True)
        daemon = start(config, node, socket)
        try:
            store = DiskStore(tmp_path / "data", "whtnet")
            assert store.taken(), "something was there to be left"
            kernel.inside(node, partial(each, "DEL", ones))
            assert store.taken() == {} and store.noted() == set()
            assert list((tmp_path / "run" / "hostports").glob("*.json")) == []
            # What was cut off in no way keeps others from the same names and ports.
            kernel.inside(node, partial(each, "ADD", ones[::25]))
            kernel.inside(node, partial(each, "DEL", ones[::25]))
            assert store.taken() == {}
        finally:
            stop(daemon)
        nft = ["nft", "list", "table", "inet", "wherry-hostports"]
        table = netns.call(node, lambda: subprocess.run(nft, capture_output=True, timeout=30, check=True))
        assert b"elements" not in table.stdout
        with Netlink(node) as opened:
            assert [link.name for link in opened.links() if link.kind in ("veth", "ifb")] == []


def test_a_daemon_frees_at_its_start_what_died_with_the_pods(tmp_path: Path) -> None:
    """After a reboot or a runtime that never said DEL."""
    config = tmp_path / "cni.yaml"
    settings = {"run_dir": "run", "conf_dir": "conf", "bin_dir": "bin", "data_dir": "data"}
    config.write_text(yaml.safe_dump({k: str(tmp_path / v) for k, v in settings.items()}))
    socket = tmp_path / "run" / "cni.sock"
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "data"), "subnet": "10.88.9.0/24"}
    bridge = {"type": "bridge", "bridge": "whtbr0", "ipam": ipam, "daemonSocket": str(socket)}
    network = {"cniVersion": "1.0.0", "name": "whtnet", "plugins": [bridge]}
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(1, "p") as (stays,):
        daemon = start(config, node, socket)
        try:
            caller = Caller([tmp_path / "bin"])
            with kernel.namespaces(1, "q") as (goes,):
                pair = [Attachment("stays", str(stays)), Attachment("goes", str(goes))]
                results = [kernel.inside(node, partial(caller.add, network, a)) for a in pair]
            stop(daemon)
            daemon = start(config, node, socket)
            taken = DiskStore(tmp_path / "data", "whtnet").taken()
            assert set(taken) == {kernel.address_of(results[0])}
            assert sweep(DiskStore(tmp_path / "data", "whtnet")) == []
        finally:
            stop(daemon)


def test_what_is_retired_during_the_last_pass_is_freed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is told to stop while links are being freed: one retired since then needs a pass of its own."""
    retired, freed = ["early"], []
    reaper = cni_daemon._Reaper()

    def free(_: Netlink) -> None:
        freed.extend(retired)
        retired.clear()
        if freed == ["early"]:
            retired.append("late")
            reaper.soon()
            closing.start()
            assert reaper._closing.wait(60)

    closing = threading.Thread(target=reaper.close)
    monkeypatch.setattr(cni_daemon, "free_retired_now", free)
    reaper.soon()
    deadline = time.monotonic() + 60
    while not closing.ident and time.monotonic() < deadline:
        time.sleep(0.01)
    closing.join(60)
    assert freed == ["early", "late"]


async def until_some_are_reserved(directory: Path, some: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if directory.is_dir() and sum(p.name[0].isdigit() for p in directory.iterdir()) >= min(some, 6):
            return
        await asyncio.sleep(0.002)
    raise AssertionError("no ADD got anywhere")


def kill_executables(bin_dir: Path) -> None:
    """Kill those processes this test's calls started: children of ours that run a plugin of this
    directory.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
            if parent == os.getpid() and (str(bin_dir).encode() in command or b"cni.main" in command):
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
