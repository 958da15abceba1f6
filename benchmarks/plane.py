"""An API server of ours alone in a network namespace, for benchmarks and tests of what talks to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from apimachinery import kubeconfig, pki
from apimachinery.kit import netns
from benchmarks.figures import processor_seconds

ROOT = Path(__file__).parents[1]
PORT = 6443


class Running(Protocol):
    """A process, as `subprocess.Popen` tells of one."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


Starter = Callable[[Sequence[str], Path, Path], Running]
"""Has a command line run that appends to a log, in a network namespace."""


def executed(argv: Sequence[str], log: Path, where: Path) -> Running:
    """A program of its own, in a session of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["nsenter", f"--net={where}", *argv], cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )


class Daemons:
    """Processes of ours started in one namespace from one directory; all end with it. `starter`: how modules are."""

    def __init__(self, where: Path, folder: Path, starter: Starter = executed) -> None:
        self.where = where
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._starter = starter
        self._processes: dict[str, Running] = {}

    def start(self, name: str, module: str, settings: dict[str, Any]) -> int:
        """Run `python -m module --config FILE`; returns the process id."""
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings))
        return self._begin(name, [sys.executable, "-m", module, "--config", str(config)], self._starter)

    def execute(self, name: str, argv: Sequence[str]) -> int:
        """Run any program likewise; returns the process id."""
        return self._begin(name, argv, executed)

    def _begin(self, name: str, argv: Sequence[str], starter: Starter) -> int:
        self._processes[name] = process = starter(argv, self.folder / f"{name}.log", self.where)
        return process.pid

    def end(self, name: str, number: int = signal.SIGTERM, timeout: float = 15.0) -> int:
        """Send a signal, wait for the end; returns the exit status."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(timeout)

    def running(self, name: str) -> bool:
        """Whether the process still lives."""
        return self._processes[name].poll() is None

    def check(self) -> None:
        """RuntimeError, with the end of its log, where a process has ended that was not told to."""
        for name in self._processes:
            self._alive(name)

    def _alive(self, name: str) -> None:
        if not self.running(name):
            raise RuntimeError(f"{name} has ended:\n{self.log(name)[-3000:]}")

    def resident_mb(self, name: str) -> float:
        """Resident memory in megabytes. RuntimeError where it has ended."""
        self._alive(name)
        status = Path(f"/proc/{self._processes[name].pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def processor_seconds(self, name: str) -> float:
        """Processor time that the process has had."""
        return processor_seconds(self._processes[name].pid)

    def log(self, name: str) -> str:
        """What the process printed."""
        return (self.folder / f"{name}.log").read_text()

    def end_all(self) -> None:
        """End what still runs."""
        for name in reversed(list(self._processes)):
            self.end(name, signal.SIGTERM)

    def start_api(self) -> None:
        """The API server on 127.0.0.1 of the namespace, and a kubeconfig of an administrator."""
        ca = pki.new_ca("bench")
        serving = pki.issue(ca, "kube-apiserver", dns=("localhost",), ips=("127.0.0.1",), server=True)
        admin = pki.issue(ca, "admin", organizations=("system:masters",), client=True)
        files = {"ca.crt": ca.cert_pem, "api.crt": serving.cert_pem, "api.key": serving.key_pem}
        for name, data in {**files, "sa.key": pki.service_account_key()}.items():
            (self.folder / name).write_bytes(data)
        server = f"https://127.0.0.1:{PORT}"
        cluster = kubeconfig.Cluster(server, ca.cert_pem, admin.cert_pem, admin.key_pem)
        kubeconfig.write(self.kubeconfig, cluster, "bench")
        settings = {
            "data_dir": str(self.folder / "data"),
            "bind_host": "127.0.0.1",
            "port": PORT,
            "service_cidr": "10.96.0.0/16",
            "tls_cert_file": str(self.folder / "api.crt"),
            "tls_key_file": str(self.folder / "api.key"),
            "client_ca_file": str(self.folder / "ca.crt"),
            "service_account_key_file": str(self.folder / "sa.key"),
        }
        (self.folder / "data").mkdir()
        self.start("api", "controlplane.apiserver", settings)

    async def until_serving(self, timeout: float = 120.0) -> None:
        """Wait until the API server takes connections."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                with netns.open_socket(self.where, 2, 1) as probe:
                    probe.settimeout(1)
                    probe.connect(("127.0.0.1", PORT))
                return
            except OSError:
                if time.monotonic() > deadline or not self.running("api"):
                    raise RuntimeError(f"the API server does not serve:\n{self.log('api')[-3000:]}") from None
                await asyncio.sleep(0.05)


@contextlib.contextmanager
def daemons(where: Path, starter: Starter = executed) -> Iterator[Daemons]:
    """A fresh directory and its processes; both gone at the end."""
    with tempfile.TemporaryDirectory(prefix="wht-plane-") as folder:
        made = Daemons(where, Path(folder), starter)
        try:
            yield made
        finally:
            made.end_all()
