"""The executable by itself, against daemons that answer, stall and die, and a full plugin that reports."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cni import install

STUB = Path(install.__file__).parent / "bin" / "stub.pl"
# What becomes of a stub without a daemon; here it only reports.
FULL = f"""#!{sys.executable}
import hashlib, json, os, sys
given = sys.stdin.buffer.read()
print(json.dumps([sys.argv[1:], os.environ["PYTHONPATH"], len(given), hashlib.sha256(given).hexdigest()]))
sys.exit(7)
"""
AWAY = {"cniVersion": "1.0.0", "code": 11, "msg": "the CNI daemon went away; try again later"}
BYTES = bytes(range(256)) * 1200  # more than a pipe or a socket holds


@dataclass
class Place:
    """A directory of executables, as `install` leaves one."""

    base: Path

    @property
    def socket(self) -> Path:
        return self.base / "s"

    @property
    def bridge(self) -> Path:
        return self.base / "bridge"

    def config(self, path: str = "", rest: bytes = b"") -> bytes:
        return b'{"name": "n", "daemonSocket" : "%s"}' % (path or str(self.socket)).encode() + rest

    def start(self, command: str, **environment: str) -> "subprocess.Popen[bytes]":
        given = {"CNI_COMMAND": command, "CNI_IFNAME": "eth0", "OTHER": "x", **environment}
        pipe = subprocess.PIPE
        return subprocess.Popen([self.bridge], env=given, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe)

    def call(self, config: bytes, command: str = "ADD", **environment: str) -> tuple[int, bytes]:
        with self.start(command, **environment) as process:
            output, errors = process.communicate(config, 30)
        assert errors == b""
        return process.returncode, output

    def installed(self, interpreter: str = "", path: str = "") -> None:
        lines = [interpreter or str(self.base / "full"), "/the/project", path]
        (self.base / install.PATHS).write_text("\n".join(lines) + "\n")


def full(given: bytes) -> tuple[int, Any]:
    """What the full plugin says when it was given this configuration."""
    return 7, [["-m", "cni.main", "bridge"], "/the/project", len(given), hashlib.sha256(given).hexdigest()]


def decoded(answer: tuple[int, bytes]) -> tuple[int, Any]:
    return answer[0], json.loads(answer[1])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    shutil.copy(STUB, found.bridge)
    found.bridge.chmod(0o755)
    (tmp_path / "full").write_text(FULL)
    (tmp_path / "full").chmod(0o755)
    found.installed()
    return found


def hurry(place: Place, seconds: int = 1) -> None:
    """The same program with another deadline."""
    text = STUB.read_text()
    assert text.count("$SECONDS = 60;") == 1
    place.bridge.write_text(text.replace("$SECONDS = 60;", f"$SECONDS = {seconds};"))


Serve = Callable[[socket.socket, threading.Event], object]


@contextlib.contextmanager
def daemon(path: Path, serve: Serve) -> Iterator[list[object]]:
    """One connection is accepted and handed to `serve` in a thread, with an event that tells the end of the `with`.

    Yields a list that then holds what `serve` returned.
    """
    over = threading.Event()
    returned: list[object] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(60)

        def accept() -> None:
            with contextlib.suppress(TimeoutError), listener.accept()[0] as connection:
                returned.append(serve(connection, over))

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield returned
        finally:
            over.set()
            thread.join(60)
            assert not thread.is_alive()


def everything(connection: socket.socket, piece: int = 65536) -> bytes:
    parts = []
    while part := connection.recv(piece):
        parts.append(part)
    return b"".join(parts)


def answering(answer: bytes, seen: list[bytes]) -> Serve:
    def serve(connection: socket.socket, _: threading.Event) -> None:
        seen.append(everything(connection))
        connection.sendall(answer)

    return serve


def silent(connection: socket.socket, over: threading.Event) -> bool:
    """True: the asker gave up first."""
    everything(connection)
    return over.wait(60)


def test_perl_finds_nothing_to_complain_of() -> None:
    argv = ["/usr/bin/perl", "-Mstrict", "-Mwarnings=FATAL,all", "-c", str(STUB)]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, f"{STUB} syntax OK\n")


def test_no_module_is_loaded() -> None:
    """Each would cost as much as Perl itself."""
    report = 'END { print STDERR join(" ", sort keys %INC) }'
    argv = ["/usr/bin/perl", "-e", f"{report} do $ARGV[0]", str(STUB)]
    done = subprocess.run(argv, input=b"{}", capture_output=True, timeout=60, check=False)
    assert done.stderr.decode() == str(STUB)


def test_a_request_and_its_answer_pass_byte_for_byte(place: Place) -> None:
    seen: list[bytes] = []
    config = place.config(rest=BYTES)
    for setting in ("", "SDA"):
        with daemon(place.socket, answering(b"\x83" + BYTES[1:256] + b"\0", seen)):
            assert place.call(config, "DEL", CNI_ARGS="A=é\nB", PERL_UNICODE=setting) == (0x83, BYTES[1:256])
        place.socket.unlink()
        head, _, rest = seen.pop().partition(b"\0\0")
        plugin, *environment = head.split(b"\0")
        assert plugin == b"bridge" and rest == config
        assert sorted(environment) == [b"CNI_ARGS=A=\xc3\xa9\nB", b"CNI_COMMAND=DEL", b"CNI_IFNAME=eth0"]


def test_an_answer_without_output(place: Place) -> None:
    with daemon(place.socket, answering(b"\0\0", [])):
        assert place.call(place.config(), "DEL") == (0, b"")


def test_slow_readers_get_everything(place: Place) -> None:
    """Requests, answers and outputs larger than any buffer go through in parts."""
    config, output = place.config(rest=BYTES * 4), BYTES.replace(b"\0", b"") * 4
    got: list[bytes] = []

    def serve(connection: socket.socket, _: threading.Event) -> None:
        time.sleep(0.05)
        got.append(everything(connection, 5000))
        answer = b"\0" + output + b"\0"
        for start in range(0, len(answer), 100_000):
            connection.sendall(answer[start : start + 100_000])

    with daemon(place.socket, serve), place.start("ADD") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(config)
        process.stdin.close()
        time.sleep(0.2)
        assert process.stdout.read() == output
        assert process.wait(60) == 0
    assert got[0].endswith(b"\0\0" + config)


@pytest.mark.parametrize("size", [0, 300_000, 5_000_000])
def test_without_a_daemon_it_becomes_the_full_plugin(place: Place, size: int) -> None:
    config = place.config(rest=b" " * size)
    assert decoded(place.call(config)) == full(config)
    # Nobody listens on a socket that a killed daemon left.
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    assert decoded(place.call(config, "DEL")) == full(config)


def test_a_full_plugin_that_reads_nothing_leaves_nothing_behind(place: Place) -> None:
    (place.base / "full").write_text("#!/bin/sh\necho $$\n")
    status, output = place.call(place.config(rest=BYTES * 10))
    assert status == 0
    deadline = time.monotonic() + 60
    while int(output) in (session_of(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        assert time.monotonic() < deadline, "the process that fed the plugin stays"
        time.sleep(0.01)


def session_of(process: Path) -> int:
    """0 for one that ended."""
    try:
        words = (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(words[3]) if words[0] != "Z" else 0


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"no JSON",
        b'{"name": "daemonSocket"}',
        b'{"daemonSocket": null}',
        b'{"daemonSocket": ""}',
        b'{"daemonSocket": "relative"}',
        b'{"daemonSocket": "/with\\/escape"}',
        b'{"daemonSocket": "/with\\"quote"}',
        b'{"daemonSocket": "/unended',
        b'{"args": "{\\"daemonSocket\\": \\"/quoted\\"}"}',
    ],
)
def test_what_names_no_socket_goes_to_the_installed_one(place: Place, config: bytes) -> None:
    seen: list[bytes] = []
    place.installed(path=str(place.socket))
    with daemon(place.socket, answering(b"\0yes\0", seen)):
        assert place.call(config) == (0, b"yes")
    assert seen[0].endswith(b"\0\0" + config)
    place.socket.unlink()
    place.installed()
    assert decoded(place.call(config)) == full(config)


def test_a_path_that_no_socket_can_have(place: Place) -> None:
    config = place.config("/" + "x" * 200)
    assert decoded(place.call(config)) == full(config)


def test_the_configurations_socket_comes_first(place: Place) -> None:
    place.installed(path=str(place.base / "other"))
    with daemon(place.socket, answering(b"\0yes\0", [])):
        assert place.call(b'{"a": "daemonSocket", "daemonSocket":\n"%s"}' % bytes(place.socket)) == (0, b"yes")


@pytest.mark.parametrize("paths", [None, "", "/nonexistent\n", "/nonexistent\n/the/project\n\n"])
def test_neither_daemon_nor_plugin(tmp_path: Path, paths: str | None) -> None:
    base = tmp_path / 'a "b\\c'
    base.mkdir()
    place = Place(base)
    shutil.copy(STUB, place.bridge)
    place.bridge.chmod(0o755)
    if paths is not None:
        (base / install.PATHS).write_text(paths)
    status, said = decoded(place.call(b"{}" + BYTES))
    text = f"no CNI daemon answers and {base}/wherry-cni.paths does not lead to the plugin"
    assert (status, said) == (1, {"cniVersion": "1.0.0", "code": 5, "msg": text})


@pytest.mark.parametrize("answer", [b"", b"\0", b'\0{"cniVersion": "1.0.0", "interf'])
def test_a_daemon_that_dies_at_work(place: Place, answer: bytes) -> None:
    with daemon(place.socket, answering(answer, [])):
        assert decoded(place.call(place.config())) == (1, AWAY)
    place.socket.unlink()
    with daemon(place.socket, answering(answer, [])):
        assert decoded(place.call(place.config(), "DEL")) == full(place.config())


def test_a_daemon_that_takes_no_request(place: Place) -> None:
    """It closes at once: the request cannot be written, which must not kill the executable."""
    with daemon(place.socket, lambda connection, over: None):
        assert decoded(place.call(place.config(rest=BYTES * 10))) == (1, AWAY)


def test_a_daemon_that_never_answers(place: Place) -> None:
    hurry(place)
    with daemon(place.socket, silent) as patient:
        assert decoded(place.call(place.config())) == (1, AWAY)
    place.socket.unlink()
    with daemon(place.socket, silent) as patient_too:
        assert decoded(place.call(place.config(), "DEL")) == full(place.config())
    assert patient == patient_too == [True]


def test_a_daemon_that_never_reads(place: Place) -> None:
    hurry(place)
    with daemon(place.socket, lambda connection, over: over.wait(60)) as patient:
        assert decoded(place.call(place.config(rest=BYTES * 10))) == (1, AWAY)
    assert patient == [True]


def test_a_full_queue_is_waited_for_and_not_for_ever(place: Place) -> None:
    hurry(place)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(place.socket))
        listener.listen(0)
        first.connect(str(place.socket))
        assert decoded(place.call(place.config())) == full(place.config())
        hurry(place, 30)
        with place.start("ADD") as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(place.config())
            process.stdin.close()
            time.sleep(0.3)
            assert process.poll() is None
            listener.accept()[0].close()
            with listener.accept()[0] as connection:
                everything(connection)
                connection.sendall(b"\0yes\0")
            assert process.stdout.read() == b"yes"


@pytest.mark.parametrize("waiting_for", ["the answer", "room for the request"])
def test_being_stopped_and_continued_is_no_error(place: Place, waiting_for: str) -> None:
    """Linux interrupts a bounded wait for that, even when no handler runs; what was written until then counts."""
    accepted, config = threading.Event(), place.config(rest=BYTES * 4)
    seen: list[bytes] = []

    def serve(connection: socket.socket, over: threading.Event) -> None:
        if waiting_for == "the answer":
            seen.append(everything(connection))
        accepted.set()
        over.wait(60)
        seen.append(everything(connection))
        connection.sendall(b"\0yes\0")

    with place.start("ADD") as process:
        assert process.stdin is not None and process.stdout is not None
        with daemon(place.socket, serve):
            process.stdin.write(config)
            process.stdin.close()
            assert accepted.wait(60)
            time.sleep(0.1)
            for sign in (signal.SIGSTOP, signal.SIGCONT):
                os.kill(process.pid, sign)
                time.sleep(0.05)
        assert process.stdout.read() == b"yes"
    assert b"".join(seen).endswith(b"\0\0" + config)


def test_installing_needs_perl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "PERL", tmp_path / "perl")
    with pytest.raises(FileNotFoundError, match="apt-get install perl-base"):
        install.install_executables(tmp_path / "bin")
    assert not (tmp_path / "bin").exists()
