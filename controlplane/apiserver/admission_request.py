"""One write as admission sees it, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.apiserver.request import User

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass
class Admission:
    """One write on its way to the store. Mutating steps change obj in place; every step may raise an ApiError.

    obj is the new object (None on DELETE), old the stored one (None on CREATE; shared, never to be changed). On a
    CREATE or CONNECT of a subresource obj is the request's own body or options (a Binding, PodExecOptions).
    options is the CreateOptions/UpdateOptions/PatchOptions/DeleteOptions as a dict. version is the client's, "" when
    it is the stored one. name is what refusals call the object; given_name is "" for a name still to be generated.
    changed says that obj became another one (a webhook's patch). reservations are kept when the write is stored and
    released in any case; annotations are for the audit log. admitted: a part of what has been admitted already.
    """

    user: User
    operation: Operation
    kind: Kind
    subresource: str
    namespace: str
    name: str
    obj: Obj | None
    old: Obj | None
    options: Obj
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    version: str = ""
    given_name: str = ""
    changed: bool = False
    reservations: list[Reservation] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    admitted: bool = False
    # A plugin changed what those before it have seen: the mutating phase runs once more, and `again` says so then.
    reinvoke: bool = False
    again: bool = False
    memory: dict[str, object] = field(default_factory=dict)


class AdmissionChain(Protocol):
    """What a write is asked before it is stored: admit may change it, validate may not. Both raise ApiError."""

    async def admit(self, admission: Admission) -> None: ...
    async def validate(self, admission: Admission) -> None: ...
