"""Swagger documents of several servers in one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from apimachinery.objects import Obj

_DEFINITIONS, _PARAMETERS = "#/definitions/", "#/parameters/"
_IDENTITIES = "x-kubernetes-group-version-kind"


def part(document: Obj, keep: Callable[[str], bool]) -> Obj:
    """Some of a document's paths, and of its definitions those that these need or that no path ever needed.

    Parameters that paths have in common stand in each of them, as in this server's own documents.
    """
    parameters = document.get("parameters") or {}
    every = {path: _with(item, parameters) for path, item in (document.get("paths") or {}).items()}
    paths = {path: item for path, item in every.items() if keep(path)}
    definitions = document.get("definitions") or {}
    before = _needed(every, definitions)
    now = _needed(paths, definitions)
    kept = {name: schema for name, schema in definitions.items() if name in now or name not in before}
    rest = {member: value for member, value in document.items() if member != "parameters"}
    return {**rest, "paths": paths, "definitions": kept}


def _with(value: Any, parameters: Mapping[str, Any]) -> Any:
    """The same with its references to parameters replaced by these."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(_PARAMETERS):
            return parameters.get(reference.removeprefix(_PARAMETERS), {})
        return {key: _with(one, parameters) for key, one in value.items()} if parameters else value
    return [_with(one, parameters) for one in value] if isinstance(value, list) and parameters else value


def merged(own: Obj, others: Iterable[Obj]) -> Obj:
    """One document of all. Of paths the first counts; definitions that differ under one name are told apart by _v2, _v3
    and so on, and those that are the same are of the kinds of both.
    """
    out = {**own, "paths": dict(own.get("paths") or {}), "definitions": dict(own.get("definitions") or {})}
    for other in others:
        _add(out, other)
    return out


def _add(out: Obj, other: Obj) -> None:
    other = part(other, lambda path: path not in out["paths"])
    if not other["paths"]:
        return
    definitions = other["definitions"]
    names = {_DEFINITIONS + old: _DEFINITIONS + name for old, name in _renames(definitions, out["definitions"])}
    if names:
        renamed = _renamed(definitions, names)
        definitions = {names.get(_DEFINITIONS + k, _DEFINITIONS + k)[len(_DEFINITIONS) :]: renamed[k] for k in renamed}
    for name, schema in definitions.items():
        found = out["definitions"].get(name)
        out["definitions"][name] = schema if found is None else _of_both(found, schema)
    out["paths"] |= _renamed(other["paths"], names) if names else other["paths"]


def _references(value: Any) -> Iterator[str]:
    """Every $ref in a document's part."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found = one.get("$ref")
            if isinstance(found, str):
                yield found
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _needed(paths: Obj, definitions: Obj) -> set[str]:
    """The definitions that paths lead to, also by way of others."""
    found: set[str] = set()
    waiting = list(_references(paths))
    while waiting:
        reference = waiting.pop()
        name = reference.removeprefix(_DEFINITIONS)
        if reference.startswith(_DEFINITIONS) and name not in found:
            found.add(name)
            waiting += _references(definitions.get(name))
    return found


def _same(one: Obj, other: Obj) -> bool:
    """Whether two definitions say the same, whosesoever kinds they are."""
    return _without(one) == _without(other)


def _without(schema: Obj) -> Obj:
    return {key: value for key, value in schema.items() if key != _IDENTITIES}


def _renames(given: Mapping[str, Obj], known: Mapping[str, Obj]) -> Iterator[tuple[str, str]]:
    """(name, new name) of what is there already under its name and is something else."""
    taken = {*given, *known}
    for name, value in given.items():
        if name not in known or _same(known[name], value):
            continue
        number = 2
        while (new := f"{name}_v{number}") in taken and not (new in known and _same(known[new], value)):
            number += 1
        taken.add(new)
        yield name, new


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same with its references led to the new names."""
    if isinstance(value, dict):
        out = {key: _renamed(one, names) for key, one in value.items()}
        reference = out.get("$ref")
        if isinstance(reference, str) and reference in names:
            out["$ref"] = names[reference]
        return out
    return [_renamed(one, names) for one in value] if isinstance(value, list) else value


def _of_both(one: Obj, other: Obj) -> Obj:
    listed = [*(one.get(_IDENTITIES) or ()), *(other.get(_IDENTITIES) or ())]
    every = [identity for index, identity in enumerate(listed) if identity not in listed[:index]]
    return {**one, _IDENTITIES: every} if every else one
