"""TokenReview and SelfSubjectReview: asking the server who somebody is."""

from __future__ import annotations

from apimachinery.errors import BadRequest
from apimachinery.kinds import SELF_SUBJECT_REVIEW, TOKEN_REVIEW
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver.authn.authenticator import Authenticator
from controlplane.apiserver.authn.service_account import TokenInvalid
from controlplane.apiserver.authn.user import authenticated, info
from controlplane.apiserver.options import manager_of
from controlplane.apiserver.ownership import track_review
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.reviewing import Admit, admitted

VERSION = "authentication.k8s.io/v1"
_NOBODY = "invalid bearer token"


def _born() -> Obj:
    return {"creationTimestamp": format_time(now())}


class IdentityReviews:
    def __init__(self, authenticator: Authenticator, admit: Admit) -> None:
        self._authenticator = authenticator
        self._admit = admit

    async def self_subject(self, request: Request) -> Answer:
        await admitted(request, SELF_SUBJECT_REVIEW, self._admit)
        status = {"userInfo": info(request.user)}
        return Answer(201, {"kind": "SelfSubjectReview", "apiVersion": VERSION, "metadata": _born(), "status": status})

    async def token(self, request: Request) -> Answer:
        review = await admitted(request, TOKEN_REVIEW, self._admit)
        spec = {k: v for k, v in (review.get("spec") or {}).items() if v is not None}
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        track_review(review, request.catalog, manager_of(request))
        metadata = {k: v for k, v in review["metadata"].items() if v}
        status = self._judge(spec["token"], tuple(spec.get("audiences") or ()))
        return Answer(
            201,
            {"kind": "TokenReview", "apiVersion": VERSION, "metadata": metadata, "spec": spec, "status": status},
        )

    def _judge(self, token: str, audiences: tuple[str, ...]) -> Obj:
        try:
            user = self._authenticator.named_by(token, audiences)
        except TokenInvalid as error:
            # Upstream asks two lists of tokens, of which the first says no more than this.
            return {"user": {}, "error": f"[{_NOBODY}, {error}]" if str(error) else _NOBODY}
        wanted = audiences or self._authenticator.tokens.audiences
        try:
            own = self._authenticator.claims_of(token, audiences)["aud"]
            named = frozenset([own] if isinstance(own, str) else own)
        except TokenInvalid:
            named = frozenset(wanted)  # static tokens are meant for whoever asks
        shared = [audience for audience in wanted if audience in named]
        return {"authenticated": True, "user": info(authenticated(user)), "audiences": shared}
