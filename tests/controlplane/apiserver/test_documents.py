"""The documents about the API over HTTP: the index, discovery, OpenAPI; and what every answer has in common."""

import gzip
import json
import ssl

import aiohttp
import pytest
import yaml

from apimachinery import protobuf
from apimachinery.kinds import CONFIG_MAP
from apimachinery.protobuf import special
from apimachinery.protobuf.varint import read_varint, skip
from controlplane.apiserver.formats import compression
from controlplane.apiserver.openapi import gnostic
from controlplane.apiserver.openapi.documents import document_v2
from controlplane.apiserver.openapi.schemas import Types
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver.server import run

SWAGGER = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", gnostic.MEDIA_TYPE)
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Raw:
    """Requests whose answers are looked at as they come: status, headers and bytes."""

    def __init__(self, folder, client):
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        self.session = aiohttp.ClientSession(
            client.server, connector=aiohttp.TCPConnector(ssl=context), auto_decompress=False
        )

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    async def get(self, path, accept="", method="GET", body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"Accept-Encoding": "identity", "User-Agent": "test", **headers}
        if accept:
            headers["Accept"] = accept
        async with self.session.request(
            method, path, headers=headers, data=body, skip_auto_headers=("Accept", "Content-Type")
        ) as answer:
            return answer.status, answer.headers, await answer.read()


def against(folder, test):
    async def with_raw(client):
        async with Raw(folder, client) as raw:
            await test(client, raw)

    run(folder, with_raw)


def fields(data):
    """(number, bytes) of every length-delimited field of a message, in order."""
    at, out = 0, []
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 2:
            size, at = read_varint(data, at)
            out.append((key >> 3, data[at : at + size]))
            at += size
        else:
            at = skip(data, at, key & 7, len(data))
    return out


def of(data, number):
    return [value for found, value in fields(data) if found == number]


def first(data, *path):
    for number in path:
        data = of(data, number)[0]
    return data


