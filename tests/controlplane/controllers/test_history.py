"""Revision data: the bytes that upstream's encoder makes, kept through the API in every encoding."""

import asyncio
import json

import pytest

from apimachinery import protobuf
from apimachinery.jsontext import spelled_as_go
from apimachinery.kinds import CONTROLLER_REVISION
from apimachinery.protobuf import special
from controlplane.controllers import history
from controlplane.controllers.daemonset import revisions
from tests.controlplane.apiserver.server import serving
from tests.waiting import WHOLE

# A template as the API serves it; its names are in the order of the type, not of the alphabet.
TEMPLATE = {
    "metadata": {"labels": {"b": "2", "a": "1"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "i",
                "command": ["sh", "-c", "a && b <in >out"],
                "resources": {},
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
    },
}
# By json.Marshal of a map in Go: keys sorted, <, > and & spelled out.
RAW = (
    rb'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"1","b":"2"}},"spec":{"containers":[{"command":'
    rb'["sh","-c","a \u0026\u0026 b \u003cin \u003eout"],"image":"i","imagePullPolicy":"IfNotPresent","name":"c",'
    rb'"resources":{}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30}}}}'
)


def test_data_is_what_gos_encoder_makes_of_the_template():
    assert history.raw(history.data(TEMPLATE)) == RAW


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ('"a&b<c>"', rb'"a\u0026b\u003cc\u003e"'),
        ('"\u2028\u2029é"', '"\\u2028\\u2029é"'.encode()),
        ('"\\\\u0026"', b'"\\\\u0026"'),
    ],
)
def test_what_go_spells_out(text, spelled):
    found = spelled_as_go(text.encode())
    assert found == spelled and json.loads(found) == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "probe", "number"),
    [
        # FNV-1 of 32 bits: its published test vectors.
        (b"", None, 0x811C9DC5),
        (b"a", None, 0x050C5D7E),
        (b"foobar", None, 0x31F0B262),
        (b"fooba", 0, None),
    ],
)
def test_hashes_are_fnv_1_in_the_alphabet_of_names(raw, probe, number):
    if number is None:
        assert history.revision_hash(raw, probe) == history.revision_hash(raw + b"0", None)
        return
    digits = dict(zip("0123456789", "456789bcdf", strict=True))
    assert history.revision_hash(raw, probe) == "".join(digits[digit] for digit in str(number))


def data_of(body):
    """The bytes of `data` in an object's JSON text."""
    start = body.index(b'"data":') + len(b'"data":')
    _, end = json.JSONDecoder().raw_decode(body[start:].decode())
    return body[start : start + len(body[start:].decode()[:end].encode())]


def test_the_api_gives_the_bytes_back(tmp_path):
    """As posted by our loop and as posted by others, in JSON and in protobuf, alone, in a list and in a watch."""
    daemon_set = {"metadata": {"name": "d", "namespace": "default", "uid": "u"}, "spec": {"template": TEMPLATE}}
    ours = revisions.plan({**daemon_set, "kind": "DaemonSet", "apiVersion": "apps/v1"}, [], frozenset()).create
    assert ours is not None
    theirs = {**ours, "metadata": {"name": "theirs", "namespace": "default"}, "data": json.loads(RAW)}

    async def main():
        async with serving(tmp_path) as client:
            await client.create(CONTROLLER_REVISION, {**ours, "metadata": {**ours["metadata"], "ownerReferences": []}})
            path = CONTROLLER_REVISION.path("default")
            body = protobuf.encode(theirs)
            headers = {"Accept": "application/json"}
            kind = "application/vnd.kubernetes.protobuf"
            await client.request("POST", path, body=body, content_type=kind, headers=headers)
            for name in (ours["metadata"]["name"], "theirs"):
                async with client._exchange("GET", f"{path}/{name}", {}, None, {}, client._session.timeout) as answer:
                    assert data_of(await answer.read()) == RAW
                wanted, limit = {"Accept": kind}, client._session.timeout
                async with client._exchange("GET", f"{path}/{name}", {}, None, wanted, limit) as answer:
                    unknown = special.scan((await answer.read())[4:])
                    assert special.scan(special.scan(unknown[2])[2])[1] == RAW
            async with client._exchange("GET", path, {}, None, {}, client._session.timeout) as answer:
                assert (await answer.read()).count(RAW) == 2

    asyncio.run(asyncio.wait_for(main(), WHOLE))
