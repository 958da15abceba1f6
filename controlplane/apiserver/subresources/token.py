"""serviceaccounts/NAME/token: a signed token for an account, bound to a pod, a node or a secret when asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import NODE, POD, SECRET, SERVICE_ACCOUNT, Kind
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import body
from controlplane.apiserver.authn import service_account
from controlplane.apiserver.authn.keys import SigningKey
from controlplane.apiserver.authn.service_account import Bound, Grant
from controlplane.apiserver.options import manager_of
from controlplane.apiserver.ownership import of_part
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.reviewing import admitted

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

DEFAULT_SECONDS = 3600
LEAST_SECONDS, MOST_SECONDS = 600, 1 << 32
BINDABLE: dict[tuple[str, str], Kind] = {("", "Pod"): POD, ("", "Node"): NODE, ("", "Secret"): SECRET}
OTHER_ACCOUNT = "the UID in the token request ({}) does not match the UID of the service account ({})"
OTHER_UID = (
    "the UID in the bound object reference ({}) does not match the UID in record. "
    "The object might have been deleted and then recreated"
)


class Tokens:
    """The handler; `audiences` are the API server's own, given to tokens that ask for none."""

    def __init__(
        self,
        registry: Registry,
        key: SigningKey,
        issuer: str,
        audiences: tuple[str, ...],
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._registry = registry
        self._key = key
        self._issuer = issuer
        self._audiences = audiences
        self._clock = clock

    async def create(self, request: Request) -> Answer:
        asked = await admitted(request, body.TOKEN_REQUEST, self._registry.admit_part, (SERVICE_ACCOUNT, "token"))
        given = asked["metadata"]
        if given.get("name") not in (None, "", request.name):
            problem = errors.invalid("metadata.name", given["name"], "must match the service account name if specified")
            raise errors.invalid_object("TokenRequest", request.name, [problem], "authentication.k8s.io")
        account = self._registry.get(SERVICE_ACCOUNT, request.namespace, request.name)
        if given.get("uid") not in (None, "", uid := account["metadata"]["uid"]):
            why = OTHER_ACCOUNT.format(given["uid"], uid)
            raise errors.conflict("TokenRequest", request.name, why, "authentication.k8s.io")
        spec = {k: v for k, v in (asked.get("spec") or {}).items() if v is not None}
        spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        owned = of_part({**asked, "spec": spec}, request.catalog, manager_of(request), "token")
        spec = {**spec, "audiences": list(spec.get("audiences") or self._audiences)}
        spec.setdefault("boundObjectRef", None)
        check(spec)
        bound = self._bound(request, spec["boundObjectRef"])
        given = {**given, "managedFields": owned}
        return Answer(201, self._issue(account, given, spec, bound))

    def _issue(self, account: Obj, given: Obj, spec: Obj, bound: Bound) -> Obj:
        """The answer; given: the metadata that the request came with."""
        moment = self._clock()
        start, seconds = int(moment.timestamp()), int(spec["expirationSeconds"])
        lasting = seconds == service_account.PROJECTED_SECONDS and bound.pod_name
        own = set(spec["audiences"]) <= set(self._audiences)
        metadata = account["metadata"]
        grant = Grant(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            audiences=tuple(spec["audiences"]),
            issued=start,
            expires=start + (service_account.EXTENDED_SECONDS if lasting and own else seconds),
            warn_after=start + seconds if lasting and own else 0,
            token_id=str(uuid.uuid4()),
            bound=bound,
        )
        token = service_account.sign(self._key, service_account.claims(self._issuer, grant))
        ends = datetime.fromtimestamp(start + seconds, tz=moment.tzinfo)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                **given,
                **{part: metadata[part] for part in ("name", "namespace", "uid")},
                "creationTimestamp": format_time(moment),
            },
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": format_time(ends)},
        }

    def _bound(self, request: Request, reference: Obj | None) -> Bound:
        if reference is None:
            return Bound()
        version, kind_name = reference.get("apiVersion", ""), reference.get("kind", "")
        group, _, short = version.rpartition("/")
        kind = BINDABLE.get((group, kind_name))  # upstream looks at the group alone
        if kind is None:
            raise errors.BadRequest(f"cannot bind token to object of type {group}/{short}, Kind={kind_name}")
        name = reference.get("name", "")
        if not name:
            raise errors.BadRequest("Name parameter required.")
        found = self._registry.get(kind, request.namespace if kind.namespaced else "", name)
        uid = found["metadata"]["uid"]
        pod = self._pod(request.name, found) if kind is POD else None
        if reference.get("uid") not in (None, "", uid):
            raise errors.conflict(kind_name, name, OTHER_UID.format(reference["uid"]))
        if pod is not None:
            return pod
        return Bound(node_name=name, node_uid=uid) if kind is NODE else Bound(secret_name=name, secret_uid=uid)

    def _pod(self, account: str, pod: Obj) -> Bound:
        if (pod["spec"].get("serviceAccountName") or "default") != account:
            text = (
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
            raise errors.BadRequest(text)
        node_name = pod["spec"].get("nodeName", "")
        node = self._registry.find(NODE, "", node_name) if node_name else None
        return Bound(
            pod_name=pod["metadata"]["name"],
            pod_uid=pod["metadata"]["uid"],
            node_name=node_name,
            node_uid=node["metadata"]["uid"] if node else "",
        )


def check(spec: Obj) -> None:
    """Raises Invalid for lifetimes out of bounds."""
    seconds, field = spec["expirationSeconds"], "spec.expirationSeconds"
    text = ""
    if not isinstance(seconds, int) or seconds < LEAST_SECONDS:
        text = "may not specify a duration less than 10 minutes"
    elif seconds > MOST_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
    if text:
        problem = errors.invalid(field, seconds, text)
        raise errors.invalid_object("TokenRequest", "", [problem], "authentication.k8s.io")
