"""Requests that are small or cheap to make and cost the API server much, while a second client reads a ConfigMap.

    python -m tests.robustness.attacks

For each: what the attacker is answered, how long the second client waits at worst and how many answers it gets, and
what the server's memory comes to. The server is a process of its own; both clients share this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from apimachinery.kit import loops
from benchmarks import api

Obj = dict[str, Any]
PATH = "/api/v1/namespaces/default/configmaps"
TYPE = "application/vnd.kubernetes"
PODS = "/api/v1/namespaces/default/pods"
DEADLINE = 120.0
# What is unknown in it is left out; it makes no sense; it breaks rules; what it would store is too large (as upstream
# says that, without a reason of its own).
TAKEN, SENSELESS, REFUSED, TOO_LARGE = 201, 400, 422, 500


@dataclass(frozen=True)
class Attack:
    """One request; expect is the status of the right answer."""

    name: str
    method: str
    path: str
    body: bytes
    media: str = "application/json"
    expect: int = REFUSED
    accept: str = "application/json"


def config_map(name: str, **metadata: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def nested(levels: int) -> bytes:
    head = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"x":'
    return head + b'{"x":' * levels + b"1" + b"}" * (levels + 1)


def patches() -> list[Attack]:
    media = "application/json-patch+json"
    into_itself = [{"op": "add", "path": "/x", "value": [1]}, *[{"op": "copy", "from": "/x", "path": "/x/-"}] * 40]
    of_holder = [{"op": "add", "path": "/data/x", "value": ["y" * 100]}]
    of_holder += [{"op": "copy", "from": "/data", "path": "/data/x/-"}] * 40
    shifts: list[Obj] = [{"op": "add", "path": "/x", "value": [0] * 1_000_000}]
    shifts += [{"op": "add", "path": "/x/0", "value": 0}] * 9999
    made = {"40 copies into itself": into_itself, "40 copies of what holds it": of_holder, "9,999 insertions": shifts}
    return [
        Attack(f"JSON patch, {name}", "PATCH", f"{PATH}/victim", orjson.dumps(body), media)
        for name, body in made.items()
    ]


def yamls() -> list[Attack]:
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
    laughs = "x: &a [1,1,1,1,1,1,1,1,1,1]\n"
    laughs += "".join(f"x{n}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8))
    made = {
        "3 MB of keys": ("".join(f"k{n}: v\n" for n in range(270_000)), TAKEN),
        "3 MB of numbers": ("x: [" + "1," * 1_400_000 + "1]", TAKEN),
        "aliases of aliases": (laughs, SENSELESS),
    }
    return [
        Attack(
            f"YAML, {name}", "POST", PATH, (head.replace("NAME", f"y{at}") + body).encode(), "application/yaml", told
        )
        for at, (name, (body, told)) in enumerate(made.items())
    ]


def objects() -> list[Attack]:
    labels = {f"label-{n}": "v" for n in range(100_000)}
    bad = {f"a!{n}": "v" for n in range(200_000)}
    odd = {f"x{n}": 0 for n in range(200_000)}
    made = {
        "100,000 labels": (orjson.dumps(config_map("labels", labels=labels)), TOO_LARGE),
        "200,000 bad labels": (orjson.dumps(config_map("bad", labels=bad)), REFUSED),
        "a bad label of 3 MB": (orjson.dumps(config_map("long", labels={"a": "!" * 3_000_000})), REFUSED),
        "100 KB of [": (b"[" * 100_000, SENSELESS),
        "3 MB of JSON without its end": (b'{"a":[' + b'{"b":1},' * 370_000, SENSELESS),
        "unknown fields at 300 levels": (nested(300), SENSELESS),
        "3 MB of unknown fields": (orjson.dumps({**config_map("odd"), **odd}), TAKEN),
    }
    return [Attack(name, "POST", PATH, body, expect=told) for name, (body, told) in made.items()]


def of_many_values() -> list[Attack]:
    """What no unknown field, no depth and no size gives away."""
    head = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME"},"x":['
    twice = {f"k{n}": "" for n in range(150_000)}
    containers = [{"name": f"c{n}", "image": "i"} for n in range(30_000)]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "many"}, "spec": {"containers": containers}}
    made = {
        "a million empty lists": head.replace(b"NAME", b"lists") + b",".join([b"[]"] * 950_000) + b"]}",
        "300,000 small objects": head.replace(b"NAME", b"objects") + b",".join([b'{"b":1}'] * 360_000) + b"]}",
        "150,000 keys, one twice": orjson.dumps({**config_map("twice"), **twice})[:-1] + b',"k7":""}',
        "3 MB that are not quite UTF-8": orjson.dumps({**config_map("latin"), "x": [{"b": "c"}] * 200_000})[:-1]
        + b',"y":"\xff"}',
    }
    found = [Attack(name, "POST", PATH, body, expect=TAKEN) for name, body in made.items()]
    # There is no account yet that it could run as.
    return [*found, Attack("30,000 containers", "POST", PODS, orjson.dumps(pod), expect=403)]


def of_one_large_object() -> list[Attack]:
    """An object as large as any may be, in every way that it can be asked for or changed."""
    keys = orjson.dumps({**config_map("large"), "data": {f"k{n}": "v" for n in range(90_000)}})
    one, table, protobuf = f"{PATH}/large", "application/json;as=Table;v=v1;g=meta.k8s.io", f"{TYPE}.protobuf"
    apply = "application/apply-patch+yaml"
    change = orjson.dumps({"metadata": {"labels": {"a": "b"}}})
    return [
        Attack("90,000 keys", "POST", PATH, keys, expect=201),
        Attack("the same in protobuf", "GET", one, b"", expect=200, accept=protobuf),
        Attack("the same for people", "GET", f"{one}?pretty=1", b"", expect=200),
        Attack("the same in YAML", "GET", one, b"", expect=200, accept="application/yaml"),
        Attack("a table with it", "GET", f"{PATH}?includeObject=Object", b"", expect=200, accept=table),
        Attack("a list with it in protobuf", "GET", PATH, b"", expect=200, accept=protobuf),
        Attack("a small change of it", "PATCH", one, change, "application/merge-patch+json", 200),
        Attack("an applied change of it", "PATCH", f"{one}?fieldManager=a", keys, apply, TOO_LARGE),
        Attack("its deletion", "DELETE", one, b"", expect=200),
    ]


KNOWN = (patches, yamls, objects, of_one_large_object)
"""Those of known cases, and an object as large as any."""


def attacks() -> list[Attack]:
    """And their neighbours."""
    return [attack for kind in (*KNOWN, of_many_values) for attack in kind()]


@dataclass
class Seen:
    """What the second client met: answers, and the longest wait in ms."""

    answers: int = 0
    worst: float = 0.0


async def reader(target: api.Target, seen: Seen, stop: asyncio.Event) -> None:
    link = await api.Connection.open(target)
    ask = api.request("GET", f"{PATH}/victim")
    while not stop.is_set():
        began = time.perf_counter()
        status, _ = await link.call(ask)
        assert status == 200
        seen.answers += 1
        seen.worst = max(seen.worst, (time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.002)
    link.close()


async def strike(target: api.Target, attack: Attack) -> tuple[int, int, Seen]:
    """Status and bytes of the attacker's answer, and what the other client saw meanwhile."""
    seen, stop = Seen(), asyncio.Event()
    other = asyncio.ensure_future(reader(target, seen, stop))
    while not seen.answers:
        await asyncio.sleep(0.005)
    seen.answers, seen.worst = 0, 0.0
    link = await api.Connection.open(target)
    head = f"{attack.method} {attack.path} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(attack.body)}\r\n"
    head += f"Content-Type: {attack.media}\r\nAccept: {attack.accept}\r\n\r\n"
    try:
        status, body = await asyncio.wait_for(link.call(head.encode() + attack.body), DEADLINE)
        while not seen.answers:
            # Over sooner than the other's first question.
            await asyncio.sleep(0.005)
    finally:
        link.close()
        stop.set()
        await other
    return status, len(body), seen


