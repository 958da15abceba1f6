"""Ends tokens that were made for service accounts by an older Kubernetes and that nobody has used for long (KEP-2799).

First such a Secret is marked as invalid, so that whoever misses it can take the mark off; it goes as much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from apimachinery import errors
from apimachinery.kinds import CONFIG_MAP, POD, SECRET, SERVICE_ACCOUNT
from apimachinery.objects import Obj, is_deleting, key, labels, name, namespace, resource_version, uid
from apimachinery.timestamps import now, parse_time
from controlplane.apiserver.authn.legacy_token import INVALID_SINCE, LAST_USED
from controlplane.apiserver.authz import graph
from controlplane.apiserver.maintained.authentication import TRACKING
from controlplane.controllers.context import Context, synced
from controlplane.controllers.tokens import plan

log = logging.getLogger(__name__)

# Seconds between looks, as upstream's.
PERIOD = 24 * 3600.0


class Verdict(enum.Enum):
    """What becomes of a Secret."""

    KEEP = "keep"
    MARK = "mark"
    REMOVE = "remove"


def day(text: str | None) -> datetime | None:
    """A day as labels have it; None for what is none."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def is_tracked(since: str | None, moment: datetime, unused: timedelta) -> bool:
    """Whether use has been written down for long enough, by a whole day's measure."""
    begun = day(since)
    return begun is not None and moment >= begun + timedelta(days=1) + unused


def verdict(secret: Obj, account: Obj | None, mounted: bool, moment: datetime, unused: timedelta) -> Verdict:
    """`account`: the one that a token's Secret names; `mounted`: whether a pod uses the Secret."""
    limit = moment - unused
    told = labels(secret).get(LAST_USED)
    last = day(told)
    made = parse_time(secret["metadata"]["creationTimestamp"])
    listed = any(found.get("name") == name(secret) for found in (account or {}).get("secrets") or ())
    if is_deleting(secret) or made >= limit or (told is not None and last is None) or not listed or mounted:
        return Verdict.KEEP
    # Days are compared as days: what was used on the day of the limit stays.
    first_kept = limit.replace(hour=0, minute=0, second=0, microsecond=0)
    if last is not None and last >= first_kept:
        return Verdict.KEEP
    invalid = day(labels(secret).get(INVALID_SINCE))
    if invalid is None:
        return Verdict.MARK
    return Verdict.KEEP if invalid >= first_kept else Verdict.REMOVE


def mounted_by(pods: Iterable[Obj]) -> set[str]:
    """The keys of the Secrets that pods use."""
    return {f"{space}/{called}" for pod in pods for kind, space, called in graph.needed(pod) if kind == graph.SECRET}


class UnusedTokenCleaner:
    """The loop, once a day."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._unused = timedelta(seconds=context.settings.legacy_token_clean_up_period)
        self._accounts = context.informers.of(SERVICE_ACCOUNT)
        self._secrets = context.informers.of(SECRET)
        self._pods = context.informers.of(POD)

    async def run(self) -> None:
        await synced(self._accounts, self._secrets, self._pods)
        while True:
            try:
                await self._look(now())
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("unused tokens not looked at: %s", error)
            await asyncio.sleep(PERIOD)

    async def _look(self, moment: datetime) -> None:
        tracking = await self._client.get(CONFIG_MAP, TRACKING, "kube-system")
        if not is_tracked((tracking.get("data") or {}).get("since"), moment, self._unused):
            return
        found = [secret for secret in self._secrets.items() if plan.is_account_token(secret)]
        mounted = mounted_by(self._pods.items()) if found else set()
        for secret in found:
            account = self._accounts.get(plan.account_key(secret))
            own = account if plan.is_for(secret, account) else None
            await self._apply(secret, verdict(secret, own, key(secret) in mounted, moment, self._unused), moment)

    async def _apply(self, secret: Obj, wanted: Verdict, moment: datetime) -> None:
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            if wanted is Verdict.MARK:
                log.info("marking the unused token in Secret %s as invalid", key(secret))
                meta = {"uid": uid(secret), "labels": {INVALID_SINCE: moment.strftime("%Y-%m-%d")}}
                await self._client.patch(SECRET, name(secret), {"metadata": meta}, namespace(secret))
            elif wanted is Verdict.REMOVE:
                log.info("removing the unused token in Secret %s", key(secret))
                version = resource_version(secret)
                await self._client.delete(SECRET, name(secret), namespace(secret), resource_version=version)
