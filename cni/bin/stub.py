#!/usr/bin/python3 -ISE
"""Hands a CNI request to the node's daemon; when none answers, becomes the full plugin (wherry-cni.paths says
where).

Interpreter start-up is most of a plugin's cost, so only modules built into the interpreter are imported.
To the daemon: "PLUGIN\\0KEY=VALUE\\0...\\0\\0" and standard input, then end of file. Back: exit status as one
byte, output.
"""

import _socket
import posix
import sys


def read_all(fd: int) -> bytes:
    parts = []
    while part := posix.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[posix.write(fd, data) :]


def socket_path(config: bytes) -> bytes | None:
    """The value of "daemonSocket", found without a JSON parser; None for anything unusual, such as
    escapes.
    """
    _, key, rest = config.partition(b'"daemonSocket"')
    before, _, rest = rest.partition(b'"')
    value, end, _ = rest.partition(b'"')
    usable = key and end and before.strip() == b":" and value.startswith(b"/") and b"\\" not in value
    return value if usable else None


def installed_socket(directory: str) -> bytes | None:
    """For configurations that cannot name a socket, such as containerd's own one for loopback."""
    try:
        paths = posix.open(directory + "/wherry-cni.paths", posix.O_RDONLY)
        return read_all(paths).split(b"\n")[2] or None
    except (OSError, IndexError):
        return None


def ask(path: bytes, plugin: str, config: bytes) -> bytes | None:
    """The daemon's answer; None when there is no daemon, b"" when it went away while working."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(60)
    try:
        connection.connect(path)
    except OSError:
        return None
    try:
        given = [k + b"=" + v for k, v in posix.environ.items() if k.startswith(b"CNI_")]
        connection.sendall(b"\0".join([plugin.encode(), *given]) + b"\0\0" + config)
        connection.shutdown(_socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""


def fail(code: int, message: str) -> None:
    write_all(1, b'{"cniVersion": "1.0.0", "code": %d, "msg": "%s"}' % (code, message.encode()))
    posix._exit(1)


def become_full(directory: str, plugin: str, config: bytes) -> None:
    try:
        paths = posix.open(directory + "/wherry-cni.paths", posix.O_RDONLY)
        interpreter, root = read_all(paths).decode().split("\n")[:2]
        held = posix.memfd_create("cni")
        write_all(held, config)
        posix.lseek(held, 0, 0)
        posix.dup2(held, 0)
        environment = {**posix.environ, b"PYTHONPATH": root.encode()}
        posix.execve(interpreter, [interpreter, "-m", "cni.main", plugin], environment)
    except (OSError, ValueError):
        fail(5, "no CNI daemon answers and " + directory + "/wherry-cni.paths does not lead to the plugin")


def main() -> None:
    directory, _, plugin = sys.argv[0].rpartition("/")
    config = read_all(0)
    directory = directory or "."
    path = socket_path(config) or installed_socket(directory)
    answer = ask(path, plugin, config) if path else None
    if answer:
        write_all(1, answer[1:])
        posix._exit(answer[0])
    if answer is not None and posix.environ.get(b"CNI_COMMAND") == b"ADD":
        # Part of the work may be done; the runtime answers a failed ADD with DEL, which clears it.
        fail(11, "the CNI daemon went away; try again later")
    become_full(directory, plugin, config)


main()
