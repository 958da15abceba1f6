"""While a large request is worked on, others are answered; small requests stay small."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from apimachinery import errors, jsontext, manifests
from apimachinery.patch import json_patch
from benchmarks import api
from controlplane.apiserver import offloop
from controlplane.apiserver.http.exchange import told_warnings
from tests.robustness.attacks import KNOWN, Attack, server, strike
from tests.waiting import WHOLE

PORT = 18743


@pytest.mark.kernel
@pytest.mark.parametrize("attacks", KNOWN)
def test_a_second_client_is_answered_during_every_attack(attacks: Callable[[], list[Attack]]) -> None:
    async def main() -> None:
        async with server(PORT) as (target, _pid):
            for attack in attacks():
                status, size, seen = await strike(target, attack)
                assert status == attack.expect, attack.name
                assert status == 200 or status == 201 or size < 300_000, (
                    f"{attack.name}: a refusal larger than it need be"
                )
                assert seen.answers, attack.name

    asyncio.run(main())


@pytest.mark.kernel
def test_idle_connections_beyond_the_file_limit_do_not_stop_the_server(tmp_path: Path) -> None:
    """1,100 of them where a process may open 1,024 files until it asks for more."""

    async def main() -> None:
        config = api.settings(tmp_path, PORT + 1)
        run = f"ulimit -Sn 1024; exec {sys.executable} -m controlplane.apiserver --config {config}"
        server = await asyncio.create_subprocess_exec("bash", "-c", run, stderr=asyncio.subprocess.DEVNULL)
        idle: list[socket.socket] = []
        try:
            target = api.Target(PORT + 1, api.client_context(tmp_path))
            await api.answers(target)
            for _ in range(1100):
                link = socket.socket()
                link.setblocking(False)
                link.connect_ex(("127.0.0.1", target.port))
                idle.append(link)
                await asyncio.sleep(0)
            other = await api.Connection.open(target)
            status, _ = await other.call(api.request("GET", "/api/v1/namespaces/default"))
            assert status == 200
            other.close()
        finally:
            for link in idle:
                link.close()
            server.terminate()
            await server.wait()

    asyncio.run(asyncio.wait_for(main(), 100))


def test_copies_of_a_json_patch_are_bounded_in_sum() -> None:
    """2 KB that would make 10 GB."""
    doubling = [{"op": "copy", "from": "/x", "path": "/x/-"}] * 40
    with pytest.raises(errors.Invalid) as refused:
        json_patch({"x": [1]}, doubling)
    assert refused.value.status_code == 422
    assert len(orjson.dumps(json_patch({"x": [1]}, doubling[:10]))) < 10_000


def test_moved_items_of_a_json_patch_are_bounded_in_sum() -> None:
    shifts = [{"op": "add", "path": "/x/0", "value": 0}] * 9999
    with pytest.raises(errors.Invalid):
        json_patch({"x": [0] * 100_000}, shifts)
    assert len(json_patch({"x": []}, shifts)["x"]) == 9999


def test_a_json_patch_cannot_nest_deeper_than_can_be_written() -> None:
    deeper = [{"op": "add", "path": "/a" * level, "value": {}} for level in range(1, 400)]
    with pytest.raises(errors.Invalid):
        json_patch({}, deeper)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 2000 + b"]" * 2000, b'{"a":' * 300 + b"1" + b"}" * 300])
def test_json_is_bounded_in_depth(body: bytes) -> None:
    with pytest.raises(jsontext.JsonError, match="exceeded max depth"):
        jsontext.loads(body)


def test_yaml_is_bounded_in_depth_and_in_what_aliases_multiply() -> None:
    with pytest.raises(manifests.ManifestError, match="max depth|maximum nesting depth"):
        manifests.load_told("[" * 5000)
    with pytest.raises(manifests.ManifestError, match="max depth"):
        manifests.load_told("{a: " * 250 + "1" + "}" * 250)
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    laughs += "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9))
    with pytest.raises(manifests.ManifestError, match="excessive aliasing"):
        manifests.load_told(laughs)
    assert manifests.load_value("a: &a {b: [1]}\nc: [*a, *a]") == {"a": {"b": [1]}, "c": [{"b": [1]}, {"b": [1]}]}


def test_what_an_alias_repeats_is_shared_with_nobody() -> None:
    value = manifests.load_value("a: &a {b: 1}\nc: *a")
    value["a"]["b"] = 2
    assert value["c"] == {"b": 1}


@pytest.mark.parametrize("text", ["1" * 5000, "1:" * 3000 + "1", "!!int '" + "1" * 5000 + "'", "0x" + "f" * 5000])
def test_no_number_of_yaml_takes_long(text: str) -> None:
    try:
        assert manifests.load_value(f"a: {text}") == {"a": text}
    except manifests.ManifestError as error:
        assert "cannot decode" in str(error)


def test_a_refusal_is_not_many_times_its_request() -> None:
    problems = [errors.invalid("metadata.labels", "v" * 100, "a reason") for _ in range(100_000)]
    error = errors.invalid_object("ConfigMap", "x", [errors.invalid("a", f"{n}", "why") for n in range(100_000)])
    assert len(orjson.dumps(error.status())) < 400_000
    assert 'a: Invalid value: "0": why' in error.message and error.message.endswith(" more]")
    assert len(orjson.dumps(errors.invalid_object("ConfigMap", "x", problems).status())) < 400_000
    long = errors.invalid_object("ConfigMap", "x", [errors.invalid("a", "!" * 4_000_000, "why")])
    assert len(orjson.dumps(long.status())) < 100_000 and long.message.endswith("why")
    quotes = errors.invalid_object("ConfigMap", "x", [errors.invalid("a", '"' * 4_000_000, "why")])
    assert len(orjson.dumps(quotes.status())) < 300_000 and quotes.message.endswith("why")


def test_a_refusal_shows_whole_what_a_patch_made_of_an_ordinary_object() -> None:
    whole = orjson.dumps({"spec": {"items": [{"name": f"n{n}"} for n in range(1000)]}}).decode()
    error = errors.invalid_object("", "", [errors.invalid("patch", whole, "cannot unmarshal")])
    assert (
        error.message
        == f' "" is invalid: patch: Invalid value: "{whole.replace(chr(34), chr(92) + chr(34))}": cannot unmarshal'
    )


def test_warnings_are_bounded_as_upstreams_are() -> None:
    assert told_warnings(["a", "b", "a", ""]) == ["a", "b"]
    assert told_warnings(["x" * 4000, "y" * 96]) == ["x" * 4000, "y" * 96]
    told = told_warnings([f"{n} " + "x" * 1000 for n in range(100)])
    assert {len(text) for text in told} == {256} and len(told) == 16


def test_too_much_large_work_at_once_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(offloop, "_WAITING", 2)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        inside, release = asyncio.Event(), threading.Event()

        def work() -> int:
            loop.call_soon_threadsafe(inside.set)
            release.wait(60)
            return 1

        first = asyncio.ensure_future(offloop.off_loop(offloop.LARGE, work))
        await inside.wait()
        second = asyncio.ensure_future(offloop.off_loop(offloop.LARGE, lambda: 2))
        await asyncio.sleep(0)
        with pytest.raises(errors.TooManyRequests):
            await offloop.off_loop(offloop.LARGE, lambda: 3)
        assert await offloop.off_loop(10, lambda: 4) == 4, "what is small never waits"
        release.set()
        assert [await first, await second] == [1, 2]

    asyncio.run(asyncio.wait_for(main(), WHOLE))
