"""Service account tokens of pods: asked for once, renewed before they end.

Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken . A token is renewed when 80
% of its life or 24 hours have passed, whichever comes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from apimachinery import kinds, timestamps
from apimachinery.client import Client
from apimachinery.errors import ApiError, Unreachable
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

MAX_AGE_SECONDS = 24 * 3600.0
LIFE_FRACTION = 0.8
RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class TokenKey:
    """One token: a pod may have several, for different audiences."""

    pod_uid: str
    audience: str
    expiration: int


@dataclass(frozen=True)
class Token:
    value: str
    expires: datetime
    renew: datetime


def renewal_time(issued: datetime, expires: datetime) -> datetime:
    """When a token issued and expiring then should be replaced."""
    life = (expires - issued).total_seconds()
    return issued + (expires - issued) * (min(life * LIFE_FRACTION, MAX_AGE_SECONDS) / life if life > 0 else 0)


def token_request(pod: Obj, audience: str, expiration: int) -> Obj:
    """The TokenRequest of a token bound to `pod`."""
    meta = pod["metadata"]
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [audience] if audience else [],
            "expirationSeconds": expiration,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


class Tokens:
    """The cache; `changed(pod_uid)` is called when one of the pod's tokens should be renewed."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._tokens: dict[TokenKey, Token] = {}
        self._timers: dict[TokenKey, asyncio.TimerHandle] = {}

    async def get(self, pod: Obj, audience: str, expiration: int) -> str:
        """A token that is good for at least a fifth of its life.

        Raises ApiError or Unreachable when none can be had.
        """
        key = TokenKey(pod["metadata"]["uid"], audience, expiration)
        now, held = timestamps.now(), self._tokens.get(key)
        if held is not None and now < held.renew:
            return held.value
        try:
            token = await self._request(pod, audience, expiration, now)
        except (ApiError, Unreachable) as error:
            if held is None or now >= held.expires:
                raise
            log.warning("pod %s: cannot renew its token, keeping the old one: %s", key.pod_uid, error)
            self._wake(key, RETRY_SECONDS)
            return held.value
        self._tokens[key] = token
        self._wake(key, (token.renew - now).total_seconds())
        return token.value

    def release(self, pod_uid: str) -> None:
        """Forget the pod's tokens."""
        for key in [key for key in self._tokens if key.pod_uid == pod_uid]:
            del self._tokens[key]
        for key in [key for key in self._timers if key.pod_uid == pod_uid]:
            self._timers.pop(key).cancel()

    async def _request(self, pod: Obj, audience: str, expiration: int, now: datetime) -> Token:
        account = pod.get("spec", {}).get("serviceAccountName") or "default"
        answer = await self._client.create(
            kinds.SERVICE_ACCOUNT,
            token_request(pod, audience, expiration),
            namespace=pod["metadata"].get("namespace", "default"),
            subresource="token",
            name=account,
        )
        expires = timestamps.parse_time(answer["status"]["expirationTimestamp"])
        return Token(answer["status"]["token"], expires, renewal_time(now, expires))

    def _wake(self, key: TokenKey, seconds: float) -> None:
        if key in self._timers:
            self._timers.pop(key).cancel()
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(max(seconds, 1.0), self._changed, key.pod_uid)
