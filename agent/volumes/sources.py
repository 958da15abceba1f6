"""API objects as the files of a volume: fetched here, laid out by `payload`. A new source is a row in `SOURCES`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from agent import podspec
from agent.failures import VolumeError
from agent.objects.cache import Objects
from agent.volumes import payload
from agent.volumes.payload import Payload
from apimachinery.objects import Obj

Source = Mapping[str, Any]
# (pod, source, objects, mode of files that name none; None: the source's own default).
Reader = Callable[[Obj, Source, Objects, int | None], Awaitable[Payload]]


async def read(kind: str, pod: Obj, source: Source, objects: Objects) -> Payload:
    """The files of a volume of `kind`. Raises VolumeError, PayloadError."""
    if kind == "projected":
        return await _projected(pod, source, objects)
    return await SOURCES[kind](pod, source, objects, None)


async def _projected(pod: Obj, source: Source, objects: Objects) -> Payload:
    mode = source.get("defaultMode", payload.DEFAULT_MODE)
    parts = []
    for part in source.get("sources") or []:
        for kind, body in part.items():
            if body is None:
                continue
            if kind not in SOURCES:
                raise VolumeError(f"projected source {kind} is not supported")
            parts.append(SOURCES[kind](pod, body, objects, mode))
    return payload.merge(await asyncio.gather(*parts))


async def _config_map(pod: Obj, source: Source, objects: Objects, mode: int | None) -> Payload:
    name = source.get("name", "")
    found = await objects.config_maps(pod, [name], VolumeError)
    return payload.config_map_payload(source, found.get(name), mode)


async def _secret(pod: Obj, source: Source, objects: Objects, mode: int | None) -> Payload:
    name = source.get("secretName") or source.get("name", "")
    found = await objects.secrets(pod, [name], VolumeError)
    return payload.secret_payload(source, found.get(name), mode)


async def _downward(pod: Obj, source: Source, objects: Objects, mode: int | None) -> Payload:
    return payload.downward_payload(source, pod, objects.allocatable(), mode)


async def _token(pod: Obj, source: Source, objects: Objects, mode: int | None) -> Payload:
    seconds = int(source.get("expirationSeconds") or 3600)
    token = await objects.token(pod, source.get("audience", ""), seconds)
    file_mode = payload.DEFAULT_MODE if mode is None else mode
    return payload.token_payload(source, token, file_mode, podspec.fs_group(pod), payload.single_user(pod))


SOURCES: Mapping[str, Reader] = MappingProxyType(
    {
        "configMap": _config_map,
        "secret": _secret,
        "downwardAPI": _downward,
        "serviceAccountToken": _token,
    }
)