def test_swagger_as_protobuf_says_what_the_json_says():
    """Numbers are those of gnostic's OpenAPIv2.proto, written out here once more."""
    document = document_v2(list(builtin.catalog().kinds()), Types({}), "v1.36.2")
    data = gnostic.document(document)
    assert first(data, 1) == b"2.0" and first(data, 2, 1) == b"Kubernetes" and first(data, 2, 2) == b"v1.36.2"
    paths = {first(pair, 1).decode(): first(pair, 2) for pair in of(first(data, 8), 2)}
    assert set(paths) == set(document["paths"])
    types = {first(pair, 1).decode(): first(pair, 2) for pair in of(first(data, 9), 1)}
    assert set(types) == set(document["definitions"])
    pod = types["io.k8s.api.core.v1.Pod"]
    members = {first(pair, 1).decode(): first(pair, 2) for pair in of(first(pod, 25), 1)}
    assert set(members) == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert first(members["spec"], 1) == b"#/definitions/io.k8s.api.core.v1.PodSpec"
    assert first(members["kind"], 22, 1) == b"string"
    extension = {first(pair, 1).decode(): yaml.safe_load(first(pair, 2, 2)) for pair in of(pod, 31)}
    assert extension == {"x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}]}
    containers = first(types["io.k8s.api.core.v1.PodSpec"], 25)
    held = {first(pair, 1): first(pair, 2) for pair in of(containers, 1)}[b"containers"]
    assert first(held, 22, 1) == b"array"
    assert first(held, 23, 1, 1) == b"#/definitions/io.k8s.api.core.v1.Container"
    labels = {
        first(p, 1): first(p, 2) for p in of(first(types["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"], 25), 1)
    }
    assert first(labels[b"labels"], 21, 1, 22, 1) == b"string"
    patch = first(paths["/api/v1/namespaces/{namespace}/pods/{name}"], 8)
    # kubectl looks here for dryRun, and for the kind that the operation is about.
    queries = {first(parameter, 1, 2, 3, 4) for parameter in of(patch, 8) if of(first(parameter, 1), 2)}
    assert b"dryRun" in queries
    about = {first(pair, 1): yaml.safe_load(first(pair, 2, 2)) for pair in of(patch, 13)}
    assert about[b"x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    body = [parameter for parameter in of(patch, 8) if of(first(parameter, 1), 1)]
    assert first(body[0], 1, 1, 5, 1).startswith(b"#/definitions/")
    assert first(first(patch, 9), 1, 2, 1, 2, 1, 1) == b"#/definitions/io.k8s.api.core.v1.Pod"


def test_a_member_that_no_message_has_is_told():
    with pytest.raises(gnostic.UnknownMember, match="Info has no member contact"):
        gnostic.document({"swagger": "2.0", "info": {"contact": {}}})


def test_openapi_v2_is_served_in_each_form_with_one_tag(tmp_path):
    async def test(_, raw):
        status, headers, plain = await raw.get("/openapi/v2")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        for accept in SWAGGER:
            status, told, body = await raw.get("/openapi/v2", accept)
            assert (status, told["Content-Type"], told["ETag"]) == (200, gnostic.MEDIA_TYPE, headers["ETag"])
            assert special.scan(body)[1] == b"2.0"
        status, told, _ = await raw.get("/openapi/v2", f"text/html, {SWAGGER[0]};q=0.5")
        assert (status, told["Content-Type"]) == (200, gnostic.MEDIA_TYPE)
        assert (await raw.get("/openapi/v2", If_None_Match=headers["ETag"]))[0] == 304
        status, _, body = await raw.get("/openapi/v2", "text/html")
        assert (status, body) == (406, b"")
        status, told, small = await raw.get("/openapi/v2", Accept_Encoding="deflate, gzip")
        assert told["Content-Encoding"] == "gzip" and gzip.decompress(small) == plain and len(small) * 4 < len(plain)

    against(tmp_path, test)


def test_what_is_in_one_form_is_refused_in_others(tmp_path):
    async def test(_, raw):
        for path, media in (
            ("/version", "application/json"),
            ("/.well-known/openid-configuration", "application/json"),
            ("/openid/v1/jwks", "application/jwk-set+json"),
        ):
            for accept in (media, "*/*", f"text/html;q=0.9,{media};q=0.1"):
                assert (await raw.get(path, accept))[0] == 200, (path, accept)
            status, headers, body = await raw.get(path, "application/yaml")
            assert (status, headers["Content-Type"]) == (406, "application/yaml")
            told = f"406: Not Acceptable\n\nAvailable representations: {media}"
            assert yaml.safe_load(body)["message"] == told
            assert (await raw.get(path, "application/*"))[0] == 406

    against(tmp_path, test)


@pytest.mark.parametrize("media", ["application/yaml", "application/vnd.kubernetes.protobuf"])
def test_a_deletion_is_told_in_the_clients_encoding(tmp_path, media):
    async def test(client, raw):
        maps = "/api/v1/namespaces/default/configmaps"
        await client.request("POST", maps, body={"metadata": {"name": "m"}})
        _, headers, body = await raw.get(f"{maps}/m", media, method="DELETE")
        told = protobuf.decode(body) if protobuf.is_protobuf(body) else yaml.safe_load(body)
        assert (headers["Content-Type"], told["kind"], told["status"]) == (media, "Status", "Success")

    against(tmp_path, test)


def test_discovery_in_every_encoding_and_form(tmp_path):
    async def test(_, raw):
        _, headers, body = await raw.get("/apis", AGGREGATED)
        assert headers["Content-Type"] == AGGREGATED and json.loads(body)["kind"] == "APIGroupDiscoveryList"
        assert (await raw.get("/apis", AGGREGATED, If_None_Match=headers["ETag"]))[0] == 304
        for path, kind in (("/api", "APIVersions"), ("/apis", "APIGroupList"), ("/api/v1", "APIResourceList")):
            wanted = json.loads((await raw.get(path))[2])
            assert wanted["kind"] == kind
            _, headers, body = await raw.get(path, "application/yaml")
            assert headers["Content-Type"] == "application/yaml" and yaml.safe_load(body) == wanted
            _, headers, body = await raw.get(path, "application/vnd.kubernetes.protobuf,application/json")
            assert headers["Content-Type"] == "application/vnd.kubernetes.protobuf"
            assert protobuf.decode(body)["kind"] == kind
        old = AGGREGATED.replace("v=v2", "v=v2beta1")
        _, headers, _ = await raw.get("/apis", f"{old},application/json")
        assert headers["Content-Type"] == "application/json"
        assert (await raw.get("/apis", old))[0] == 406

    against(tmp_path, test)


def test_the_root_lists_the_paths_that_there_are(tmp_path):
    async def test(_, raw):
        status, headers, body = await raw.get("/")
        listed = json.loads(body)["paths"]
        assert (status, headers["Content-Type"]) == (200, "application/json") and listed == sorted(listed)
        assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/healthz/ping"} <= set(listed)
        assert {"/livez", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/readyz", "/version"} <= set(
            listed
        )
        assert {"/.well-known/openid-configuration", "/openid/v1/jwks", "/readyz", "/version"} <= set(listed)
        assert {"/flagz", "/statusz"} <= set(listed)
        for path in listed:
            assert (await raw.get(path))[0] == 200, path
        assert (await raw.get("/index.html"))[2] == body
        assert b"\nPaths: /flagz /healthz /livez /metrics /readyz " in (await raw.get("/statusz"))[2]
        assert b"\nservice-cidr=" in (await raw.get("/flagz"))[2]

    against(tmp_path, test)


def still(answer):
    """An answer without what grows by itself: the server's revision, which a list shows."""
    if "items" in answer:
        answer["metadata"].pop("resourceVersion", None)
    return answer


def test_every_answer_comes_in_the_encoding_asked_for_and_names_no_program(tmp_path):
    async def test(client, raw):
        metadata = {"name": "m", "namespace": "default"}
        await client.create(CONFIG_MAP, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})
        one = "/api/v1/namespaces/default/configmaps/m"
        for path, expected in ((one, 200), (one.removesuffix("/m"), 200), (one + "x", 404), ("/apis/apps/v9/x", 404)):
            wanted = json.loads((await raw.get(path))[2])
            status, headers, body = await raw.get(path, "application/yaml")
            assert (status, headers["Content-Type"]) == (expected, "application/yaml")
            assert still(yaml.safe_load(body)) == still(wanted) and not body.startswith(b"{")
            status, headers, body = await raw.get(path, "application/vnd.kubernetes.protobuf")
            assert status == expected and protobuf.decode(body)["kind"] == wanted["kind"]
            _, headers, body = await raw.get(path + "?pretty=true")
            assert body == json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()
            assert still(json.loads(body)) == still(wanted)
            assert "Server" not in headers
        made = yaml.safe_dump({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "other"}})
        collection = one.removesuffix("/m")
        yaml_type = {"Content_Type": "application/yaml"}
        status, headers, body = await raw.get(collection, "application/yaml", "POST", made, **yaml_type)
        assert status == 201 and yaml.safe_load(body)["metadata"]["name"] == "other"
        assert "Server" not in (await raw.get("/nowhere"))[1]

    against(tmp_path, test)


