"""Volumes that put several things in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apimachinery import errors
from apimachinery.objects import Obj

# A path, and what puts something there ("" where that goes without saying).
Taken = tuple[str, str]


def volume(value: Obj) -> Iterator[str]:
    """About the paths within a pod's volume."""
    title = errors.quoted(value.get("name") or "")
    for field, what, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        source = value.get(field) or {}
        for said in _overlaps(_items(source, "")):
            yield f"volume {title} ({what} {errors.quoted(source.get(name) or '')}): overlapping paths: {said}"
    for said in _overlaps(_items(value.get("downwardAPI") or {}, "")):
        yield f"volume {title} (DownwardAPI): overlapping paths: {said}"
    if value.get("projected") is not None:
        yield from _projected(title, value["projected"].get("sources") or ())


def _projected(title: str, sources: Iterable[Obj]) -> Iterator[str]:
    taken: list[Taken] = []
    for source in sources:
        if not any(item is not None for item in source.values()):
            yield f"volume {title} (Projected) has no sources provided"
            continue
        for said in _overlaps(_source(source), taken):
            yield f"volume {title} (Projected): overlapping paths: {said}"


def _source(source: Obj) -> Iterator[Taken]:
    for field, what in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if (source.get(field) or {}).get("items") is not None:
            yield from _items(source[field], f"{what} {errors.quoted(source[field].get('name') or '')}")
            return
    if (source.get("downwardAPI") or {}).get("items") is not None:
        yield from _items(source["downwardAPI"], "DownwardAPI")
    elif source.get("serviceAccountToken") is not None:
        yield source["serviceAccountToken"].get("path") or "", "ServiceAccountToken"


def _items(source: Obj, what: str) -> Iterator[Taken]:
    return ((item.get("path") or "", what) for item in source.get("items") or ())


def _overlaps(places: Iterable[Taken], taken: list[Taken] | None = None) -> Iterator[str]:
    """What each place shares with those before it, which are kept in `taken`."""
    taken = [] if taken is None else taken
    for path, what in places:
        place = (path.rstrip("/"), what)
        for other in taken:
            if place[0] and other[0] and (_within(place[0], other[0]) or _within(other[0], place[0])):
                yield f"{_told(place)} with {_told(other)}"
        taken.append(place)


def _within(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _told(place: Taken) -> str:
    path, what = place
    return f"{errors.quoted(path)} ({what})" if what else errors.quoted(path)
