"""Webhooks on a whole server, asked over real HTTPS."""

import asyncio
import base64
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apimachinery import errors, kinds
from apimachinery.client import Client, PatchType
from controlplane.apiserver.admission.webhooks.hooks import Rule
from controlplane.apiserver.admission_request import Admission
from tests.controlplane.apiserver.admission.backend import Backend, add, backend, hook, patch, rule
from tests.controlplane.apiserver.server import DEADLINE, serving

VALIDATING, MUTATING = kinds.VALIDATING_WEBHOOK_CONFIGURATION, kinds.MUTATING_WEBHOOK_CONFIGURATION


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[tuple[Client, Backend]]:
    async with serving(folder) as client, backend(folder) as made:
        await client.create(kinds.NAMESPACE, {"metadata": {"name": "n", "labels": {"hooked": "yes"}}})
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")
        yield client, made


def play(folder: Path, test: Callable[[Client, Backend], Awaitable[None]]) -> None:
    async def main() -> None:
        async with stage(folder) as (client, made):
            await test(client, made)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


async def guard(client: Client, *hooks: dict[str, Any], name: str = "guard") -> None:
    await client.create(VALIDATING, {"metadata": {"name": name}, "webhooks": list(hooks)})


async def change(client: Client, *hooks: dict[str, Any], name: str = "change") -> None:
    await client.create(MUTATING, {"metadata": {"name": name}, "webhooks": list(hooks)})


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}


async def refused(work: Awaitable[Any]) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as refusal:
        await work
    return refusal.value


