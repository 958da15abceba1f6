"""Objects in etcd as upstream's tools and its API server find them: below /registry/pods/NAMESPACE/NAME and so on.

A value is the object's JSON with kind and apiVersion, which upstream's API server reads as well as the protobuf that it
writes itself for built-in kinds; that is read here, too. Encrypted values are not. What is no built-in kind says its
version itself, for it may lie there in several.
"""

from __future__ import annotations

import re

import orjson

from apimachinery import protobuf
from controlplane.apiserver.cache.cache import NO_OBJECT
from controlplane.apiserver.cache.entry import encode, head_of, kind_of
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.resource import Resource

# What API servers keep there beside objects, and have to hear of.
OWN = ("masterleases",)
_ENCRYPTED = b"k8s:enc:"
# How a custom resource begins: with its kind, and as it is kept here.
_VERSIONED = re.compile(rb'(\{"apiVersion":"[^"\\]+"),"kind":"[^"\\]+"(?=,"metadata":\{)')
_PLAIN = re.compile(rb'\{"apiVersion":"[^"\\]+",')


class UpstreamLayout:
    """controlplane.store.Layout for the kinds of a catalog, and of others that may come to it."""

    def __init__(self, catalog: Catalog) -> None:
        self._folders: dict[str, str] = {}
        self._storages: dict[str, str] = {}
        self._heads: dict[str, bytes] = {}
        # Of what lies there in several versions, the kind alone.
        self._kinds: dict[str, bytes] = {}
        for row in catalog:
            self._follow(row, True)
        catalog.follow(self._follow)

    def _follow(self, row: Resource, there: bool) -> None:
        storage = row.kind.storage
        if row.custom is not None:
            self._kinds[storage] = kind_of(head_of(row.kind))
        if not there or not row.kept or row.custom is not None or storage in self._heads:
            return
        folder = self._folders[storage] = row.folder
        self._storages[folder] = storage
        self._heads[storage] = head_of(row.kind)

    def place(self, key: str) -> str:
        if key.startswith(NO_OBJECT):
            return key[len(NO_OBJECT) :].replace("//", "/")
        storage, namespace, name = key.split("/", 2)
        folder = self._folders.get(storage)
        if folder is None:
            plural, _, group = storage.partition(".")
            folder = f"{group}/{plural}" if group else plural
        return f"{folder}/{namespace}/{name}" if namespace else f"{folder}/{name}"

    def key(self, place: str) -> str | None:
        parts = place.split("/")
        if parts[0] in OWN:
            return _key(NO_OBJECT + parts[0], parts[1:])
        for length in (2, 1):
            if storage := self._storages.get("/".join(parts[:length])):
                return _key(storage, parts[length:])
        if len(parts) > 2 and "." in parts[0]:
            return _key(f"{parts[1]}.{parts[0]}", parts[2:])
        return None

    def outward(self, key: str, value: bytes) -> bytes:
        storage = key.partition("/")[0]
        if head := self._heads.get(storage):
            return head + value[1:]
        if (kind := self._kinds.get(storage)) and (plain := _PLAIN.match(value)):
            return plain[0] + kind + value[plain.end() :]
        return value

    def inward(self, key: str, value: bytes) -> bytes:
        head = self._heads.get(key.partition("/")[0])
        if head and value.startswith(head):
            return b"{" + value[len(head) :]
        if not head and (plain := _VERSIONED.match(value)):
            return plain[1] + value[plain.end() :]
        if key.startswith(NO_OBJECT):
            return value
        if value.startswith(_ENCRYPTED):
            raise ValueError("it is encrypted")
        try:
            obj = protobuf.decode(value) if protobuf.is_protobuf(value) else orjson.loads(value)
            return encode(obj, versioned=not head)
        except (protobuf.ProtobufError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no object: {error}") from error


def _key(storage: str, rest: list[str]) -> str | None:
    if len(rest) == 1:
        return f"{storage}//{rest[0]}"
    return f"{storage}/{rest[0]}/{rest[1]}" if len(rest) == 2 else None