def test_only_large_answers_are_compressed_and_only_for_those_who_ask(tmp_path):
    async def test(client, raw):
        for name, size in (("large", compression.THRESHOLD_BYTES), ("small", 100)):
            metadata = {"name": name, "namespace": "default"}
            await client.create(
                CONFIG_MAP, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"k": "x" * size}}
            )
        path = "/api/v1/namespaces/default/configmaps"
        for asked, small in (("gzip", True), ("br, gzip ", True), ("identity", False), ("gzip;q=1", False)):
            _, headers, body = await raw.get(path, Accept_Encoding=asked)
            assert (
                (headers.get("Content-Encoding") == "gzip") == small == ("Accept-Encoding" in headers.get("Vary", ""))
            )
            listed = json.loads(gzip.decompress(body) if small else body)
            assert len(listed["items"]) == 2 and int(headers["Content-Length"]) == len(body)
        assert "Content-Encoding" not in (await raw.get(f"{path}/small", Accept_Encoding="gzip"))[1]

    against(tmp_path, test)


def test_service_levels_count_each_check(tmp_path):
    async def test(_, raw):
        await raw.get("/readyz/ping")
        _, _, before = await raw.get("/metrics/slis")
        assert b'kubernetes_healthcheck{name="ping",type="readyz"} 1.0' in before
        line = b'kubernetes_healthchecks_total{name="ping",status="success",type="readyz"} '
        await raw.get("/readyz")
        _, _, after = await raw.get("/metrics/slis")
        counts = [float(text.partition(line)[2].partition(b"\n")[0]) for text in (before, after)]
        assert counts[1] == counts[0] + 1

    against(tmp_path, test)


def test_a_watch_over_a_websocket_has_a_message_for_each_event(tmp_path):
    async def test(client, raw):
        for name in ("a", "b"):
            metadata = {"name": name, "namespace": "kube-public"}
            await client.create(CONFIG_MAP, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})
        path = "/api/v1/namespaces/kube-public/configmaps?watch=1"
        async with raw.session.ws_connect(path) as socket:
            events = [json.loads(await socket.receive_str()) for _ in range(2)]
            assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a"), ("ADDED", "b")]
            await client.delete(CONFIG_MAP, "a", "kube-public")
            assert json.loads(await socket.receive_str())["type"] == "DELETED"
        async with raw.session.ws_connect(path, headers={"Accept": "application/vnd.kubernetes.protobuf"}) as socket:
            message = await socket.receive_bytes()
            assert special.scan(message)[1] == b"ADDED"
            assert protobuf.decode(special.scan(special.scan(message)[2])[1])["metadata"]["name"] == "b"

    against(tmp_path, test)
