"""Reviews: questions in the shape of objects that are made and not kept. Admission sees them as it does any object."""

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


async def admitted(request: Request, kind: Kind, admit: Admit) -> Obj:
    """The review of that kind in the request's body, as admission leaves it. Raises ApiError."""
    context = options.write_context(request, "CreateOptions")
    review = await body.read(request, kind, context)
    await admit(kind, "", request.namespace, review["metadata"].get("name", ""), review, context)
    review.setdefault("metadata", {})
    return review
