"""Paths and operations of the API, from the kinds table: both OpenAPI versions are rendered from them."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from apimachinery.kinds import Kind, Subresource
from controlplane.apiserver.formats import media
from controlplane.apiserver.openapi.schemas import Types

STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
RESOURCES = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

WRITES = (("update", "put", "put", "replace"), ("patch", "patch", "patch", "patch"))
CONNECT_METHODS = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}
_ATTACH = ("container", "stderr", "stdin", "stdout", "tty")
# What is streamed, and the parameters that it takes.
STREAMS = {"attach": _ATTACH, "exec": ("command", *_ATTACH), "portforward": ("ports",), "proxy": ("path",)}
ANYTHING = ("*/*",)
_WORDS = re.compile(r"[A-Za-z0-9]+")
LIST_PARAMETERS = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
DELETE_PARAMETERS = (
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    `group_version_kind` is (group, version, kind); body and answer are definition names, reads and writes the media
    types of the two. action is "" for what is asked of no kind.
    """

    method: str
    action: str
    identity: str
    tag: str
    summary: str
    group_version_kind: tuple[str, str, str]
    parameters: tuple[str, ...] = ()
    body: str = ""
    answer: str = ""
    created: bool = False
    stream: bool = False
    reads: tuple[str, ...] = ANYTHING
    writes: tuple[str, ...] = (media.JSON, media.YAML, media.PROTOBUF)


@dataclass(frozen=True)
class PathItem:
    """parameters: those of the path itself. named: the kind of what its name names."""

    path: str
    parameters: tuple[str, ...]
    operations: tuple[Operation, ...]
    named: str = ""

    @cached_property
    def common(self) -> frozenset[str]:
        """The parameters of the query that all operations take."""
        return frozenset.intersection(*(frozenset(one.parameters) for one in self.operations))


def paths(
    kinds: Iterable[Kind], types: Types, returned: Container[Kind] = (), custom: Container[Kind] = ()
) -> Iterator[PathItem]:
    """What there is of each group version, and every resource path of the kinds, collections first. returned: the kinds
    whose deletion is answered with the object; custom: those of definitions, which upstream publishes as it does those
    alone."""
    seen: set[str] = set()
    for kind in kinds:
        of = _Kind(kind, types, kind in returned)
        if kind in custom:
            yield from (_as_custom(item, of.own) for item in of.paths())
            continue
        if kind.api_version not in seen:
            seen.add(kind.api_version)
            yield of.available()
        yield from of.paths()


def _as_custom(item: PathItem, own: tuple[str, str, str]) -> PathItem:
    """A path of a custom resource: `kubectl apply` and `diff` look for how an object of its kind can be patched."""
    return replace(item, operations=tuple(_custom(one, own) for one in item.operations), named=item.named and own[2])


def _custom(operation: Operation, own: tuple[str, str, str]) -> Operation:
    text, parameters, body = operation.summary, operation.parameters, operation.body
    match operation.action:
        case "get":
            parameters = ("resourceVersion",)
        case "list":
            text = text.replace("list or watch", "list")
        case "deletecollection":
            parameters, body = LIST_PARAMETERS, ""
    types = (media.JSON, media.YAML)
    return replace(
        operation,
        summary=text,
        parameters=parameters,
        group_version_kind=own,
        body=body,
        created=operation.created and operation.action != "patch",
        reads=media.CUSTOM_PATCHES if operation.action == "patch" else types,
        writes=types,
    )