async def warned(folder: Path, client: Client, method: str, path: str, body: Any = None) -> tuple[int, list[str]]:
    """Status and Warning headers of one request."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, client.server + path, json=body, ssl=context) as response,
    ):
        await response.read()
        return response.status, [value for key, value in response.headers.items() if key == "Warning"]


def test_a_refusal_is_told_with_the_webhook_s_own_status(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await guard(client, hook(made))
        await client.create(kinds.CONFIG_MAP, config("fine"), "n")
        asked = made.asked[0]
        assert made.paths == ["/hook?timeout=5s"]
        assert asked["operation"] == "CREATE" and asked["name"] == "fine" and asked["namespace"] == "n"
        assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert asked["object"]["metadata"]["uid"] and asked["object"]["data"] == {"a": "b"}
        assert asked["oldObject"] is None and asked["dryRun"] is False
        assert asked["userInfo"]["username"] == "admin" and "system:masters" in asked["userInfo"]["groups"]
        assert asked["options"]["kind"] == "CreateOptions"
        details = {"causes": [{"message": "c"}]}
        made.answer = lambda _: {"allowed": False, "status": {"message": "no", "code": 418, "details": details}}
        error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
        assert error.message == 'admission webhook "a.hook.test" denied the request: no'
        assert error.status_code == 418 and error.details == details
        for status, code, end in (
            (None, 400, " without explanation"),
            ({"reason": "Forbidden", "code": 200}, 400, ": Forbidden"),
        ):
            made.answer = lambda _, status=status: {"allowed": False, "status": status}  # type: ignore[misc]
            error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
            assert error.message == f'admission webhook "a.hook.test" denied the request{end}'
            assert error.status_code == code
        await client.create(kinds.SECRET, {"metadata": {"name": "other"}}, "n")
        gc.collect()
        gc.disable()
        try:
            await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
            assert not [one for one in gc.get_objects() if isinstance(one, Admission)], "left for the collector"
        finally:
            gc.enable()

    play(tmp_path, test)


def test_a_webhook_that_does_not_answer_refuses_or_lets_pass(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await guard(client, hook(made, timeoutSeconds=1))
        never = asyncio.Event()

        async def silent() -> web.Response:
            await never.wait()
            return web.Response()

        url = f'Post "https://127.0.0.1:{made.port}/hook?timeout=1s"'
        for answer, why in (
            (lambda _: silent(), f"failed to call webhook: {url}: context deadline exceeded"),
            (lambda _: web.Response(status=500, text="o"), 'failed to call webhook: an error on the server ("o") has'),
            (lambda _: web.Response(status=404), "failed to call webhook: the server could not find the requested"),
            (lambda _: web.Response(text="{"), "failed to call webhook: couldn't get version/kind; json parse error"),
            (lambda _: web.json_response({}), "received invalid webhook response: webhook response was absent"),
            (lambda _: {"uid": "x", "allowed": True}, "received invalid webhook response: expected response.uid="),
            (
                lambda _: patch(add("/data/x", "y")),
                "received invalid webhook response: validating webhook may not return response.patch",
            ),
        ):
            made.answer = answer
            error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
            assert error.status_code == 500 and error.reason == "InternalError"
            start = f'Internal error occurred: failed calling webhook "a.hook.test": {why}'
            assert error.message.startswith(start), error.message
        never.set()
        ignoring = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        await client.patch(VALIDATING, "guard", ignoring, patch_type=PatchType.JSON)
        made.answer = lambda _: web.Response(status=500)
        await client.create(kinds.CONFIG_MAP, config("open"), "n")
        # A refusal is no failure.
        made.answer = lambda _: {"allowed": False}
        await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))

    play(tmp_path, test)


def test_certificates_are_judged(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        other = made.config()
        other["url"] = f"https://localhost:{made.port}/hook"
        await guard(client, hook(made, clientConfig=other))
        error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
        assert "tls: failed to verify certificate: x509: certificate is not valid for localhost" in error.message
        untrusting = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        await client.patch(VALIDATING, "guard", untrusting, patch_type=PatchType.JSON)
        error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
        assert "x509: certificate signed by unknown authority" in error.message
        assert made.asked == []

    play(tmp_path, test)


def test_a_service_is_asked_under_its_own_name(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        target = {"caBundle": made.ca, "service": {"namespace": "default", "name": "hook", "path": "/s"}}
        target["service"]["port"] = made.port  # type: ignore[index]
        await guard(client, hook(made, clientConfig=target))
        why = f'Post "https://hook.default.svc:{made.port}/s?timeout=5s": service "hook" not found'
        error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
        assert error.message.endswith(why)
        spec = {"ports": [{"port": made.port}]}
        await client.create(
            kinds.SERVICE, {"metadata": {"name": "hook"}, "spec": {**spec, "clusterIP": "None"}}, "default"
        )
        error = await refused(client.create(kinds.CONFIG_MAP, config("no"), "n"))
        assert error.message.endswith('no endpoints available for service "hook"')
        await client.delete(kinds.SERVICE, "hook", "default")
        outside = {"type": "ExternalName", "externalName": "localhost"}
        await client.create(kinds.SERVICE, {"metadata": {"name": "hook"}, "spec": outside}, "default")
        await client.create(kinds.CONFIG_MAP, config("a"), "n")
        await client.create(kinds.CONFIG_MAP, config("b"), "n")
        assert made.paths == ["/s?timeout=5s"] * 2
        # The second question went over the first one's connection.
        assert len(made.connections) == 1

    play(tmp_path, test)


def test_patches_change_what_is_stored_and_defaults_follow(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await change(client, hook(made, **rule("pods")))
        container = {"name": "side", "image": "i"}
        made.answer = lambda _: patch(add("/spec/containers/-", container), add("/metadata/labels", {"x": "y"}))
        body = {"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        pod = await client.create(kinds.POD, body, "n")
        asked = made.asked[0]
        assert "name" not in asked and "uid" not in asked["object"]["metadata"]
        side = pod["spec"]["containers"][1]
        assert side["imagePullPolicy"] == "Always" and side["terminationMessagePath"] == "/dev/termination-log"
        # The phase is run once more, so that what the server's own plugins do is done to it, too.
        assert [mount["mountPath"] for mount in side["volumeMounts"]] == [
            "/var/run/secrets/kubernetes.io/serviceaccount"
        ]
        assert pod["metadata"]["labels"] == {"x": "y"}
        assert len(made.asked) == 1
        for answer, why in (
            (patch(add("/nowhere/deep", 1)), "Internal error occurred: "),
            ({"allowed": True, "patch": "W10="}, "webhook returned response.patch but not response.patchType"),
            ({"allowed": True, "patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
            ({"allowed": True, "patchType": "Merge", "patch": "W10="}, 'unsupported patch type "Merge"'),
        ):
            made.answer = lambda _, answer=answer: answer  # type: ignore[misc]
            error = await refused(client.create(kinds.POD, body, "n"))
            assert error.status_code == 500 and why in error.message, error.message
        # What a webhook made is validated like everything else.
        made.answer = lambda _: patch(add("/metadata/labels", {"x": "not valid"}))
        assert isinstance(await refused(client.create(kinds.POD, body, "n")), errors.Invalid)

    play(tmp_path, test)


def test_hooks_are_asked_in_order_of_names_and_again_when_needed(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        def named(name: str, **more: Any) -> dict[str, Any]:
            return hook(made, name, clientConfig=made.config(f"/{name[0]}"), **more)

        await change(client, named("b.hook.test", reinvocationPolicy="IfNeeded"), named("a.hook.test"), name="z")
        await change(client, named("c.hook.test", reinvocationPolicy="IfNeeded"), name="y")

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            seen = request["object"]["data"]
            if made.paths[-1].startswith("/a") and "a2" not in seen:
                return patch(add("/data/a2", "x"))
            return {"allowed": True}

        made.answer = answer
        await client.create(kinds.CONFIG_MAP, config("m"), "n")
        # y before z; then those that wish it and were asked before the change are asked once more.
        assert [path[1] for path in made.paths] == ["c", "b", "a", "c", "b"]
        assert "a2" in made.asked[3]["object"]["data"]

    play(tmp_path, test)


def test_a_hook_sees_what_those_before_it_made(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        marked = {"objectSelector": {"matchLabels": {"marked": "yes"}}}
        second = hook(made, "b.hook.test", clientConfig=made.config("/b"), **marked)
        await change(client, hook(made, clientConfig=made.config("/a")), second)
        made.answer = lambda request: (
            patch(add("/metadata/labels", {"marked": "yes"})) if made.paths[-1].startswith("/a") else {"allowed": True}
        )
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "m"}}, "n")
        assert [path[1] for path in made.paths] == ["a", "b"]

    play(tmp_path, test)


def test_selectors_rules_and_scopes(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        made.answer = lambda _: {"allowed": False}
        spaced: dict[str, Any] = {"namespaceSelector": {"matchLabels": {"hooked": "yes"}}}
        labelled: dict[str, Any] = {"objectSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}
        await guard(client, hook(made, **spaced, **labelled))
        await client.create(kinds.CONFIG_MAP, config("a"), "n")
        await client.create(kinds.CONFIG_MAP, config("b", x="y"), "default")
        await refused(client.create(kinds.CONFIG_MAP, config("c", x="y"), "n"))
        await client.delete(VALIDATING, "guard")

        # Cluster-scoped objects know no namespace's labels; a namespace has its own.
        await guard(client, hook(made, **rule("*", scope="Cluster"), **spaced))
        await client.create(kinds.CONFIG_MAP, config("d"), "n")
        await client.create(kinds.NAMESPACE, {"metadata": {"name": "free"}})
        await refused(client.create(kinds.NAMESPACE, {"metadata": {"name": "m", "labels": {"hooked": "yes"}}}))
        await refused(client.create(kinds.NODE, {"metadata": {"name": "m"}}))
        # Webhooks decide nothing about webhooks.
        await guard(client, hook(made, **rule("*", "*", group="*", version="*")), name="all")
        await client.delete(VALIDATING, "all")
        await client.delete(VALIDATING, "guard")

        # Deletions and changes show what was.
        await guard(client, hook(made, **rule("*/*", "*")))
        error = await refused(client.delete(kinds.CONFIG_MAP, "a", "n"))
        assert "denied the request" in error.message
        asked = made.asked[-1]
        assert asked["object"] is None and asked["oldObject"]["metadata"]["name"] == "a"
        assert asked["options"]["kind"] == "DeleteOptions"
        await refused(client.delete_collection(kinds.CONFIG_MAP, "n"))
        assert made.asked[-1]["operation"] == "DELETE" and made.asked[-1]["name"] == "a"
        await refused(client.patch(kinds.CONFIG_MAP, "a", {"data": {"c": "d"}}, "n"))
        asked = made.asked[-1]
        assert asked["operation"] == "UPDATE" and asked["oldObject"]["data"] == {"a": "b"}
        assert asked["object"]["data"] == {"a": "b", "c": "d"} and asked["options"]["kind"] == "PatchOptions"

    play(tmp_path, test)


def test_other_versions_are_shown_as_the_webhook_wants_them(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        asks_v1 = rule("horizontalpodautoscalers", group="autoscaling", version="v1")
        await guard(client, hook(made, **asks_v1))
        await guard(client, hook(made, **asks_v1, matchPolicy="Exact"), name="exact")
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        metric = {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 7}},
        }
        spec = {"scaleTargetRef": target, "maxReplicas": 2, "metrics": [metric]}
        await client.create(kinds.HORIZONTAL_POD_AUTOSCALER, {"metadata": {"name": "h"}, "spec": spec}, "n")
        (asked,) = made.asked
        assert asked["kind"]["version"] == "v1" and asked["requestKind"]["version"] == "v2"
        assert asked["object"]["apiVersion"] == "autoscaling/v1"
        assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 7

    play(tmp_path, test)


def test_parts_of_objects_are_shown_as_what_they_are(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await guard(client, hook(made, **rule("*/*", "*", group="*", version="*")))
        await client.create(kinds.NODE, {"metadata": {"name": "m"}})
        body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await client.create(kinds.POD, body, "n")
        at = "/api/v1/namespaces/n/pods/p"
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p"},
            "target": {"kind": "Node", "name": "m"},
        }
        await client.request("POST", f"{at}/binding", body=binding)
        asked = made.asked[-1]
        assert (asked["operation"], asked["subResource"], asked["kind"]["kind"]) == ("CREATE", "binding", "Binding")
        assert asked["object"]["target"]["name"] == "m"
        await client.patch(kinds.POD, "p", {"status": {"message": "m"}}, "n", subresource="status")
        assert (made.asked[-1]["operation"], made.asked[-1]["subResource"]) == ("UPDATE", "status")
        template = {"metadata": {"labels": {"a": "b"}}, "spec": body["spec"]}
        spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        await client.create(kinds.DEPLOYMENT, {"metadata": {"name": "d"}, "spec": spec}, "n")
        await client.patch(kinds.DEPLOYMENT, "d", {"spec": {"replicas": 3}}, "n", subresource="scale")
        asked = made.asked[-1]
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert asked["object"]["spec"] == {"replicas": 3} and asked["oldObject"]["spec"] == {"replicas": 1}
        made.answer = lambda _: {"allowed": False, "status": {"message": "stay out"}}
        error = await refused(client.request("POST", f"{at}/exec", query={"command": "sh", "stdin": "true"}))
        assert error.message.endswith("denied the request: stay out")
        asked = made.asked[-1]
        assert asked["operation"] == "CONNECT" and asked["subResource"] == "exec" and asked["name"] == "p"
        assert asked["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", "stdin": True, "command": ["sh"]}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        await refused(client.request("POST", f"{at}/eviction", body=eviction))
        assert made.asked[-1]["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}

    play(tmp_path, test)


REVIEWS = "/apis/authorization.k8s.io/v1"


def test_reviews_and_parts_are_answered_as_hooks_leave_them(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        group = "authorization.k8s.io"
        rows = [
            *rule("subjectaccessreviews", group=group)["rules"],
            *rule("localsubjectaccessreviews", group=group)["rules"],
            *rule("serviceaccounts/token")["rules"],
            *rule("pods/eviction")["rules"],
        ]
        await change(client, hook(made, rules=rows))
        asked = {"spec": {"user": "somebody", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
        made.answer = lambda _: patch({"op": "replace", "path": "/spec/user", "value": "another"})
        answer = await client.request("POST", f"{REVIEWS}/subjectaccessreviews", body=asked)
        assert answer["spec"]["user"] == "another" and "allowed" in answer["status"]
        # Of a namespace that is not there nothing may be told.
        local = {**asked, "spec": {"user": "somebody", "resourceAttributes": {"verb": "get", "namespace": "no"}}}
        answer = await client.request("POST", f"{REVIEWS}/namespaces/no/localsubjectaccessreviews", body=local)
        assert answer["spec"]["user"] == "another"
        made.answer = lambda _: patch(add("/spec", {"audiences": ["a"], "expirationSeconds": 7200}))
        at = "/api/v1/namespaces/n/serviceaccounts/default/token"
        token = await client.request("POST", at, body={"spec": {"expirationSeconds": 600}})
        assert (token["spec"]["expirationSeconds"], token["spec"]["audiences"]) == (7200, ["a"])
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await client.create(kinds.POD, pod, "n")
        made.answer = lambda _: patch(add("/deleteOptions", {"dryRun": ["All"]}))
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        await client.request("POST", "/api/v1/namespaces/n/pods/p/eviction", body=eviction)
        assert "deletionTimestamp" not in (await client.get(kinds.POD, "p", "n"))["metadata"]

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("authentication.k8s.io/v1/tokenreviews", {"token": "t"}),
        ("authentication.k8s.io/v1/selfsubjectreviews", None),
        ("authorization.k8s.io/v1/subjectaccessreviews", {"user": "u", "nonResourceAttributes": {"path": "/"}}),
        ("authorization.k8s.io/v1/selfsubjectaccessreviews", {"nonResourceAttributes": {"path": "/"}}),
        ("authorization.k8s.io/v1/selfsubjectrulesreviews", {"namespace": "n"}),
    ],
)
def test_a_hook_may_refuse_any_review(tmp_path: Path, path: str, spec: dict[str, Any] | None) -> None:
    async def test(client: Client, made: Backend) -> None:
        group, _, resource = path.split("/")
        body = {} if spec is None else {"spec": spec}
        await client.request("POST", f"/apis/{path}", body=body)
        await guard(client, hook(made, **rule(resource, group=group)))
        made.answer = lambda _: {"allowed": False, "status": {"message": "ask nobody"}}
        error = await refused(client.request("POST", f"/apis/{path}", body=body))
        assert error.message.endswith("denied the request: ask nobody")

    play(tmp_path, test)


def test_dry_runs_reach_only_hooks_without_side_effects(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await guard(client, hook(made, sideEffects="NoneOnDryRun"))
        dry: dict[str, Any] = {
            "query": {"dryRun": "All"},
            "body": {"apiVersion": "v1", "kind": "ConfigMap", **config("m")},
        }
        await client.request("POST", "/api/v1/namespaces/n/configmaps", **dry)
        assert made.asked[-1]["dryRun"] is True

    play(tmp_path, test)


def test_warnings_and_the_older_review(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await guard(client, hook(made, admissionReviewVersions=["v0", "v1beta1"]))
        made.answer = lambda _: {"uid": "", "allowed": True, "warnings": ["mind the gap"]}
        path, body = "/api/v1/namespaces/n/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **config("m")}
        status, warnings = await warned(tmp_path, client, "POST", path, body)
        assert status == 201 and warnings == ['299 - "mind the gap"']
        await client.patch(VALIDATING, "guard", {"metadata": {"labels": {"a": "b"}}})
        made.answer = lambda _: {"allowed": False, "warnings": ["told you"]}
        body["metadata"] = {"name": "k"}
        assert await warned(tmp_path, client, "POST", path, body) == (400, ['299 - "told you"'])

    play(tmp_path, test)


def test_what_every_cluster_has_is_made_without_asking(tmp_path: Path) -> None:
    """A hook whose own pods need the cluster must not keep the cluster from starting."""

    async def main() -> None:
        async with stage(tmp_path) as (client, made):
            dead = hook(made, clientConfig={"url": "https://127.0.0.1:1/x"}, **rule("*", "*", group="*", version="*"))
            await guard(client, dead)
        async with serving(tmp_path, advertise_address="192.0.2.9") as client:
            found = await client.get(kinds.ENDPOINT_SLICE, "kubernetes", "default")
            assert found["endpoints"][0]["addresses"] == ["192.0.2.9"]
            await refused(client.create(kinds.CONFIG_MAP, config("no"), "default"))

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize(
    ("resources", "kind", "subresource", "matches"),
    [
        (("*",), kinds.POD, "", True),
        (("*",), kinds.POD, "status", False),
        (("*/*",), kinds.POD, "status", True),
        (("*/*",), kinds.POD, "", True),
        (("pods/*",), kinds.POD, "exec", True),
        (("pods/*",), kinds.POD, "", True),
        (("*/scale",), kinds.DEPLOYMENT, "scale", True),
        (("*/scale",), kinds.DEPLOYMENT, "", False),
        (("pods/status",), kinds.POD, "", False),
        (("services",), kinds.POD, "", False),
    ],
)
def test_resources_of_rules(resources: tuple[str, ...], kind: kinds.Kind, subresource: str, matches: bool) -> None:
    assert Rule(("*",), ("*",), ("*",), resources).matches(kind, subresource, "UPDATE") is matches


def test_a_server_s_own_certificate_is_trusted_when_the_bundle_holds_it(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        own = base64.b64encode((tmp_path / "hook.crt").read_bytes()).decode()
        await guard(client, hook(made, clientConfig={**made.config(), "caBundle": own}))
        await client.create(kinds.CONFIG_MAP, config("m"), "n")
        assert len(made.asked) == 1

    play(tmp_path, test)
