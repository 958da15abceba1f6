"""A list that comes in pages."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from apimachinery.objects import Obj

PAGES: dict[str, Obj] = {
    "": {"metadata": {"resourceVersion": "7", "continue": "two"}, "items": [{"n": 1}, {"n": 2}]},
    "two": {"metadata": {"resourceVersion": "7", "continue": "three"}, "items": None},
    "three": {"metadata": {"resourceVersion": "7"}, "items": [{"n": 3}]},
}


class Paged(Client):
    """Answers lists from PAGES."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def request(self, *_: Any, query: Any = None, **__: Any) -> Obj:
        self.asked.append(dict(query))
        return PAGES[query.get("continue", "")]


def test_pages_are_joined_and_each_is_transformed_before_the_next_is_asked_for() -> None:
    client = Paged()
    seen: list[tuple[int, int]] = []

    def transform(obj: Obj) -> Obj:
        assert obj["kind"] == "ConfigMap"
        seen.append((obj["n"], len(client.asked)))
        return {"n": -obj["n"]}

    asking = client.list(CONFIG_MAP, resource_version="0", limit=2, transform=transform)
    found = asyncio.run(asking)
    assert found["items"] == [{"n": -1}, {"n": -2}, {"n": -3}] and found["metadata"]["resourceVersion"] == "7"
    assert seen == [(1, 1), (2, 1), (3, 3)]
    assert client.asked == [
        {"limit": "2", "resourceVersion": "0"},
        {"limit": "2", "continue": "two"},
        {"limit": "2", "continue": "three"},
    ]
