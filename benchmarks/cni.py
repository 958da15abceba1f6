"""CNI ADD and DEL: ours (daemon, and alone) beside Debian's Go plugins, in turns in one run.

What is called is what a node's runtime calls for a pod: bridge with host-local, then portmap with a host port, then
bandwidth with bounds; or bridge alone. A call is: start the executable, configuration on standard input, read the
answer, wait for its end; a chain's calls follow each other. The floors are the starts of programs that do nothing. CPU
is that of the executables, all they started, and the daemon, until the interface is freed; unlike the times it hardly
depends on what else the machine does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from benchmarks.figures import head, processor_seconds, row
from cni import install

DEBIAN = Path("/usr/lib/cni")
Call = Callable[[str, str, Path], float]
"""(command, container, pod) to milliseconds."""
Echo = Callable[[str], None]


def call(chain: Sequence[tuple[Path, dict[str, Any]]], command: str, container: str, pod: Path) -> float:
    """Milliseconds of all calls of a chain, in reverse for DEL; a failure ends the benchmark."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": str(pod),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(chain[0][0].parent),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    previous: dict[str, Any] = {}
    began = time.perf_counter()
    for binary, config in chain if command == "ADD" else reversed(chain):
        text = json.dumps({**config, **_wishes(config["type"], container), **previous}).encode()
        done = subprocess.run([str(binary)], input=text, env=environment, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise SystemExit(f"{binary} {command}: {done.stdout.decode()} {done.stderr.decode()}")
        if command == "ADD":
            previous = {"prevResult": json.loads(done.stdout)}
    return (time.perf_counter() - began) * 1e3


def _wishes(kind: str, container: str) -> dict[str, Any]:
    """What a pod's own runtime configuration adds: a host port of its own, bounds."""
    if kind == "portmap":
        port = 20_000 + zlib.crc32(container.encode()) % 40_000
        return {"runtimeConfig": {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}}
    bound = {"ingressRate": 10**9, "ingressBurst": 10**7, "egressRate": 10**9, "egressBurst": 10**7}
    return {"runtimeConfig": {"bandwidth": bound}} if kind == "bandwidth" else {}


@contextlib.contextmanager
def pods(count: int, kind: str = "p") -> Iterator[list[Path]]:
    made: list[Path] = []
    try:
        for number in range(count):
            made.append(netns.create(f"whbench{os.getpid()}{kind}{number}"))
        yield made
    finally:
        for path in made:
            netns.delete(path.name)


def one_by_one(ways: dict[str, Call], every: list[Path], rounds: int, served_by: int, echo: Echo) -> None:
    times: dict[tuple[str, str], list[float]] = {}
    spent: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, way in ways.items():
            before = cpu(served_by)
            for command in ("ADD", "DEL"):
                took = way(command, f"one{number}", every[0])
                times.setdefault((name, command), []).append(took)
            settle(every[:1])
            spent.setdefault(name, []).append(cpu(served_by) - before)
    for command in ("ADD", "DEL"):
        for name in ways:
            echo(row(f"{command} one by one, {name}", times[name, command]))
    for name in ways:
        echo(row(f"CPU of both, {name}", spent[name]))


def in_parallel(ways: dict[str, Call], every: list[Path], rounds: int, echo: Echo) -> None:
    times: dict[tuple[str, str], list[float]] = {}
    walls: dict[tuple[str, str], list[float]] = {}
    with ThreadPoolExecutor(len(every)) as crowd:
        for number in range(rounds):
            for name, way in ways.items():
                for command in ("ADD", "DEL"):
                    began = time.perf_counter()
                    futures = [crowd.submit(way, command, f"par{number}x{n}", p) for n, p in enumerate(every)]
                    times.setdefault((name, command), []).extend(f.result() for f in futures)
                    walls.setdefault((name, command), []).append((time.perf_counter() - began) * 1e3)
                settle(every)
    for command in ("ADD", "DEL"):
        for name in ways:
            echo(row(f"{command} {len(every)} at once, each, {name}", times[name, command]))
            echo(row(f"{command} {len(every)} at once, all, {name}", walls[name, command]))


def settle(every: Sequence[Path]) -> None:
    """Wait until no interface is left, so that no way pays for what another left to be freed."""
    deadline = time.monotonic() + 10
    for path in every:
        with Netlink(path) as pod:
            while any(link.kind == "veth" for link in pod.links()):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{path} keeps its interface")
                time.sleep(0.005)


def cpu(served_by: int) -> float:
    """Milliseconds of CPU that children that ended, and this process with all its threads, have used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime + processor_seconds(served_by)) * 1e3


def floor(argv: Sequence[str], rounds: int, echo: Echo) -> None:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, input=b"", capture_output=True, timeout=60, check=True)
        taken.append((time.perf_counter() - began) * 1e3)
    echo(row(f"floor: {' '.join(argv)}", taken))


def chain_of(
    kind: str, base: Path, binaries: Path, socket: Path | None, whole: bool
) -> list[tuple[Path, dict[str, Any]]]:
    """Executables and their configurations. `kind` keeps the ways' bridges and addresses apart."""
    common: dict[str, Any] = {"cniVersion": "1.0.0", "name": f"bench-{kind}"}
    if socket is not None:
        common["daemonSocket"] = str(socket)
    ipam = {"type": "host-local", "dataDir": str(base / "data"), "ranges": [[{"subnet": "10.89.0.0/22"}]]}
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": f"whb{kind}",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    plugins: list[dict[str, Any]] = [bridge, {"type": "portmap", "snat": True}, {"type": "bandwidth"}]
    return [(binaries / str(p["type"]), {**common, **p}) for p in (plugins if whole else plugins[:1])]


@contextlib.contextmanager
def daemon(base: Path) -> Iterator[tuple[Path, int]]:
    """The daemon in a process of its own, as on a node; yields its socket and process id."""
    fields = {"run_dir": "run", "conf_dir": "conf", "bin_dir": "bin", "data_dir": "data"}
    config = base / "cni.yaml"
    config.write_text(json.dumps({key: str(base / value) for key, value in fields.items()}))
    socket = base / "run" / "cni.sock"
    process = subprocess.Popen([sys.executable, "-m", "cni", "--config", str(config), "--log-level", "warning"])
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the daemon did not start")
            time.sleep(0.02)
        yield socket, process.pid
    finally:
        process.terminate()
        process.wait(20)


def compare(base: Path, rounds: int, parallel: int, present: int, whole: bool, echo: Echo) -> None:
    with daemon(base) as (socket, served_by):
        install.install_executables(base / "alone")
        setups: dict[str, tuple[str, Path, Path | None]] = {
            "wherry (daemon)": ("d", base / "bin", socket),
            "wherry (alone)": ("a", base / "alone", socket.with_name("nobody.sock")),
        }
        if DEBIAN.exists():
            setups["Go (Debian)"] = ("g", DEBIAN, None)
        ways: dict[str, Call] = {
            name: functools.partial(call, chain_of(kind, base, binaries, path, whole))
            for name, (kind, binaries, path) in setups.items()
        }
        echo(head("ms"))
        with pods(parallel) as every, pods(present, "o") as others:
            for argv in (["/bin/true"], ["/usr/bin/perl", "-e", "1"], ["/usr/bin/python3", "-ISE", "-c", "1"]):
                floor(argv, rounds, echo)
            # Of each way a share: they lie on one node, as pods of one network do.
            names = [name for name in ways if name != "wherry (alone)"]
            for number, pod in enumerate(others):
                ways[names[number % len(names)]]("ADD", f"there{number}", pod)
            one_by_one(ways, every, rounds, served_by, echo)
            ways.pop("wherry (alone)")
            in_parallel(ways, every, max(3, rounds // 6), echo)


def measure(rounds: int, parallel: int, present: int, whole: bool, echo: Echo) -> None:
    """Needs root; everything is in a namespace made for it. `present`: pods that are there meanwhile."""
    node = netns.create(f"whbench{os.getpid()}n")
    try:
        with tempfile.TemporaryDirectory(prefix="wherry-bench-") as base:
            netns.call(node, lambda: compare(Path(base), rounds, parallel, present, whole, echo))
    finally:
        netns.delete(node.name)
