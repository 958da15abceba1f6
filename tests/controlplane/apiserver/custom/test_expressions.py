"""Expressions of a definition's schema hold nobody but the author of the object."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.cel.evaluation.budget import Unfinished
from apimachinery.client import Client
from controlplane.apiserver import offloop
from tests.controlplane.apiserver.custom.definitions import V1, boat, definition, of_type, version
from tests.controlplane.apiserver.custom.test_served import established
from tests.controlplane.apiserver.server import run

RULE = "self.all(a, self.all(b, self.all(c, a + b + c < 48)))"


def test_what_takes_long_is_done_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[str] = []
    done = offloop._done

    def noted(function: Callable[[], Any]) -> Any:
        beside.append(threading.current_thread().name)
        return done(function)

    monkeypatch.setattr(offloop, "_done", noted)
    ruled = {
        "type": "array",
        "maxItems": 40,
        "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": RULE}],
    }
    given = version(schema={"openAPIV3Schema": of_type({"spec": of_type({"masts": ruled})})}, subresources={})

    async def test(client: Client) -> None:
        await established(client, definition(given))
        beside.clear()
        await client.create(V1, boat("quick", masts=[1, 2]))
        assert not beside
        assert (await client.create(V1, boat("slow", masts=[*range(16)])))["spec"]["masts"][-1] == 15
        assert beside and threading.current_thread().name not in beside
        with pytest.raises(errors.Invalid) as refused:
            await client.create(V1, boat("wrong", masts=[*range(18)]))
        assert str(refused.value).endswith(f"spec.masts: Invalid value: failed rule: {RULE}")

    run(tmp_path, test)


def test_work_is_begun_once_more_only_where_others_wait() -> None:
    begun: list[bool] = []

    def work() -> int:
        begun.append(offloop.on_loop())
        if begun[-1]:
            raise Unfinished
        return 7

    async def main() -> None:
        assert await offloop.begun(10, work) == 7 and begun == [True, False]
        assert await offloop.begun(offloop.LARGE, work) == 7 and begun == [True, False, False]

    asyncio.run(main())
    assert not offloop.on_loop()
