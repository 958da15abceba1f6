"""The headers of a client's request as they go on to who answers it, the same wherever one is passed on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from controlplane.apiserver.authn.authenticator import without_token
from controlplane.apiserver.authn.front_proxy import is_about
from controlplane.apiserver.request import Request
from controlplane.apiserver.streams import wire

# For this server alone, or said anew here.
_PRIVATE = frozenset({"authorization", "host", "x-forwarded-for", "x-forwarded-uri"})


def passed_on(request: Request, upgrade: bool, private: Collection[str]) -> Iterator[tuple[str, str]]:
    """Those of a request without its credentials, without who somebody is and without those about its own connection;
    and which way it came. private: names in lower case of what else is not passed on.
    """
    for name, value in wire.end_to_end(request.headers.items()):
        low = name.lower()
        if low in _PRIVATE or low in private or low.startswith("impersonate-") or is_about(name):
            continue
        yield name, without_token(value) if low == "sec-websocket-protocol" else value
    if upgrade:
        yield "Connection", "Upgrade"
        yield from (("Upgrade", value) for value in _every(request, "upgrade"))
    yield "X-Forwarded-Uri", request.path
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if said := ", ".join([*_every(request, "x-forwarded-for"), *([str(peer[0])] if peer else ())]):
        yield "X-Forwarded-For", said


def _every(request: Request, name: str) -> list[str]:
    """What is said under a name, which may be several times."""
    return [value for other, value in request.headers.items() if other.lower() == name]
