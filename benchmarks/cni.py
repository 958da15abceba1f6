"""CNI ADD and DEL: ours (daemon, and alone) beside Debian's Go bridge + host-local, in turns in one run.

A call is: start the executable, configuration on standard input, read the answer, wait for its end. The floors are the
starts of programs that do nothing. CPU is that of the executables, all they started, and the daemon, until the
interface is freed; unlike the times it hardly depends on what else the machine does.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from benchmarks.figures import head, row
from cni import install

DEBIAN = Path("/usr/lib/cni")
Call = Callable[[str, str, Path], float]
Echo = Callable[[str], None]


def call(binary: Path, config: bytes, command: str, container: str, pod: Path) -> float:
    """Milliseconds of one call; a failure ends the benchmark."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": str(pod),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(binary.parent),
        "PATH": "/usr/bin:/bin",
    }
    began = time.perf_counter()
    done = subprocess.run([str(binary)], input=config, env=environment, capture_output=True, timeout=60, check=False)
    took = (time.perf_counter() - began) * 1e3
    if done.returncode:
        raise SystemExit(f"{binary} {command}: {done.stdout.decode()} {done.stderr.decode()}")
    return took


@contextlib.contextmanager
def pods(count: int) -> Iterator[list[Path]]:
    made: list[Path] = []
    try:
        for number in range(count):
            made.append(netns.create(f"whbench{os.getpid()}p{number}"))
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
    # The clock of another process's CPU time: clock_getcpuclockid(3).
    return (ended.ru_utime + ended.ru_stime + time.clock_gettime(~served_by << 3 | 2)) * 1e3


def floor(argv: Sequence[str], rounds: int, echo: Echo) -> None:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, input=b"", capture_output=True, timeout=60, check=True)
        taken.append((time.perf_counter() - began) * 1e3)
    echo(row(f"floor: {' '.join(argv)}", taken))


def config_of(kind: str, base: Path, socket: Path | None) -> bytes:
    given: dict[str, Any] = {
        "cniVersion": "1.0.0",
        "name": f"bench-{kind}",
        "type": "bridge",
        "bridge": f"whb{kind}",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": str(base / "data"), "ranges": [[{"subnet": "10.89.0.0/24"}]]},
    }
    if socket is not None:
        given["daemonSocket"] = str(socket)
    return json.dumps(given).encode()


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


def compare(base: Path, rounds: int, parallel: int, echo: Echo) -> None:
    with daemon(base) as (socket, served_by):
        ours, theirs = base / "bin" / "bridge", DEBIAN / "bridge"
        install.install_executables(base / "alone")
        setups = {
            "wherry (daemon)": (ours, config_of("d", base, socket)),
            "wherry (alone)": (base / "alone" / "bridge", config_of("a", base, None)),
        }
        if theirs.exists():
            setups["Go (Debian)"] = (theirs, config_of("g", base, None))
        ways: dict[str, Call] = {
            name: functools.partial(call, binary, config) for name, (binary, config) in setups.items()
        }
        echo(head("ms"))
        with pods(parallel) as every:
            for argv in (["/bin/true"], ["/usr/bin/perl", "-e", "1"], ["/usr/bin/python3", "-ISE", "-c", "1"]):
                floor(argv, rounds, echo)
            one_by_one(ways, every, rounds, served_by, echo)
            ways.pop("wherry (alone)")
            in_parallel(ways, every, max(3, rounds // 6), echo)


def measure(rounds: int, parallel: int, echo: Echo) -> None:
    """Needs root; everything is in a namespace made for it."""
    node = netns.create(f"whbench{os.getpid()}n")
    try:
        with tempfile.TemporaryDirectory(prefix="wherry-bench-") as base:
            netns.call(node, lambda: compare(Path(base), rounds, parallel, echo))
    finally:
        netns.delete(node.name)
