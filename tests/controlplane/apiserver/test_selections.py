"""What a list or watch is about, by its selectors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apimachinery.kinds import COMPONENT_STATUS, POD
from controlplane.apiserver.cache import select
from controlplane.apiserver.cache.entry import Entry, encode, head_of
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.cache.selectable import Selectable
from controlplane.apiserver.offloop import on_loop
from controlplane.apiserver.subresources import components


def pod(phase: str) -> Entry:
    obj = {"metadata": {"name": "a", "namespace": "n"}, "status": {"phase": phase}}
    return Entry(head_of(POD), "n", "a", 1, encode(obj, False))


def selection(text: str, read: list[str]) -> Selection:
    def phase(obj: dict[str, Any]) -> str:
        read.append(obj["status"]["phase"])
        return read[-1]

    return select.parse(POD, Selectable({"status.phase": phase}), "n", "", "", text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("status.phase=Running", True),
        ("status.phase=Running,status.phase==Running,status.phase!=Failed", True),
        ("status.phase=Running,status.phase=Failed", False),
        ("status.phase=Running,status.phase!=Running", False),
        ("status.phase!=Failed,status.phase!=Running", False),
        ("status.phase!=Failed,metadata.name=a,metadata.name!=b", True),
        ("status.phase!=Failed,metadata.name!=a", False),
    ],
)
def test_all_that_is_asked_of_a_field_holds(text: str, found: bool) -> None:
    assert selection(text, []).matches(pod("Running")) is found


def test_components_are_selected_by_their_names() -> None:
    def found(text: str) -> list[str]:
        wanted = select.parse(COMPONENT_STATUS, Selectable(), "", "", "", text)
        return [name for name in ("a", "b") if components._selected(name, wanted)]

    assert (found("metadata.name=a"), found("metadata.name!=a")) == (["a"], ["b"])


def test_a_field_is_read_once_however_much_is_asked_of_it() -> None:
    read: list[str] = []
    assert selection(",".join(f"status.phase!={number}" for number in range(1000)), read).matches(pod("Running"))
    assert read == ["Running"]


def test_long_selectors_are_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[bool] = []
    parse = select.parse

    def noted(*given: Any) -> Selection:
        places.append(on_loop())
        return parse(*given)

    monkeypatch.setattr(select, "parse", noted)

    async def main() -> None:
        for text in ("a=b", "a=b," * 1000 + "c=d"):
            await select.parsed(POD, Selectable(), "n", "", text, "")

    asyncio.run(main())
    assert places == [True, False]
