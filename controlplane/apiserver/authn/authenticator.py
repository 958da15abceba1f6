"""The chain of authenticators behind one function: request in, `User` or a refusal out."""

from __future__ import annotations

import base64
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import ApiError, Unauthorized
from apimachinery.objects import Obj
from controlplane.apiserver.authn import (
    bootstrap_token,
    certificates,
    front_proxy,
    impersonation,
    legacy_token,
    service_account,
    token_file,
)
from controlplane.apiserver.authn.keys import PublicKey
from controlplane.apiserver.authn.user import authenticated
from controlplane.apiserver.request import (
    ANONYMOUS,
    Attributes,
    Decision,
    Request,
    User,
    asks_for_websocket,
    attributes,
)

# Verified claims are kept so that RS256 is paid once a token, not once a request; bound objects are looked at
# every time.
CACHED_TOKENS = 4096
CACHED_CERTIFICATES = 1024
CACHE_SECONDS = 300.0
SPACED = "the provided Authorization header contains extra space before the bearer token, and is ignored"
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
_UNPADDED = re.compile("[A-Za-z0-9_-]*")

Authorize = Callable[[User, Attributes], Awaitable[Decision]]
Forbid = Callable[[User, Attributes, str], ApiError]


@dataclass(frozen=True)
class TokenSettings:
    """How service account tokens are verified.

    `issuers[0]` issues new tokens; `audiences` are the API server's own.
    """

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    keys: Mapping[str, PublicKey]
    lookup: service_account.Lookup
    used: Callable[[Obj], None] = lambda secret: None
    """Told of the Secret whose token somebody presented."""


@dataclass(frozen=True)
class Holder:
    """Whom a certificate names (None: nobody), and whether it is one of a server in front."""

    user: User | None
    fronts: bool = False
    client: bool = True


@dataclass
class Authenticator:
    """A server in front, x509, then token file, bootstrap tokens, service account tokens, then anonymous; impersonation
    on top.
    """

    tokens: TokenSettings
    static_tokens: Mapping[str, User]
    authorize: Authorize
    forbid: Forbid
    anonymous: bool = True
    bootstrap_tokens: bool = False
    constrained: bool = False
    """Whether the constrained modes of impersonation are asked for first."""
    fronts: certificates.Fronts | None = None
    """Servers in front that name the user in headers; None: there are none, and every certificate is a client's."""
    clock: Callable[[], float] = time.time
    _verified: OrderedDict[tuple[str, tuple[str, ...]], tuple[float, dict[str, Any]]] = field(
        default_factory=OrderedDict
    )
    _certificates: OrderedDict[bytes, Holder] = field(default_factory=OrderedDict)

    async def __call__(self, request: Request) -> User | None:
        """The user of a request; None (or Unauthorized) when its credentials are no good."""
        user = self._identify(request)
        if user is None:
            return None
        items = getattr(request.headers, "items", None)
        wanted = impersonation.parse(items()) if items else None
        if wanted is None:
            return user
        refusals = []
        for way in impersonation.ways(wanted, user, attributes(request) if self.constrained else None):
            refusal = await self._refusal(way)
            if refusal is None:
                return way.user
            refusals.append(refusal)
        raise refusals[0]

    async def _refusal(self, way: impersonation.Way) -> Exception | None:
        """Why a way to impersonate somebody is not open; None when it is."""
        for step in way.steps:
            if step.refusal:
                return self.forbid(way.asker, step.questions[0], step.refusal)
            if step.instead is not None and (await self.authorize(way.asker, step.instead)).allowed:
                continue
            for question in step.questions:
                decision = await self.authorize(way.asker, question)
                if not decision.allowed:
                    return self.forbid(way.asker, question, decision.reason)
        return None

    def _identify(self, request: Request) -> User | None:
        holder = self._holder(request)
        if holder is not None and holder.fronts:
            named = front_proxy.user_of(request.headers.items())
            if named is not None:
                return authenticated(named)
        if holder is not None and holder.client and holder.user is not None:
            return holder.user
        if is_spaced(request.headers):
            request.warnings.append(SPACED)
        presented = False
        for token in bearer_tokens(request.headers):
            presented = True
            if (user := self.user_of_token(token)) is not None:
                return authenticated(user)
        if presented:
            # A token that is no good is refused, never taken for anonymous.
            raise Unauthorized("Unauthorized")
        if holder is not None and not holder.client:
            # A server in front that names nobody is nobody.
            raise Unauthorized("Unauthorized")
        return ANONYMOUS if self.anonymous else None

    def _holder(self, request: Request) -> Holder | None:
        """The holder of the connection's certificate; each certificate is read once."""
        transport = request.transport
        peer = transport.get_extra_info("peercert") if transport is not None else None
        if transport is None or not peer:
            return None
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(True) if tls is not None else None
        known = self._certificates.get(der) if der is not None else None
        if known is not None:
            return known
        found = certificates.user_of(peer, der)
        holder = Holder(authenticated(found) if found is not None else None)
        told = True
        if self.fronts is not None and tls is not None and der is not None:
            chain = self.fronts.behind(tls, der)
            fronts, told = self.fronts.has(chain, found.name if found is not None else ""), bool(chain)
            holder = Holder(holder.user, fronts, self.fronts.is_client(chain))
        if der is not None and told:
            self._certificates[der] = holder
            if len(self._certificates) > CACHED_CERTIFICATES:
                self._certificates.popitem(last=False)
        return holder

    def user_of_token(self, token: str, audiences: tuple[str, ...] = ()) -> User | None:
        """The user behind a bearer token for any of `audiences` (default: the server's own); None: nobody."""
        try:
            return self.named_by(token, audiences)
        except service_account.TokenInvalid:
            return None

    def named_by(self, token: str, audiences: tuple[str, ...] = ()) -> User:
        """As user_of_token. Raises TokenInvalid when it is nobody."""
        found = token_file.find(self.static_tokens, token)
        if found is None and self.bootstrap_tokens:
            found = bootstrap_token.user_of(token, self.tokens.lookup, self.clock())
        if found is not None:
            return found
        # What has been verified is no legacy token: most requests need not be taken apart to know.
        verified = (token, audiences or self.tokens.audiences) in self._verified
        if not verified and legacy_token.is_one(token):
            # Such a token is for this server alone, and its Secret is looked at each time.
            known = self.tokens
            if audiences and not set(audiences) & set(known.audiences):
                raise service_account.TokenInvalid(service_account.other_audience(known.audiences, audiences))
            return legacy_token.user_of(token, known.keys, known.lookup, known.used)
        claims = self.claims_of(token, audiences)
        return service_account.user_of(claims, self.tokens.lookup, self.clock())

    def claims_of(self, token: str, audiences: tuple[str, ...] = ()) -> dict[str, Any]:
        """Verified claims of a service account token; raises TokenInvalid."""
        wanted = audiences or self.tokens.audiences
        key, now = (token, wanted), self.clock()
        cached = self._verified.get(key)
        if cached is not None and now < cached[0]:
            self._verified.move_to_end(key)
            return cached[1]
        claims = service_account.verify(token, self.tokens.keys, self.tokens.issuers, wanted)
        self._verified[key] = (min(now + CACHE_SECONDS, float(claims["exp"])), claims)
        if len(self._verified) > CACHED_TOKENS:
            self._verified.popitem(last=False)
        return claims


