"""Who may use the agent's API: asked of an API server that knows three users, and remembered for a while."""

import asyncio
from typing import cast

import pytest

from agent.server.access import Question, question
from agent.server.authorize import Gate
from apimachinery import errors
from apimachinery.client import Client
from apimachinery.delegation import AUTHENTICATED, REMEMBERED, Memory, Peer, bearer_token, peer_of
from apimachinery.kinds import SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW

PROMETHEUS = "system:serviceaccount:mon:prometheus"
SUBJECT = ((("commonName", "carol"),), (("organizationName", "ops"),))


class ApiServer:
    """The two reviews. `rights` are (user or group, verb, subresource)."""

    def __init__(self):
        self.tokens = {"good": {"username": PROMETHEUS, "uid": "7", "groups": ["system:serviceaccounts"]}}
        self.rights = {(PROMETHEUS, "get", "metrics"), ("carol", "get", "proxy"), ("ops", "create", "proxy")}
        self.asked = []
        self.trouble = None

    async def create(self, kind, obj):
        if self.trouble is not None:
            raise self.trouble
        spec = obj["spec"]
        self.asked.append((kind.kind, spec.get("resourceAttributes", {}).get("subresource", "")))
        if kind is TOKEN_REVIEW:
            user = self.tokens.get(spec["token"])
            return {"status": {"authenticated": True, "user": user} if user else {"user": {}, "error": "no"}}
        assert kind is SUBJECT_ACCESS_REVIEW
        wanted = spec["resourceAttributes"]
        assert (wanted["resource"], wanted["name"], wanted["version"]) == ("nodes", "n1", "v1")
        assert AUTHENTICATED in spec["groups"]
        who = (spec["user"], *spec["groups"])
        return {"status": {"allowed": any((w, wanted["verb"], wanted["subresource"]) in self.rights for w in who)}}


def play(scenario):
    at, clock = ApiServer(), [0.0]
    gate = Gate(cast(Client, at), "n1", lambda: clock[0])

    async def ask(method, path, subject=None, authorization=""):
        return await gate.refusal(subject, authorization, method, path)

    asyncio.run(scenario(at, ask, clock))


def test_a_token_may_what_its_account_may():
    async def scenario(at, ask, clock):
        assert await ask("GET", "/metrics/resource", authorization="Bearer good") is None
        assert await ask("POST", "/exec/a/b/c", authorization="Bearer good") == (
            403,
            f"Forbidden (user={PROMETHEUS}, verb=create, resource=nodes, subresource(s)=[proxy])",
        )
        assert await ask("GET", "/metrics", authorization="Bearer bad") == (401, "Unauthorized")
        assert await ask("GET", "/metrics") == (401, "Unauthorized")

    play(scenario)


def test_a_certificate_goes_before_a_token_and_its_groups_count():
    async def scenario(at, ask, clock):
        assert await ask("POST", "/run/a/b/c", SUBJECT, "Bearer good") is None
        assert at.asked == [("SubjectAccessReview", "proxy")]
        assert (await ask("GET", "/metrics", SUBJECT, "Bearer good"))[0] == 403

    play(scenario)


def test_who_may_proxy_may_read_pods_too():
    async def scenario(at, ask, clock):
        assert await ask("GET", "/pods", SUBJECT) is None
        assert at.asked == [("SubjectAccessReview", "pods"), ("SubjectAccessReview", "proxy")]
        at.rights = {("carol", "get", "pods")}
        clock[0] = 1000.0
        assert await ask("GET", "/runningpods/", SUBJECT) is None
        assert (await ask("GET", "/containerLogs/a/b/c", SUBJECT))[1] == (
            "Forbidden (user=carol, verb=get, resource=nodes, subresource(s)=[proxy])"
        )
        assert "subresource(s)=[healthz proxy]" in (await ask("GET", "/healthz", SUBJECT))[1]

    play(scenario)


def test_answers_are_remembered_and_forgotten():
    async def scenario(at, ask, clock):
        async def both():
            return [await ask(verb, "/metrics", authorization="Bearer good") is None for verb in ("GET", "DELETE")]

        assert await both() == [True, False]
        count = len(at.asked)
        clock[0] = 29.0
        assert await both() == [True, False] and len(at.asked) == count
        clock[0] = 31.0  # a refusal is asked again
        assert await both() == [True, False] and len(at.asked) == count + 1
        at.tokens, at.rights = {}, set()
        clock[0] = 119.0
        assert (await both())[0]
        clock[0] = 121.0
        assert await ask("GET", "/metrics", authorization="Bearer good") == (401, "Unauthorized")

    play(scenario)


def test_without_an_answer_nobody_new_comes_in():
    async def scenario(at, ask, clock):
        assert await ask("GET", "/containerLogs/a/b/c", SUBJECT) is None
        at.trouble = errors.Unreachable("away")
        assert await ask("GET", "/containerLogs/a/b/c", SUBJECT) is None
        assert (await ask("PUT", "/exec/a/b/c", SUBJECT))[0] == 500
        assert await ask("GET", "/metrics", authorization="Bearer good") == (401, "Unauthorized")

    play(scenario)


def test_a_node_alone_lets_in_who_it_knows():
    async def main():
        gate = Gate(None, "n1")

        async def ask(name, group="x"):
            subject = ((("commonName", name),), (("organizationName", group),))
            return await gate.refusal(subject, "", "GET", "/pods")

        assert await ask("kube-apiserver-kubelet-client") is None
        assert await ask("anybody", "system:masters") is None
        assert (await ask("anybody"))[0] == 403
        assert await gate.refusal(None, "Bearer good", "GET", "/pods") == (401, "Unauthorized")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "/stats/summary", "get", ("stats",)),
        ("GET", "/logs/", "get", ("log",)),
        ("POST", "/portForward/ns/p", "create", ("proxy",)),
        ("HEAD", "/", "get", ("proxy",)),
        ("GET", "/configz", "get", ("configz", "proxy")),
        ("GET", "/healthz/ping", "get", ("healthz", "proxy")),
        ("GET", "/statusz", "get", ("statusz",)),
        ("GET", "/flagz", "get", ("configz",)),
        ("POST", "/checkpoint/ns/p/c", "create", ("checkpoint",)),
        ("BREW", "/metrics", "", ("metrics",)),
    ],
)
def test_what_a_request_is_about(method, path, verb, subresources):
    assert question(method, path) == Question(verb, subresources)


def test_credentials():
    assert peer_of(SUBJECT) == Peer("carol", ("ops", AUTHENTICATED))
    assert peer_of(None) is None and peer_of(((("organizationName", "o"),),)) is None
    assert [bearer_token(h) for h in ("Bearer a", "bearer  a ", "Basic a", "", "a")] == ["a", "a", "", "", ""]


def test_memory_is_bounded():
    memory = Memory[int, int](lambda: 0.0)
    for number in range(REMEMBERED + 1):
        memory.put(number, number, 1.0)
    assert memory.get(0) is None and memory.get(1) == (1,)