def _article(noun: str) -> str:
    """Upstream's rule: none before what ends as a plural does."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return ""
    return "an " if noun[0].lower() in "aeiou" else "a "


class _Kind:
    def __init__(self, kind: Kind, types: Types, returned: bool) -> None:
        self.kind = kind
        self._types = types
        self._returned = returned
        first, *more = _WORDS.findall(kind.group.removesuffix(".k8s.io") or "core")
        words = first + "".join(part.capitalize() for part in more)
        self.tag = f"{words}_{kind.version}"
        self.title = words[0].upper() + words[1:] + kind.version.capitalize()
        self.own = (kind.group, kind.version, kind.kind)
        self.type = types.name(*self.own)
        self.list_type = types.name(kind.group, kind.version, kind.list_kind)

    def available(self) -> PathItem:
        text, name = "get available resources", f"get{self.title}APIResources"
        asked = Operation("get", "", name, self.tag, text, ("", "", ""), answer=RESOURCES)
        return PathItem(f"/{'apis' if self.kind.group else 'api'}/{self.kind.api_version}/", (), (asked,))

    def paths(self) -> Iterator[PathItem]:
        scope: tuple[str, ...] = ("namespace",) if self.kind.namespaced else ()
        collection = self.kind.path("{namespace}" if scope else None)
        if operations := self._collection():
            yield PathItem(collection, scope, operations)
        if operations := self._object():
            yield PathItem(f"{collection}/{{name}}", ("name", *scope), operations, self.kind.kind)
        for sub in self.kind.subresources.values():
            path = f"{collection}/{{name}}/{sub.name}"
            operations = self._subresource(sub)
            named = operations[0].group_version_kind[2]
            yield PathItem(path, ("name", *scope), operations, named)
            if sub.name == "proxy":
                below = tuple(replace(one, identity=f"{one.identity}WithPath") for one in operations)
                yield PathItem(path + "/{path}", ("name", *scope, "path"), below, named)
        if scope and "list" in self.kind.verbs:
            yield PathItem(self.kind.path(), (), (self._list("ForAllNamespaces"),))

    def _name(self, verb: str, suffix: str = "", namespaced: bool | None = None) -> str:
        inside = self.kind.namespaced if namespaced is None else namespaced
        many, verb = ("Collection", "delete") if verb == "deleteCollection" else ("", verb)
        return f"{verb}{self.title}{many}{'Namespaced' if inside else ''}{self.kind.kind}{suffix}"

    def _list(self, suffix: str = "") -> Operation:
        identity = self._name("list", suffix, namespaced=False if suffix else None)
        text = f"list {'or watch ' if 'watch' in self.kind.verbs else ''}objects of kind {self.kind.kind}"
        return Operation("get", "list", identity, self.tag, text, self.own, LIST_PARAMETERS, answer=self.list_type)

    def _collection(self) -> tuple[Operation, ...]:
        kind, out = self.kind, []
        if "list" in kind.verbs:
            out.append(self._list())
        if "create" in kind.verbs:
            text = f"create {_article(kind.kind)}{kind.kind}"
            out.append(
                Operation(
                    "post", "post", self._name("create"), self.tag, text, self.own, WRITE_PARAMETERS,
                    body=self.type, answer=self.type, created=True,
                )
            )  # fmt: skip
        if "deletecollection" in kind.verbs:
            text, identity = f"delete collection of {kind.kind}", self._name("deleteCollection")
            parameters = tuple(sorted({*LIST_PARAMETERS[1:-2], "timeoutSeconds", *DELETE_PARAMETERS}))
            out.append(
                Operation(
                    "delete", "deletecollection", identity, self.tag, text, self.own, parameters,
                    body=DELETE_OPTIONS, answer=STATUS,
                )
            )  # fmt: skip
        return tuple(out)

    def _object(self) -> tuple[Operation, ...]:
        out = list(self._reads_and_writes(self.kind.verbs, self.own, self.type, ""))
        if "delete" in self.kind.verbs:
            text = f"delete {_article(self.kind.kind)}{self.kind.kind}"
            out.append(
                Operation(
                    "delete", "delete", self._name("delete"), self.tag, text, self.own, DELETE_PARAMETERS,
                    body=DELETE_OPTIONS, answer=self.type if self._returned else STATUS,
                )
            )  # fmt: skip
        return tuple(out)

    def _reads_and_writes(
        self, verbs: frozenset[str], identity: tuple[str, str, str], type_: str, suffix: str
    ) -> Iterator[Operation]:
        about = f"{suffix.lower()} of the specified {self.kind.kind}" if suffix else f"the specified {self.kind.kind}"
        if "get" in verbs:
            name = self._name("read", suffix)
            yield Operation("get", "get", name, self.tag, f"read {about}", identity, answer=type_)
        for verb, method, action, word in WRITES:
            if verb in verbs:
                patch = verb == "patch"
                text = f"{'partially update' if patch else 'replace'} {about}"
                parameters = (*WRITE_PARAMETERS, "force") if patch else WRITE_PARAMETERS
                yield Operation(
                    method, action, self._name(word, suffix), self.tag, text, identity, parameters,
                    body=PATCH if patch else type_, answer=type_, created=True,
                    reads=media.PATCHES if patch else ANYTHING,
                )  # fmt: skip

    def _subresource(self, sub: Subresource) -> tuple[Operation, ...]:
        identity = (sub.group, sub.version, sub.kind) if sub.version else (*self.own[:2], sub.kind)
        type_ = self._types.name(*identity)
        suffix = sub.name.capitalize()
        if sub.name in STREAMS:
            methods = [CONNECT_METHODS[verb] for verb in sorted(sub.verbs)]
            # What is passed on is passed on whatever it is.
            methods += ["head", "options"] if sub.name == "proxy" else []
            return tuple(self._connect(sub, method, identity) for method in methods)
        if sub.name == "log":
            text, name = f"read log of the specified {self.kind.kind}", self._name("read", suffix)
            return (Operation("get", "get", name, self.tag, text, self.own, LOG_PARAMETERS, stream=True),)
        if sub.verbs == frozenset({"create"}):
            text = f"create {sub.name} of {_article(self.kind.kind)}{self.kind.kind}"
            name = self._name("create", suffix)
            return (
                Operation(
                    "post", "post", name, self.tag, text, identity, WRITE_PARAMETERS,
                    body=type_, answer=type_, created=True,
                ),
            )  # fmt: skip
        return tuple(self._reads_and_writes(sub.verbs, identity, type_, suffix))

    def _connect(self, sub: Subresource, method: str, identity: tuple[str, str, str]) -> Operation:
        scope = "Namespaced" if self.kind.namespaced else ""
        name = f"connect{self.title}{method.capitalize()}{scope}{self.kind.kind}{sub.name.capitalize()}"
        text = f"connect {method.upper()} requests to {sub.name} of {self.kind.kind}"
        return Operation(method, "connect", name, self.tag, text, identity, STREAMS[sub.name], stream=True)


LOG_PARAMETERS = (
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
)
