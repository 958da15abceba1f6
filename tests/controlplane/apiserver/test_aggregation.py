"""APIServices that name a Service: requests passed on to it, and whether it answers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from apimachinery import errors
from apimachinery.kinds import API_SERVICE, SERVICE
from controlplane.apiserver.aggregation import conditions, dialling, documents, remotes, specifying
from controlplane.apiserver.discovery import Others, ordered
from controlplane.apiserver.openapi import gnostic, merging
from controlplane.apiserver.reading import Reading
from tests.controlplane.apiserver import aggregated
from tests.controlplane.apiserver.aggregated import GROUP, NAME, VERSION
from tests.controlplane.apiserver.server import DEADLINE, serving
from tests.waiting import until

ROOT = f"/apis/{GROUP}/{VERSION}"
FLUNDERS = f"{ROOT}/namespaces/default/flunders"


def run(folder, test, register=True):
    async def main():
        async with aggregated.aggregated(folder) as behind, serving(folder, **aggregated.settings(folder)) as client:
            if register:
                await behind.register(client)
                await until(lambda: condition(client, "Passed"))
            await test(client, behind)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


async def condition(client, reason):
    found = await client.get(API_SERVICE, NAME)
    listed = [one for one in found.get("status", {}).get("conditions", ()) if one["reason"] == reason]
    return listed[0] if listed else None


@asynccontextmanager
async def asked(client, folder, path, method="GET", **more):
    """The answer to an administrator's request, as it is."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    url = URL(client.server + path, encoded=True)
    async with aiohttp.ClientSession() as session, session.request(method, url, ssl=context, **more) as response:
        yield response


