"""Requests in, answers out: environment, versions, error codes."""

import json
from typing import Any

import pytest

from cni import skel, types
from cni.host import Host
from cni.skel import Plugin, Request
from cni.types import CniError, Result

HOST: Any = None
ENVIRONMENT = {
    "CNI_COMMAND": "DEL",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/proc/1/nowhere",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}


def plugin(seen: list[Request]) -> Plugin:
    def note(request: Request, host: Host) -> None:
        seen.append(request)

    def add(request: Request, host: Host) -> Result:
        seen.append(request)
        return {}

    return Plugin("fake", add, note, note, note, note)


def config(**more: Any) -> bytes:
    return json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "fake", **more}).encode()


def call(stdin: bytes, **environment: str) -> tuple[int, Any, list[Request]]:
    seen: list[Request] = []
    code, output = skel.answer(plugin(seen), {**ENVIRONMENT, **environment}, stdin, HOST)
    return code, json.loads(output) if output else None, seen


@pytest.mark.parametrize(
    ("environment", "stdin", "code", "words"),
    [
        ({"CNI_COMMAND": "FOO"}, config(), types.INVALID_ENVIRONMENT, "unknown CNI_COMMAND: FOO"),
        ({"CNI_CONTAINERID": ""}, config(), types.INVALID_ENVIRONMENT, "CNI_CONTAINERID"),
        (
            {"CNI_IFNAME": "", "CNI_PATH": ""},
            config(),
            types.INVALID_ENVIRONMENT,
            "[CNI_IFNAME,CNI_PATH] missing",
        ),
        ({"CNI_IFNAME": "a/b"}, config(), types.INVALID_ENVIRONMENT, "interface name"),
        ({"CNI_IFNAME": "sixteen-letters0"}, config(), types.INVALID_ENVIRONMENT, "interface name"),
        ({"CNI_CONTAINERID": "../x"}, config(), types.INVALID_ENVIRONMENT, "containerID"),
        ({"CNI_ARGS": "a;b=c"}, config(), types.INVALID_ENVIRONMENT, "CNI_ARGS"),
        ({}, b"{", types.DECODING_FAILURE, "cannot decode"),
        ({}, b"[]", types.DECODING_FAILURE, "not an object"),
        ({}, config(name=""), types.INVALID_CONFIG, "missing network name"),
        ({}, config(name="a b"), types.INVALID_CONFIG, "network name"),
        ({}, config(cniVersion="0.2.0"), types.INCOMPATIBLE_VERSION, "incompatible CNI versions"),
        ({}, config(cniVersion="9.0.0"), types.INCOMPATIBLE_VERSION, "incompatible CNI versions"),
        ({}, config(prevResult=[]), types.DECODING_FAILURE, "prevResult"),
        ({"CNI_COMMAND": "GC"}, config(), types.INCOMPATIBLE_VERSION, "does not allow GC"),
        ({"CNI_COMMAND": "STATUS"}, config(), types.INCOMPATIBLE_VERSION, "does not allow STATUS"),
        (
            {"CNI_COMMAND": "CHECK"},
            config(cniVersion="0.3.1"),
            types.INCOMPATIBLE_VERSION,
            "does not allow CHECK",
        ),
        ({"CNI_COMMAND": "CHECK"}, config(), types.INVALID_CONFIG, "prevResult"),
        ({"CNI_COMMAND": "ADD"}, config(), types.UNKNOWN_CONTAINER, "no network namespace"),
        (
            {"CNI_COMMAND": "ADD", "CNI_NETNS": "/proc/self/ns/net"},
            config(),
            types.INVALID_NETNS,
            "own network",
        ),
    ],
)
def test_bad_requests_get_the_specifications_code(
    environment: dict[str, str], stdin: bytes, code: int, words: str
) -> None:
    status, answer, seen = call(stdin, **environment)
    assert status == 1 and not seen
    assert answer["code"] == code
    assert words in answer["msg"] + answer.get("details", "")
    assert answer["cniVersion"] in types.SUPPORTED


def test_del_needs_no_namespace() -> None:
    status, answer, seen = call(config(), CNI_NETNS="")
    assert (status, answer, seen[0].netns) == (0, None, "")


def test_version_needs_nothing_and_echoes_the_asked_one() -> None:
    code, output = skel.answer(plugin([]), {"CNI_COMMAND": "VERSION"}, b'{"cniVersion":"0.4.0"}', HOST)
    assert code == 0
    assert json.loads(output) == {"cniVersion": "0.4.0", "supportedVersions": list(types.SUPPORTED)}
    assert skel.answer(plugin([]), {"CNI_COMMAND": "VERSION"}, b"", HOST)[0] == 0


def test_the_request_carries_what_was_given() -> None:
    previous = {"ips": [{"version": "4", "address": "10.0.0.2/24"}]}
    _, _, seen = call(config(cniVersion="0.4.0", prevResult=previous), CNI_ARGS="IgnoreUnknown=1;A=b=c")
    assert seen[0].arguments == {"IgnoreUnknown": "1", "A": "b=c"}
    assert seen[0].path == ("/opt/cni/bin", "/usr/lib/cni")
    assert seen[0].previous is not None and seen[0].previous["ips"] == [{"address": "10.0.0.2/24"}]


def test_an_unforeseen_failure_is_still_an_answer() -> None:
    def broken(request: Request, host: Host) -> None:
        raise ZeroDivisionError("by zero")

    bad = Plugin("bad", lambda r, h: {}, broken, broken, broken, broken)
    code, output = skel.answer(bad, ENVIRONMENT, config(), HOST)
    assert code == 1 and json.loads(output)["code"] == types.INTERNAL


RESULT: Result = {
    "interfaces": [{"name": "eth0", "mac": "0a:00:00:00:00:01", "mtu": 1500, "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0}, {"address": "fd00::2/64"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1400}],
    "dns": {},
}


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_old_results_name_the_ip_version_and_lack_newer_keys(version: str) -> None:
    written = types.to_version(RESULT, version)
    assert [ip["version"] for ip in written["ips"]] == ["4", "6"]
    assert "mtu" not in written["interfaces"][0] and "mtu" not in written["routes"][0]
    assert types.from_version(written)["ips"] == RESULT["ips"]


def test_the_newest_result_keeps_everything() -> None:
    assert types.to_version(RESULT, "1.1.0") == {"cniVersion": "1.1.0", **RESULT}
    assert "version" not in types.to_version(RESULT, "1.0.0")["ips"][0]


def test_of_what_a_plugin_before_ours_told_nothing_is_dropped() -> None:
    """The result of a chained plugin is the one before it: socketPath and pciID are the specification's since 1.1."""
    told = {"name": "vf0", "sandbox": "/run/netns/x", "socketPath": "/run/vhost", "pciID": "0000:00:01.0", "more": "x"}
    previous = {"cniVersion": "1.1.0", "interfaces": [told], "ips": [], "routes": [], "dns": {}}
    assert types.to_version(types.from_version(previous), "1.1.0")["interfaces"] == [told]


def test_gc_needs_well_formed_attachments() -> None:
    request = Request("GC", config={"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]})
    assert request.valid_attachments() == {("a", "eth0")}
    malformed: list[dict[str, Any]] = [{}, {"cni.dev/valid-attachments": [{}]}, {"cni.dev/valid-attachments": ["a"]}]
    for wrong in malformed:
        with pytest.raises(CniError):
            Request("GC", config=wrong).valid_attachments()
