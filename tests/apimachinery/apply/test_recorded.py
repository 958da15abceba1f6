"""Upstream's recorded conversations about apply, step by step, each from the object that upstream had."""

import datetime
import json
import re
import urllib.parse
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.apply import apply, track_update
from apimachinery.schema import Schema
from tests.apimachinery import golden

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
STATUS_ENDPOINT = [("spec",), ("metadata", "labels")]
# What a lone function cannot know: other versions of the object, other subresources, masked times and uids.
BEYOND = ("versions:", "scale", "autoscaler", "over time", "ownerReferences by uid", "namespace and limitrange")


def filled(value: Any, answers: list[Any]) -> Any:
    def look(match: re.Match[str]) -> Any:
        step, *rest = match[1].split(".")
        found = answers[int(step)]
        for part in rest:
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found

    if isinstance(value, dict):
        return {key: filled(item, answers) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, answers) for item in value]
    if isinstance(value, str) and (match := re.fullmatch(r"\$\{([^}]+)\}", value)):
        return look(match)
    return value


def entries(found: Any) -> list[str]:
    """Entries to compare: times only by whether they are there."""
    return sorted(json.dumps({**entry, "time": "time" in entry}, sort_keys=True) for entry in found or [])


class Conversation:
    """The objects of one case by path, as upstream left them."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.answers: list[Any] = []
        self.compared = 0

    def step(self, step: dict[str, Any]) -> None:
        answer: Any = step.get("answer")
        self.answers.append(answer)
        url = urllib.parse.urlparse(step["path"])
        query = dict(urllib.parse.parse_qsl(url.query))
        base, _, sub = url.path.partition("/status")
        sub = "status" if url.path.endswith("/status") else ""
        named = isinstance(answer, dict) and "name" in (answer.get("metadata") or {})
        if step["method"] == "POST" and named:
            base = f"{base}/{answer['metadata']['name']}"
        live = self.objects.get(base)
        media = {key.lower(): value for key, value in (step.get("headers") or {}).items()}.get("content-type", "")
        body = filled(step.get("body"), self.answers)
        done = step["status"] < 300 and named
        if "apply-patch" in media:
            self.apply(step, live, body, query, sub)
        elif done and step["method"] in ("POST", "PUT", "PATCH") and answer["kind"] == "ConfigMap":
            self.update(step, live, body, query)
        if done and "dryRun" not in query and step["method"] != "DELETE":
            self.objects[base] = answer
        elif step["method"] == "DELETE":
            self.objects.pop(base, None)

    def apply(self, step: Any, live: Any, body: Any, query: dict[str, str], sub: str) -> None:
        if not isinstance(body, dict) or not body.get("kind") or step["status"] in (400, 404, 405, 415, 422):
            return
        node = Schema.load().node(body.get("apiVersion", ""), body["kind"])
        expected = step["answer"]
        if node is None or "fieldManager" not in query:
            return
        others = ("Operation cannot", "ParseUint", "convert")
        if any(other in (expected.get("message") or "") for other in others):
            return
        self.compared += 1
        try:
            result = apply(
                live,
                body,
                manager=query["fieldManager"],
                node=node,
                now=NOW,
                force=query.get("force") == "true",
                subresource=sub,
                ignored=STATUS_ENDPOINT if sub else [("status",)],
            )
        except errors.ApiError as error:
            assert (error.status_code, error.message) == (step["status"], expected["message"])
            return
        assert step["status"] < 300, expected["message"]
        assert entries(result["metadata"].get("managedFields")) == entries(expected["metadata"].get("managedFields"))

    def update(self, step: Any, live: Any, body: Any, query: dict[str, str]) -> None:
        if isinstance(body, list | str) or (live is None and step["method"] != "POST"):
            return
        expected = step["answer"]
        new = {**expected, "metadata": {**expected["metadata"]}}
        new["metadata"].pop("managedFields", None)
        if (given := (body.get("metadata") or {}).get("managedFields")) is not None:
            new["metadata"]["managedFields"] = given
        agent = {key.lower(): value for key, value in (step.get("headers") or {}).items()}.get("user-agent", "golden")
        node = Schema.load().node("v1", "ConfigMap")
        assert node is not None
        manager = query.get("fieldManager") or agent.split("/")[0]
        self.compared += 1
        found = track_update(live, new, manager=manager, node=node, now=NOW)
        assert entries(found) == entries(expected["metadata"].get("managedFields"))


@pytest.mark.parametrize(
    ("name", "least"),
    [("apply.json", 50), ("apply-conflicts.json", 70), ("apply-lists.json", 60), ("tracking.json", 40)],
)
def test_recorded(name: str, least: int) -> None:
    compared = 0
    for case in golden.cases(f"patches-{name}"):
        if any(word in case["name"] for word in BEYOND):
            continue
        conversation = Conversation()
        for step in case["steps"]:
            try:
                conversation.step(step)
            except AssertionError as error:
                raise AssertionError(f"{case['name']}, step {len(conversation.answers) - 1}: {error}") from None
        compared += conversation.compared
    assert compared >= least
