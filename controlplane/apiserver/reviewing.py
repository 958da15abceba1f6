"""What is asked in the shape of objects that are made and not kept: reviews, bindings, evictions, tokens.

Admission sees them as it does any object.
"""

from __future__ import annotations

from typing import Protocol

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import body, options
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Request


class Admit(Protocol):
    """As `Registry.admit_part`: may change the body. Raises ApiError."""

    async def __call__(
        self, kind: Kind, subresource: str, namespace: str, name: str, body: Obj, context: Context
    ) -> None: ...


async def admitted(
    request: Request, kind: Kind, admit: Admit, of: tuple[Kind, str] | None = None, also: tuple[str, ...] = ()
) -> Obj:
    """What of that kind is in the request's body, as admission leaves it, its metadata present. Raises ApiError.

    of: the kind and subresource that it is asked at, where that is not the kind itself; also: as `body.read`.
    """
    context = options.write_context(request, "CreateOptions")
    asked = await body.read(request, kind, context, also)
    (owner, part), name = of or (kind, ""), request.name or asked["metadata"].get("name") or ""
    await admit(owner, part, request.namespace, name, asked, context)
    return {**asked, "metadata": asked.get("metadata") or {}}
