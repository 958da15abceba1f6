"""What every plugin refuses, with the specification's code; and that Debian's plugins, whose codes say less, agree."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.netlink import Netlink
from cni import plugins, skel, types
from cni.host import Host
from tests.cni import kernel

DEBIAN = Path("/usr/lib/cni")
NETNS = "/proc/self/ns/whtnone"
ALL = ("bridge", "host-local", "portmap", "bandwidth", "loopback")
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "lo"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.88.9.2/24"}],
}
# Command, environment, configuration, code; None takes a key away.
Row = tuple[str, dict[str, str | None], dict[str, Any] | bytes, int]


def three(environment: dict[str, str | None], config: dict[str, Any] | bytes, code: int) -> tuple[Row, ...]:
    """The same for each command that every version of the specification, or all but the first, has."""
    return tuple((command, environment, config, code) for command in ("ADD", "DEL", "CHECK"))


EVERYWHERE: tuple[Row, ...] = (
    ("NOPE", {}, {}, 4),
    ("", {}, {}, 4),
    *three({"CNI_CONTAINERID": None}, {}, 4),
    *three({"CNI_IFNAME": None}, {}, 4),
    *three({"CNI_CONTAINERID": "a/b"}, {}, 4),
    *three({"CNI_IFNAME": "a/b"}, {}, 4),
    *three({"CNI_IFNAME": "a" * 16}, {}, 4),
    *three({"CNI_IFNAME": ".."}, {}, 4),
    ("ADD", {"CNI_NETNS": None}, {}, 4),
    ("CHECK", {"CNI_NETNS": None}, {}, 4),
    ("ADD", {"CNI_PATH": None}, {}, 4),
    ("ADD", {"CNI_ARGS": "nonsense"}, {}, 4),
    *three({}, b"{nope", 6),
    *three({}, b"[]", 6),
    *three({}, {"name": None}, 7),
    *three({}, {"name": "a b"}, 7),
    *three({}, {"cniVersion": "9.9.9"}, 1),
    ("CHECK", {}, {"cniVersion": "0.3.1"}, 1),
    ("GC", {}, {"cniVersion": "1.0.0"}, 1),
    ("STATUS", {}, {"cniVersion": "1.0.0"}, 1),
    ("ADD", {}, {"prevResult": 7}, 6),
    ("CHECK", {}, {"prevResult": None}, 7),
)
# Of attachments that are still there; loopback has nothing to collect.
_NO_LIST: Row = ("GC", {}, {"cniVersion": "1.1.0"}, 7)
OWN: dict[str, tuple[Row, ...]] = {
    "bridge": (
        ("ADD", {"CNI_ARGS": "MACK=02:00:00:00:00:01"}, {}, 4),
        ("STATUS", {}, {"cniVersion": "1.1.0", "mtu": "x"}, 6),
        ("STATUS", {}, {"cniVersion": "1.1.0", "bridge": 7}, 6),
        ("STATUS", {}, {"cniVersion": "1.1.0", "hairpinMode": "yes"}, 6),
        ("STATUS", {}, {"cniVersion": "1.1.0", "hairpinMode": True, "promiscMode": True}, 7),
        ("STATUS", {}, {"cniVersion": "1.1.0", "vlan": 5000}, 7),
        ("STATUS", {}, {"cniVersion": "1.1.0", "ipam": {"type": "host-local"}}, 7),
        _NO_LIST,
    ),
    "host-local": (
        ("ADD", {"CNI_ARGS": "FOO=bar"}, {}, 4),
        _NO_LIST,
        *(
            ("STATUS", {}, {"cniVersion": "1.1.0", "ipam": {"type": "host-local", **ipam}}, 7)
            for ipam in (
                {},
                {"subnet": "x"},
                {"subnet": "10.88.9.0/31"},
                {"subnet": "10.88.9.7/24"},
                {"subnet": "10.88.9.0/24", "rangeStart": "10.1.1.1"},
                {"subnet": "10.88.9.0/24", "rangeStart": "10.88.9.9", "rangeEnd": "10.88.9.2"},
                {"ranges": [[{"subnet": "10.88.9.0/24"}], [{"subnet": "10.88.9.0/25"}]]},
            )
        ),
    ),
    "portmap": (
        ("STATUS", {}, {"cniVersion": "1.1.0", "backend": "nftables", "masqAll": True}, 2),
        ("STATUS", {}, {"cniVersion": "1.1.0", "backend": "ipfw"}, 7),
        _NO_LIST,
    ),
    "bandwidth": (("STATUS", {}, {"cniVersion": "1.1.0", "ingressRate": 1}, 7), _NO_LIST),
    "loopback": (),
}
ROWS = [(name, row) for name in ALL for row in (*EVERYWHERE, *OWN[name])]


def given(name: str, row: Row, data: str) -> tuple[dict[str, str], bytes]:
    command, environment, config, _ = row
    values = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(DEBIAN),
        "PATH": "/usr/sbin:/usr/bin",
        **environment,
    }
    kept = {key: value for key, value in values.items() if value is not None}
    if isinstance(config, bytes):
        return kept, config
    ipam = {"type": "host-local", "subnet": "10.88.9.0/24", "dataDir": data}
    whole = {"cniVersion": "1.0.0", "name": "n", "type": name, "prevResult": RESULT, "ipam": ipam, **config}
    return kept, json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Netlink() as opened:
        yield Host(opened, lambda: None)


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_what_is_wrong_has_the_specifications_code(name: str, row: Row, host: Host, tmp_path: Path) -> None:
    plugin = plugins.by_name(name)
    assert plugin is not None
    environment, stdin = given(name, row, str(tmp_path))
    status, output = skel.answer(plugin, environment, stdin, host)
    said = json.loads(output)
    assert (status, said["code"]) == (1, row[3]), said
    assert said["msg"] and said["cniVersion"] in types.SUPPORTED


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("stdin", [b"", b'{"cniVersion": "0.4.0"}', b"{nope"])
def test_versions_are_told_without_any_environment(name: str, stdin: bytes, host: Host) -> None:
    plugin = plugins.by_name(name)
    assert plugin is not None
    status, output = skel.answer(plugin, {"CNI_COMMAND": "VERSION"}, stdin, host)
    said = json.loads(output)
    assert status == 0 and {"0.3.1", "0.4.0", "1.0.0", "1.1.0"} <= set(said["supportedVersions"])


# What Debian's let pass: all tell about themselves where no command is given; portmap and bandwidth never look at
# CNI_ARGS, host-local not at what came before.
LENIENT = {
    *((name, "") for name in ALL),
    *((name, "ADD", "CNI_ARGS") for name in ("portmap", "bandwidth")),
    *(("host-local", command, "prevResult") for command in ("ADD", "CHECK")),
}


# Every other refusal of Debian's is 999, which says nothing.
OF_THE_SPECIFICATION = range(1, 12)


@pytest.mark.kernel
@pytest.mark.skipif(not (DEBIAN / "bridge").exists(), reason="containernetworking-plugins is not installed")
def test_debians_plugins_refuse_the_same(tmp_path: Path) -> None:
    """And with the same code, where theirs is one of the specification's."""
    differ, codes = [], []
    with kernel.namespaces(1, "n") as (node,):
        for name, row in ROWS:
            if row[0] in ("GC", "STATUS"):
                continue
            environment, stdin = given(name, row, str(tmp_path))
            argv = ["nsenter", f"--net={node}", str(DEBIAN / name)]
            done = subprocess.run(argv, input=stdin, env=environment, capture_output=True, timeout=60, check=False)
            code = json.loads(done.stdout)["code"] if done.returncode else 0
            if code in OF_THE_SPECIFICATION and code != row[3]:
                codes.append((name, row, code))
            if done.returncode == 0:
                differ.append((name, row[0], *row[1], *(row[2] if isinstance(row[2], dict) else ())))
    assert set(differ) == LENIENT
    assert codes == []