def bearer_tokens(headers: Mapping[str, str]) -> Iterator[str]:
    """The bearer tokens of a request, which are tried in turn.

    Browsers cannot set headers on a WebSocket: they name the token among the protocols they offer, and what stands in a
    header there may be another's, a proxy's. One space stands before the token, and what comes after it is nothing.
    Raises Unauthorized at what is no token, where those before it were no good.
    """
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and (token := rest.partition(" ")[0]):
        yield token
    if asks_for_websocket(headers) and (token := _offered(headers)):
        yield token


def _offered(headers: Mapping[str, str]) -> str:
    """The token among the protocols that are offered, "" where there is none. Raises Unauthorized for what is none, for
    several, and for one beside which no protocol is left to be spoken.
    """
    lines = (value for name, value in headers.items() if name.lower() == "sec-websocket-protocol")
    words = [word.strip() for line in lines for word in line.split(",")]
    tokens = [word.removeprefix(WEBSOCKET_TOKEN) for word in words if word.startswith(WEBSOCKET_TOKEN)]
    if tokens in ([], [""]):
        return ""
    if len(tokens) > 1 or len(words) == 1 or not _UNPADDED.fullmatch(tokens[0]):
        raise Unauthorized("Unauthorized")
    try:
        return base64.urlsafe_b64decode(tokens[0] + "=" * (-len(tokens[0]) % 4)).decode()
    except ValueError as error:
        raise Unauthorized("Unauthorized") from error


def is_spaced(headers: Mapping[str, str]) -> bool:
    """Whether a request has a token behind more than one space, where it is none."""
    return headers.get("Authorization", "").strip().lower().startswith("bearer  ")


def without_token(protocols: str) -> str:
    """The protocols a WebSocket client offers, its token left out: that was for this server alone."""
    words = (word.strip() for word in protocols.split(","))
    return ", ".join(word for word in words if not word.startswith(WEBSOCKET_TOKEN))
