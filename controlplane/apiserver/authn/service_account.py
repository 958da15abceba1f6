"""Service account tokens: claims, signing and verifying (KEP-1205, KEP-4193).

A token names its account, and may be bound to a pod, a node or a secret: it dies with that object. Claims are built and
checked here as values; looking the objects up is the caller's (`Lookup`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from apimachinery.errors import quoted
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.authn.keys import PublicKey, SigningKey
from controlplane.apiserver.authn.user import (
    CREDENTIAL_ID,
    NODE_NAME,
    NODE_UID,
    POD_NAME,
    POD_UID,
    service_account_groups,
    service_account_name,
)
from controlplane.apiserver.request import User

PRIVATE = "kubernetes.io"
# A projected token of this lifetime comes from the default volume; upstream lets clients that never reread it
# live on.
PROJECTED_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
# A bound object that is being deleted keeps its tokens valid this long after its deletion time.
DELETION_LEEWAY_SECONDS = 60

# (kind, namespace, name) -> the stored object; kinds: ServiceAccount, Pod, Node, Secret.
Lookup = Callable[[str, str, str], "Obj | None"]


# What upstream says of signatures and of bound objects that do not hold.
BAD_SIGNATURE = "go-jose/go-jose: error in cryptographic primitive"
_NO_KEYS = "invalid signature, no keys found"
_INVALIDATED = "service account token has been invalidated"


class TokenInvalid(Exception):
    """The token authenticates nobody; the message says why as upstream does, "" of one that is none of ours."""


@dataclass(frozen=True)
class Bound:
    """What a token is bound to besides its service account; empty strings where it is not."""

    pod_name: str = ""
    pod_uid: str = ""
    node_name: str = ""
    node_uid: str = ""
    secret_name: str = ""
    secret_uid: str = ""

    def claims(self) -> dict[str, dict[str, str]]:
        pairs = (
            ("node", self.node_name, self.node_uid),
            ("pod", self.pod_name, self.pod_uid),
            ("secret", self.secret_name, self.secret_uid),
        )
        return {kind: {"name": name, **({"uid": uid} if uid else {})} for kind, name, uid in pairs if name}


@dataclass(frozen=True)
class Grant:
    """One token to be issued. Times are seconds since the epoch; `warn_after` 0 means none."""

    namespace: str
    name: str
    uid: str
    audiences: tuple[str, ...]
    issued: int
    expires: int
    warn_after: int
    token_id: str
    bound: Bound


def claims(issuer: str, grant: Grant) -> dict[str, Any]:
    private: dict[str, Any] = {
        "namespace": grant.namespace,
        **grant.bound.claims(),
        "serviceaccount": {"name": grant.name, "uid": grant.uid},
    }
    if grant.warn_after:
        private["warnafter"] = grant.warn_after
    return {
        "aud": list(grant.audiences),
        "exp": grant.expires,
        "iat": grant.issued,
        "iss": issuer,
        "jti": grant.token_id,
        PRIVATE: private,
        "nbf": grant.issued,
        "sub": service_account_name(grant.namespace, grant.name),
    }


def sign(key: SigningKey, payload: Mapping[str, Any]) -> str:
    return jwt.encode(
        dict(payload),
        key.key,
        algorithm=key.public.algorithm,
        headers={"kid": key.public.key_id, "typ": None},
    )


def verify(
    token: str, keys: Mapping[str, PublicKey], issuers: Sequence[str], audiences: Sequence[str]
) -> dict[str, Any]:
    """The claims of a token whose signature, issuer, audience and times hold now; raises TokenInvalid."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid", "")
        said = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise TokenInvalid from None
    if said.get("iss") not in issuers:
        raise TokenInvalid
    candidates = list(keys.values()) if not key_id else [keys[key_id]] if key_id in keys else []
    if not candidates:
        raise TokenInvalid(_NO_KEYS)
    for key in candidates:
        try:
            return _verified(token, key, issuers, audiences)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
        except jwt.PyJWTError as error:
            raise TokenInvalid(_why(error, said, audiences)) from error
    raise TokenInvalid(BAD_SIGNATURE)