@contextlib.asynccontextmanager
async def server(port: int) -> AsyncIterator[tuple[api.Target, int]]:
    """A server of its own process with a ConfigMap to read; its pid."""
    with tempfile.TemporaryDirectory(prefix="wht") as fresh:
        folder = Path(fresh)
        config = api.settings(folder, port)
        tls: ssl.SSLContext = api.client_context(folder)
        target = api.Target(port, tls)
        async with api.process("controlplane.apiserver", "--config", str(config)) as running:
            await api.answers(target)
            link = await api.Connection.open(target)
            body = {**config_map("victim"), "data": {"y": "z" * 100}}
            status, told = await link.call(api.request("POST", PATH, body))
            assert status == 201, told
            link.close()
            yield target, running.pid


async def undisturbed(target: api.Target, seconds: float) -> Seen:
    """What the second client sees when nobody attacks: the machine's own share in the figures."""
    seen, stop = Seen(), asyncio.Event()
    other = asyncio.ensure_future(reader(target, seen, stop))
    await asyncio.sleep(seconds)
    stop.set()
    await other
    return seen


async def measure(port: int) -> None:
    async with server(port) as (target, pid):
        click.echo(f"{'':<42}{'answer':>7}{'bytes':>9}{'others':>8}{'worst ms':>10}{'MB':>6}")
        seen = await undisturbed(target, 3.0)
        click.echo(f"{'nothing':<42}{'':>7}{'':>9}{seen.answers:>8}{seen.worst:>10.0f}{api.resident(pid):>6.0f}")
        for attack in attacks():
            status, size, seen = await strike(target, attack)
            mark = "" if status == attack.expect else "  !"
            figures = f"{status:>7}{size:>9}{seen.answers:>8}{seen.worst:>10.0f}{api.resident(pid):>6.0f}{mark}"
            click.echo(f"{attack.name:<42}{figures}")


@click.command()
@click.option("--port", default=18643, help="A free loopback port.")
def main(port: int) -> None:
    """Strike a server and read from it meanwhile."""
    loops.run(measure(port))


if __name__ == "__main__":
    main()
