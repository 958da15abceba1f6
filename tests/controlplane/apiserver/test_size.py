"""What may be stored is bounded as upstream's store bounds it, and bodies are taken as they come."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import orjson
import pytest

from apimachinery import errors
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver.registry.size import LIMIT, bounded
from tests.controlplane.apiserver.server import DEADLINE, serving


def config_map(size: int, letter: str = "x", **metadata: object) -> dict:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "c", **metadata},
        "data": {"k": letter * size},
    }


def test_an_object_beyond_the_limit_is_refused_in_upstreams_words() -> None:
    assert len(bounded(config_map(LIMIT - 1000), False)) < LIMIT
    with pytest.raises(errors.ApiError, match="etcdserver: request is too large") as refused:
        bounded(config_map(LIMIT), False)
    assert (refused.value.status_code, refused.value.reason) == (500, "")


def test_what_is_larger_as_json_alone_is_no_reason() -> None:
    assert len(bounded(config_map(LIMIT - 1000, "\n"), False)) > LIMIT


def test_managed_fields_go_first_unless_they_are_the_matter() -> None:
    managed = [{"manager": "m", "fieldsV1": {f"f:{n}": {} for n in range(60_000)}}]
    obj = config_map(LIMIT - 200_000, managedFields=managed)
    with pytest.raises(errors.ApiError):
        bounded(obj, True)
    assert b"managedFields" not in bounded(obj, False)


def test_a_compressed_body_is_not_unfolded(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as client:
            raw = gzip.compress(orjson.dumps(config_map(100_000_000)))
            session = client._session
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            url = f"{client._server}{CONFIG_MAP.path('default')}"
            async with session.post(url, data=raw, headers=headers) as answer:
                assert answer.status == 400
                assert "unrecognized" in (await answer.json())["message"]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