def _verified(token: str, key: PublicKey, issuers: Sequence[str], audiences: Sequence[str]) -> dict[str, Any]:
    return dict(
        jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=list(audiences),
            issuer=list(issuers),
            options={"require": ["exp", "iss", "sub", "aud"]},
            leeway=0,
        )
    )


def _why(error: jwt.PyJWTError, said: Mapping[str, Any], audiences: Sequence[str]) -> str:
    """What upstream says where claims that are signed do not hold."""
    if isinstance(error, jwt.ExpiredSignatureError):
        return "service account token has expired"
    if isinstance(error, jwt.ImmatureSignatureError):
        return "service account token is not valid yet"
    if isinstance(error, jwt.InvalidAudienceError):
        named = said.get("aud") or []
        return other_audience([named] if isinstance(named, str) else named, audiences)
    return str(error)


def other_audience(named: Sequence[str], wanted: Sequence[str]) -> str:
    """What upstream says of a token that is for others."""
    ours, theirs = (" ".join(quoted(str(audience)) for audience in audiences) for audiences in (named, wanted))
    return f"token audiences [{ours}] is invalid for the target audiences [{theirs}]"


def user_of(payload: Mapping[str, Any], lookup: Lookup, now: float) -> User:
    """The user of verified claims; raises TokenInvalid when the account or a bound object is gone."""
    private = payload.get(PRIVATE)
    account = private.get("serviceaccount") if isinstance(private, dict) else None
    if not isinstance(private, dict) or not isinstance(account, dict):
        raise TokenInvalid("the token has no service account claims")
    namespace, name = str(private.get("namespace", "")), str(account.get("name", ""))
    if payload.get("sub") != service_account_name(namespace, name):
        raise TokenInvalid("subject and private claims disagree")
    _account(lookup, namespace, account, now)
    extra: dict[str, tuple[str, ...]] = {}
    if secret := private.get("secret"):
        _bound(lookup, "Secret", namespace, secret, now)
    if pod := private.get("pod"):
        _bound(lookup, "Pod", namespace, pod, now)
        extra |= {POD_NAME: (pod["name"],), POD_UID: (pod.get("uid", ""),)}
    if node := private.get("node"):
        # A pod's token carries its node for information; only a token bound to the node itself dies with it.
        if not pod:
            _bound(lookup, "Node", "", node, now)
        extra |= {NODE_NAME: (node["name"],)}
        if node.get("uid"):
            extra |= {NODE_UID: (node["uid"],)}
    if token_id := payload.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={token_id}",)
    return User(
        service_account_name(namespace, name),
        str(account.get("uid", "")),
        service_account_groups(namespace),
        extra,
    )


def _account(lookup: Lookup, namespace: str, reference: Mapping[str, Any], now: float) -> None:
    name = str(reference.get("name", ""))
    found = lookup("ServiceAccount", namespace, name)
    if found is None:
        raise TokenInvalid(f"serviceaccounts {quoted(name)} not found")
    uid = found["metadata"].get("uid")
    if reference.get("uid") and uid != reference["uid"]:
        raise TokenInvalid(f"service account UID ({uid}) does not match claim ({reference['uid']})")
    if _gone(found, now):
        raise TokenInvalid(f"service account {namespace}/{name} has been deleted")


def _bound(lookup: Lookup, kind: str, namespace: str, reference: Mapping[str, Any], now: float) -> None:
    found = lookup(kind, namespace, str(reference.get("name", "")))
    if found is None:
        raise TokenInvalid(_INVALIDATED)
    uid, called = found["metadata"].get("uid"), kind.lower()
    if reference.get("uid") and uid != reference["uid"]:
        claim = f"service account {called} ref claim ({reference['uid']})"
        raise TokenInvalid(f"{called} UID ({uid}) does not match {claim}")
    if _gone(found, now):
        raise TokenInvalid(_INVALIDATED)


def _gone(found: Obj, now: float) -> bool:
    deleted = found["metadata"].get("deletionTimestamp")
    return bool(deleted) and parse_time(deleted).timestamp() + DELETION_LEEWAY_SECONDS < now