async def _a_request_is_passed_on_with_its_users_name(client, behind, tmp_path):
    seen: dict[str, Any] = {}

    async def answer(request):
        if not request.path.endswith("/status"):
            return None
        seen.update(method=request.method, target=request.raw_path, body=await request.read())
        headers = [
            ("Warning", '299 - "one"'),
            ("Warning", '299 - "two"'),
            ("X-Own", "1"),
            ("Cache-Control", "max-age=3"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
        ]
        return web.Response(status=202, body=b'{"kind":"Flunder"}', content_type="application/json", headers=headers)

    behind.answer = answer
    given = {
        "Content-Type": "application/merge-patch+json",
        "X-Remote-User": "somebody",
        "X-Remote-Group": "system:masters",
        "X-Remote-Extra-Reason": "none",
        "Authorization": "Basic eDp5",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Host": "made.up",
        "X-Forwarded-Proto": "http",
        "Connection": "keep-alive, X-Hop,Content-Length",
        "X-Hop": "1",
    }
    path = f"{FLUNDERS}/a%2Fb/status?x=1&x=%2F"
    async with asked(client, tmp_path, path, "PATCH", data=b"{}", headers=given) as response:
        assert (response.status, await response.read()) == (202, b'{"kind":"Flunder"}')
        assert response.headers["X-Own"] == "1"
        assert "X-Hop" not in response.headers
        assert response.headers.getall("Cache-Control") == ["max-age=3"]
        assert response.headers.getall("Warning") == ['299 - "one"', '299 - "two"']
    assert seen == {"method": "PATCH", "target": path, "body": b"{}"}
    headers = behind.headers(f"{FLUNDERS}/a/b/status")
    assert headers["x-remote-user"] == ["admin"]
    assert headers["x-remote-group"] == ["system:masters", "system:authenticated"]
    assert "authorization" not in headers
    assert "x-remote-extra-reason" not in headers
    assert list(name for name in headers if name.startswith("x-remote-extra-")) == [
        "x-remote-extra-authentication.kubernetes.io%2fcredential-id"
    ]
    assert headers["content-type"] == ["application/merge-patch+json"]
    assert "x-hop" not in headers
    assert headers["x-forwarded-for"] == ["192.0.2.1, 127.0.0.1"]
    assert headers["x-forwarded-proto"] == ["https"]
    assert headers["x-forwarded-host"] == [f"localhost:{behind.port}"]


async def _a_watch_comes_as_it_is_told_and_ends_with_its_client(client, behind, tmp_path):
    gone = asyncio.Event()

    async def answer(request):
        if request.path != FLUNDERS:
            return None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            await response.write(b'{"type":"ADDED"}\n')
            while True:
                await response.write(b'{"type":"MODIFIED"}\n')
                await asyncio.sleep(0.01)
        except ConnectionError:
            gone.set()
        return response

    behind.answer = answer
    async with asked(client, tmp_path, f"{FLUNDERS}?watch=1") as response:
        assert await response.content.readline() == b'{"type":"ADDED"}\n'
        assert await response.content.readline() == b'{"type":"MODIFIED"}\n'
    await asyncio.wait_for(gone.wait(), 30)


async def _an_answer_that_is_cut_short_does_not_look_whole(client, behind, tmp_path, caplog):
    async def answer(request):
        if request.path != FLUNDERS:
            return None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        request.transport.abort()
        return response

    behind.answer = answer
    async with asked(client, tmp_path, f"{FLUNDERS}?watch=1") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def _another_protocol_is_carried_both_ways(client, behind, tmp_path):
    async def answer(request):
        if request.path != f"{FLUNDERS}/a/console":
            return None
        socket = web.WebSocketResponse(protocols=("echo",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.headers['X-Remote-User']} {message.data}")
        return socket

    behind.answer = answer
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
    async with aiohttp.ClientSession() as session:
        # It goes on for as long as both sides like.
        url = f"{client.server}{FLUNDERS}/a/console?timeout=100ms"
        async with session.ws_connect(url, ssl=context, protocols=("echo",)) as socket:
            assert socket.protocol == "echo"
            await asyncio.sleep(0.2)
            await socket.send_str("hello")
            assert (await socket.receive()).data == "admin hello"


async def _a_write_that_is_not_answered_is_given_up(client, behind, tmp_path):
    given_up = asyncio.Event()

    async def answer(request):
        if request.method == "POST":
            transport = request.transport
            await until(lambda: _holds(transport.is_closing))
            given_up.set()

    behind.answer = answer
    async with asked(client, tmp_path, f"{FLUNDERS}?timeout=100ms", "POST", json={}) as response:
        assert response.status == 504
        await given_up.wait()


async def _who_may_not_is_not_passed_on(client, behind, tmp_path):
    before = len([one for one in behind.asked if one.path == FLUNDERS])
    async with aiohttp.ClientSession() as session:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        async with session.get(client.server + FLUNDERS, ssl=trust) as response:
            assert response.status == 403
            text = (await response.json())["message"]
    assert text == (
        'flunders.flunders.test is forbidden: User "system:anonymous" cannot list resource "flunders" in API group'
        ' "flunders.test" in the namespace "default"'
    )
    assert len([one for one in behind.asked if one.path == FLUNDERS]) == before


async def _without_its_service_it_is_not_available(client, behind, tmp_path):
    made = await client.create(API_SERVICE, behind.api_service())
    assert made["status"] == {}
    found = await until(lambda: condition(client, "ServiceNotFound"))
    assert (found["status"], found["message"]) == ("False", 'service/flunders in "default" is not present')
    async with asked(client, tmp_path, FLUNDERS) as response:
        assert (response.status, await response.text()) == (503, "service unavailable\n")
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    await client.create(SERVICE, behind.service())
    found = await until(lambda: condition(client, "Passed"))
    assert (found["status"], found["message"]) == ("True", "all checks passed")
    # It comes to this server's own groups, and goes from there.
    await client.delete(API_SERVICE, NAME)
    async with asked(client, tmp_path, FLUNDERS) as response:
        assert response.status == 404


async def _a_server_that_answers_badly_is_not_available(client, behind, tmp_path):
    async def refuse(request):
        return web.Response(status=403)

    behind.answer = refuse
    await behind.register(client)
    found = await until(lambda: condition(client, "FailedDiscoveryCheck"))
    url = f"https://localhost:{behind.port}{ROOT}"
    assert found["message"] == f"failing or missing response from {url}: bad status from {url}: 403"
    behind.answer = None
    await until(lambda: condition(client, "Passed"))


async def _a_server_that_is_not_trusted_is_not_available(client, behind, tmp_path):
    await behind.register(client, caBundle=None)
    found = await until(lambda: condition(client, "FailedDiscoveryCheck"))
    assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in found["message"]
    change = {"spec": {"insecureSkipTLSVerify": True}}
    await client.patch(API_SERVICE, NAME, change)
    await until(lambda: condition(client, "Passed"))
    async with asked(client, tmp_path, ROOT) as response:
        assert (await response.json())["resources"] == aggregated.RESOURCES["resources"]


async def _a_server_that_went_away_is_told_by_the_answer(client, behind, tmp_path):
    service = await client.get(SERVICE, "flunders", "default")
    service["spec"]["externalName"] = "localhost.invalid"
    await client.update(SERVICE, service)
    async with asked(client, tmp_path, FLUNDERS) as response:
        assert response.status == 503
        text = await response.text()
    assert text in (
        "service unavailable\n",
        "error trying to reach service: dial tcp: lookup localhost.invalid: no such host\n",
    )


def test_requests_are_passed_on(tmp_path, caplog, monkeypatch):
    learned: list[str] = []

    async def learn(self, request):
        learned.append(request.path)

    # Where several servers share a store, it is asked then.
    monkeypatch.setattr(Reading, "learn", learn)

    async def test(client, behind):
        await _a_request_is_passed_on_with_its_users_name(client, behind, tmp_path)
        behind.answer = None
        await _a_watch_comes_as_it_is_told_and_ends_with_its_client(client, behind, tmp_path)
        behind.answer = None
        await _an_answer_that_is_cut_short_does_not_look_whole(client, behind, tmp_path, caplog)
        behind.answer = None
        await _another_protocol_is_carried_both_ways(client, behind, tmp_path)
        behind.answer = None
        await _a_write_that_is_not_answered_is_given_up(client, behind, tmp_path)
        behind.answer = None
        await _who_may_not_is_not_passed_on(client, behind, tmp_path)
        behind.answer = None
        await _a_server_that_went_away_is_told_by_the_answer(client, behind, tmp_path)
        behind.answer = None
        assert not [path for path in learned if path.startswith(ROOT)]
        async with asked(client, tmp_path, "/apis/nobody.test/v1/things") as response:
            assert response.status == 404
        async with aiohttp.ClientSession() as session:
            trust = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
            async with session.get(f"{client.server}/apis/nobody.test/v1/others", ssl=trust) as response:
                assert response.status == 403
        assert learned[-1] == "/apis/nobody.test/v1/things"

    run(tmp_path, test)


def test_who_is_available(tmp_path):
    async def test(client, behind):
        await _without_its_service_it_is_not_available(client, behind, tmp_path)
        await _forgotten(client, behind)
        await _a_server_that_answers_badly_is_not_available(client, behind, tmp_path)
        await _forgotten(client, behind)
        await _a_server_that_is_not_trusted_is_not_available(client, behind, tmp_path)
        await _forgotten(client, behind)

    run(tmp_path, test, register=False)


async def _forgotten(client, behind):
    """Nothing is left of what was registered."""
    behind.answer = None
    for kind, name, namespace in ((API_SERVICE, NAME, None), (SERVICE, "flunders", "default")):
        with contextlib.suppress(errors.NotFound):
            await client.delete(kind, name, namespace)


SPEC = {
    "group": GROUP,
    "version": VERSION,
    "service": {"namespace": "default", "name": "flunders", "port": 443},
}
SERVED = {"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}}
SLICE = {"ports": [{"name": "https", "port": 8443}], "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}]}


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        (None, [], "ServiceNotFound", 'service/flunders in "default" is not present'),
        (
            {"spec": {"ports": [{"port": 80}]}},
            [SLICE],
            "ServicePortError",
            'service/flunders in "default" is not listening on port 443',
        ),
        (SERVED, [], "EndpointsNotFound", 'cannot find endpointslices for service/flunders in "default"'),
        (
            SERVED,
            [{**SLICE, "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}],
            "MissingEndpoints",
            'endpointslices for service/flunders in "default" have no addresses with port name "https"',
        ),
        (
            SERVED,
            [{**SLICE, "ports": [{"name": "http", "port": 80}]}],
            "MissingEndpoints",
            'endpointslices for service/flunders in "default" have no addresses with port name "https"',
        ),
        (SERVED, [SLICE], None, None),
        ({"spec": {"type": "ExternalName", "externalName": "a.test"}}, [], None, None),
    ],
)
def test_conditions_by_the_objects(service, slices, reason, message):
    remote = remotes.of({"metadata": {"name": NAME}, "spec": SPEC})
    assert remote is not None
    found = conditions.of_objects(remote, service, slices)
    assert (found and found.reason, found and found.message) == (reason, message)


def test_the_time_of_a_condition_is_that_of_its_status():
    first, later = (datetime(2026, 1, day, tzinfo=timezone.utc) for day in (1, 2))
    one = conditions.told({"metadata": {}}, conditions.PASSED, first)
    assert conditions.told(one, conditions.PASSED, later) == one
    other = conditions.told(one, conditions.LOCAL, later)["status"]["conditions"]
    assert [(each["reason"], each["lastTransitionTime"]) for each in other] == [("Local", "2026-01-01T00:00:00Z")]
    failed = conditions.told(one, conditions.undiscovered("no"), later)["status"]["conditions"]
    assert [(each["status"], each["lastTransitionTime"]) for each in failed] == [("False", "2026-01-02T00:00:00Z")]


def test_discovery_tells_what_others_serve(tmp_path):
    async def plain(client):
        found = await client.request("GET", "/apis")
        return next((one for one in found["groups"] if one["name"] == GROUP), None)

    async def whole(client):
        found = await client.request("GET", "/apis", headers={"Accept": WHOLE})
        return next((one["versions"][0] for one in found["items"] if one["metadata"]["name"] == GROUP), {})

    async def fresh(client):
        found = await whole(client)
        return found if found.get("freshness") == "Current" else None

    async def test(client, behind):
        assert await plain(client) == {
            "name": GROUP,
            "versions": [{"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}],
            "preferredVersion": {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION},
        }
        assert (await client.request("GET", f"/apis/{GROUP}"))["kind"] == "APIGroup"
        resource: dict[str, Any] = {
            "resource": "flunders",
            "singularResource": "flunder",
            "scope": "Namespaced",
            "verbs": ["get", "list"],
        }
        resource["responseKind"] = {"group": "", "version": "", "kind": "Flunder"}
        found = await until(lambda: fresh(client))
        assert found == {"version": VERSION, "resources": [resource], "freshness": "Current"}
        assert f"/apis/{GROUP}/{VERSION}" in (await client.request("GET", "/"))["paths"]

        # A server that knows aggregated discovery is asked once for all that it serves.
        told = {"version": VERSION, "resources": [{**resource, "shortNames": ["fl"]}]}

        async def answer(request):
            if request.path != "/apis":
                return None
            items = [{"metadata": {"name": GROUP}, "versions": [told]}]
            body = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}
            response = web.json_response(body, headers={"ETag": '"one"'})
            response.content_type = "application/json"
            response.headers["Content-Type"] = WHOLE
            return response

        behind.answer = answer
        await client.patch(API_SERVICE, NAME, {"spec": {"versionPriority": 11}})
        await until(lambda: _is(whole(client), {**told, "freshness": "Current"}))
        await client.delete(SERVICE, "flunders", "default")
        await until(lambda: _is(whole(client), {"version": VERSION, "freshness": "Stale"}))
        assert await plain(client)
        await client.delete(API_SERVICE, NAME)
        await until(lambda: _is(whole(client), {}))
        assert not await plain(client)

    run(tmp_path, test)


async def _is(asking, wanted):
    return await asking == wanted


WHOLE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("content_type", "known"),
    [
        (WHOLE, True),
        ("application/json; g=apidiscovery.k8s.io; v=v2beta1; as=APIGroupDiscoveryList", True),
        ("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_aggregated_documents_are_known_by_their_type(content_type, known):
    assert documents.is_whole(content_type) is known


def test_a_certificate_that_cannot_be_read_is_told_at_the_start(tmp_path):
    with pytest.raises(OSError):
        dialling.Dialler(cast(Any, None), (tmp_path / "crt", tmp_path / "key"))


def test_subresources_find_their_resource():
    listed: list[dict[str, Any]] = [
        {"name": "flunders/status", "namespaced": True, "kind": "Flunder", "verbs": ["get"]},
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["list"]},
        {"name": "ghosts/scale", "kind": "Scale", "group": "autoscaling", "version": "v1"},
    ]
    one, other = documents.resources(listed)
    own = {"group": "", "version": "", "kind": "Flunder"}
    assert one["subresources"] == [{"subresource": "status", "responseKind": own, "verbs": ["get"]}]
    assert (other["scope"], other["responseKind"]) == ("Cluster", {"group": "", "version": "", "kind": ""})
    assert other["subresources"][0]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    with pytest.raises(documents.Mismatch):
        documents.resources([{**listed[0], "namespaced": False}, listed[1]])


def test_groups_and_versions_come_by_their_places():
    told = {("b.test", "v1"): (2000, 5), ("b.test", "v2"): (100, 9), ("a.test", "v1alpha1"): (1000, 100)}
    told |= {("c.test", version): (1000, 100) for version in ("v1beta1", "v1", "v1beta2", "v11", "v2", "foo", "bar")}
    served = [*told, ("apps", "v1"), ("apiregistration.k8s.io", "v1"), ("unsaid.test", "v1")]
    found = ordered(served, Others(told))
    assert list(found) == ["apiregistration.k8s.io", "apps", "b.test", "c.test", "unsaid.test", "a.test"]
    assert list(ordered(served, Others(told), whole=True))[2:] == ["b.test", "a.test", "c.test", "unsaid.test"]
    assert found["b.test"] == ["v2", "v1"]
    assert found["c.test"] == ["v11", "v2", "v1", "v1beta2", "v1beta1", "bar", "foo"]


async def _asked_again_after_a_while_away(client, behind):
    """One that could not be asked when it was its turn is asked once it is available again."""

    def looks():
        return len([one for one in behind.asked if one.path == "/openapi/v2"])

    good, behind.answer = behind.answer, _refused
    await client.patch(API_SERVICE, NAME, {"spec": {"versionPriority": 11}})
    await until(lambda: condition(client, "FailedDiscoveryCheck"))
    await asyncio.sleep(3 * specifying._AGAIN_SECONDS)
    behind.answer, before = good, looks()
    await client.patch(API_SERVICE, NAME, {"spec": {"versionPriority": 12}})
    await until(lambda: condition(client, "Passed"))
    await until(lambda: _holds(lambda: looks() > before))


DEEP = b"[" * 900 + b"]" * 900


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b"[]",
        b'{"paths": [1]}',
        b'{"paths": {"/p/": {"get": {"x-a": %s}}}}' % DEEP[600:1200],
        b'{"paths": {"/p/": 1}, "definitions": {}}',
        b'{"paths": {"/p/": {"get": {"$ref": "#/definitions/A"}}}, "definitions": {"A": 1}}',
        b'{"paths": {"/p/": {"get": {"parameters": [{"in": "nowhere"}]}}}}',
        b'{"paths": {"/p/": {"get": {"x-deep": %s}}}, "parameters": {"a": {}}}' % DEEP,
        b'{"paths": {"/p/": {"get": {"unheard": 1}}}}',
    ],
)
def test_no_document_spoils_the_one_of_all(said):
    with pytest.raises(ValueError):
        specifying._part(said, "/p/")


@pytest.mark.parametrize("said", [b"{", b"[]", b'{"paths": [1]}', b'{"paths": {"apis/g/v": 1}}'])
def test_what_is_no_index_of_documents_is_none(said):
    with pytest.raises(ValueError):
        specifying._listed(said, "g")


def _entry(*resources):
    return [{"metadata": {"name": "g"}, "versions": [{"version": "v", "resources": list(resources)}]}]


@pytest.mark.parametrize(
    "groups",
    [
        1,
        [1],
        [{"versions": 1}],
        [{"metadata": 1}],
        _entry(1),
        _entry({}),
        _entry({"resource": "r", "verbs": [1]}),
        _entry({"resource": "r", "shortNames": 1}),
        _entry({"resource": "r", "responseKind": "R"}),
        _entry({"resource": "r", "subresources": [{}]}),
    ],
)
def test_what_is_no_aggregated_discovery_is_told_so(groups):
    with pytest.raises(documents.Mismatch):
        documents.versions({"items": groups})


def test_what_is_told_of_a_version_stays_as_it_is():
    (group,) = groups = _entry({"resource": "r", "verbs": ["get"], "own": 1, "subresources": [{"subresource": "s"}]})
    assert documents.versions({"items": groups}) == {("g", "v"): group["versions"][0]}
    assert documents.versions({"items": None}) == {}


@pytest.mark.parametrize("said", [[1], 1, [{}], [{"name": 1}], [{"name": "r", "verbs": [1]}]])
def test_what_is_no_list_of_resources_is_told_so(said):
    with pytest.raises(documents.Mismatch):
        documents.resources(said)


async def _refused(request):
    return web.Response(status=403)


async def _holds(look):
    return look()


def test_documents_of_openapi_are_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr(specifying, "_AGAIN_SECONDS", 0.1)
    name = f"apis/{GROUP}/{VERSION}"
    entry = {"serverRelativeURL": f"/openapi/v3/{name}?hash=1"}
    swagger: dict[str, Any] = {
        "swagger": "2.0",
        "paths": {f"{FLUNDERS}/{{name}}": {"get": {"parameters": [{"$ref": "#/parameters/a"}]}}, "/version/": {}},
        "parameters": {"a": {"in": "query", "name": "limit", "type": "integer", "minimum": 1.5}},
        "definitions": {"test.Flunder": {"type": "string", "pattern": "a+", "minLength": 1}},
    }

    async def answer(request):
        if request.path == "/openapi/v3":
            return web.json_response({"paths": {name: entry, "version": {"serverRelativeURL": "/openapi/v3/version"}}})
        if request.path == f"/openapi/v3/{name}":
            return web.json_response({"openapi": "3.0.0", "by": request.headers["X-Remote-User"]})
        return web.json_response(swagger) if request.path == "/openapi/v2" else None

    async def spoilt(request):
        given = await answer(request)
        return web.json_response({"paths": {f"{ROOT}/": 1}}) if request.path == "/openapi/v2" else given

    async def test(client, behind):
        async def told():
            return (await client.request("GET", "/openapi/v3"))["paths"].get(name)

        assert await until(told) == entry
        assert "version" not in (await client.request("GET", "/openapi/v3"))["paths"]
        assert await client.request("GET", f"/openapi/v3/{name}") == {"openapi": "3.0.0", "by": "admin"}
        whole = await client.request("GET", "/openapi/v2")
        assert whole["paths"][f"{FLUNDERS}/{{name}}"]["get"]["parameters"] == [swagger["parameters"]["a"]]
        assert whole["definitions"]["test.Flunder"] == swagger["definitions"]["test.Flunder"]
        packed = await client.request("GET", "/openapi/v2", headers={"Accept": gnostic.OLD_MEDIA_TYPE})
        assert "test.Flunder" in packed["raw"]
        await _asked_again_after_a_while_away(client, behind)
        behind.answer = spoilt

        async def swaggers():
            return "test.Flunder" in (await client.request("GET", "/openapi/v2"))["definitions"]

        # What can't be told is left out, and all else is not.
        await until(lambda: _is(swaggers(), False))
        assert await told() == entry
        behind.answer = answer
        await until(lambda: _is(swaggers(), True))
        await client.delete(API_SERVICE, NAME)
        await until(lambda: _is(told(), None))
        assert "test.Flunder" not in (await client.request("GET", "/openapi/v2"))["definitions"]

    async def main():
        async with aggregated.aggregated(tmp_path) as behind:
            behind.answer = answer
            async with serving(tmp_path, **aggregated.settings(tmp_path)) as client:
                await behind.register(client)
                await test(client, behind)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def _refer(name):
    return {"$ref": f"#/definitions/{name}"}


def test_swagger_documents_are_merged():
    identity = "x-kubernetes-group-version-kind"
    own: dict[str, Any] = {
        "paths": {"/own": {}, "/both": {"from": "own"}},
        "definitions": {"Same": {"type": "string", identity: [1]}, "Other": {"type": "string"}, "Other_v2": {"x": 1}},
    }
    given = {
        "paths": {"/both": _refer("Gone"), "/new": {"get": [_refer("Other"), _refer("Deep")]}},
        "definitions": {
            "Same": {"type": "string", identity: [1, 2]},
            "Other": {"type": "integer"},
            "Deep": {"properties": {"a": _refer("Other")}},
            "Gone": {},
        },
    }
    found = merging.merged(own, [given, {**given, "paths": {"/again": _refer("Other")}}])
    assert found["paths"] == {
        "/own": {},
        "/both": {"from": "own"},
        "/new": {"get": [_refer("Other_v3"), _refer("Deep")]},
        "/again": _refer("Other_v3"),
    }
    definitions = found["definitions"]
    assert definitions["Same"] == {"type": "string", identity: [1, 2]}
    assert definitions["Other"] == {"type": "string"}
    assert definitions["Other_v3"] == {"type": "integer"}
    assert definitions["Deep"] == {"properties": {"a": _refer("Other_v3")}}
    assert set(own["definitions"]) == {"Same", "Other", "Other_v2"}
