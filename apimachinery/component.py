"""This process as a component: since when it runs, and what it shows of itself (`zpages`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from apimachinery import zpages
from apimachinery.kit import births
from apimachinery.kit.serve import Page
from apimachinery.timestamps import now


def pages(name: str, settings: Any, paths: Iterable[str]) -> Mapping[str, Page]:
    """/statusz and /flagz of the component `name`, which has these settings and serves these paths besides."""
    shown = zpages.Component(name, births.moment(births.start_ticks(os.getpid())), settings, (*paths, zpages.FLAGZ))

    def answer(path: str, header: str) -> zpages.Page:
        return zpages.page(path, shown, header, now())

    return {path: partial(answer, path) for path in (zpages.STATUSZ, zpages.FLAGZ)}
