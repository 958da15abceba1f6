"""Who writes and with which options."""

from __future__ import annotations

from dataclasses import dataclass, field

from apimachinery.objects import Obj
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.defaults.empties import Empties
from controlplane.apiserver.registry.converting import Conversions
from controlplane.apiserver.request import ANONYMOUS, User


@dataclass
class Context:
    """One write. options is the verb's Options object as a dict; warnings collects what the client is to be
    told.

    manager names the writer in managedFields. catalog: the kinds that are served.
    """

    catalog: Catalog
    user: User = ANONYMOUS
    options: Obj = field(default_factory=dict)
    dry_run: bool = False
    manager: str = "unknown"
    # Bytes of the body: what is large is worked on beside the event loop.
    size: int = 0
    field_validation: str = "Ignore"
    # The version the client speaks, when it is not the one that the kind is stored under.
    version: str = ""
    # Whoever makes the object has settled who owns what, as server-side apply does.
    settled: bool = False
    # What this is a part of has passed admission.
    admitted: bool = False
    warnings: list[str] = field(default_factory=list)
    # What webhooks have made of what is written.
    conversions: Conversions = field(default_factory=Conversions)
    # What came empty and is not kept.
    empties: Empties = field(default_factory=Empties)
