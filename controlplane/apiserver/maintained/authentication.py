"""What others read to authenticate as this server does: servers behind it, and upstream's scheduler and controllers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from apimachinery import kinds
from apimachinery.objects import Obj
from controlplane.apiserver.authn import certificates, front_proxy
from controlplane.apiserver.maintained.keeping import Wanted

AUTHENTICATION = "extension-apiserver-authentication"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
CLIENT_CA = "client-ca-file"
FRONT_CA, FRONT_NAMES = "requestheader-client-ca-file", "requestheader-allowed-names"
_HEADERS = {
    "requestheader-username-headers": (front_proxy.USER,),
    "requestheader-uid-headers": (front_proxy.UID,),
    "requestheader-group-headers": (front_proxy.GROUP,),
    "requestheader-extra-headers-prefix": (front_proxy.EXTRA,),
}


def wanted(client_ca: str, front_ca: str = "", front_names: Sequence[str] = ()) -> tuple[Wanted, ...]:
    """client_ca: PEM of whom client certificates are believed from; front_ca: of whom those of servers in front are,
    with the common names that they may have. "" where nobody's are.
    """

    def authentication(found: Obj | None, now: datetime) -> Obj:
        obj = found or {}
        data = dict(obj.get("data") or {})
        if client_ca:
            data[CLIENT_CA] = joined(data.get(CLIENT_CA, ""), client_ca)
        if front_ca:
            data[FRONT_CA] = joined(data.get(FRONT_CA, ""), front_ca)
            data[FRONT_NAMES] = listed(data.get(FRONT_NAMES, ""), front_names)
            for key, own in _HEADERS.items():
                data[key] = listed(data.get(key, ""), own)
        return {**obj, "data": data} if client_ca or front_ca else obj

    return (
        Wanted(kinds.CONFIG_MAP, AUTHENTICATION, authentication, "kube-system"),
        Wanted(kinds.CONFIG_MAP, TRACKING, _tracking, "kube-system"),
    )


def listed(stored: str, own: Iterable[str]) -> str:
    """The names of both, each once, as a JSON list: another server may still have others."""
    try:
        before = json.loads(stored) if stored else []
    except ValueError:
        before = []
    every = dict.fromkeys((*(str(name) for name in before if isinstance(before, list)), *own))
    return json.dumps(list(every), separators=(",", ":"))


def joined(stored: str, own: str) -> str:
    """The certificates of both, each once: another server may still show those of an older authority."""
    every = dict.fromkeys((*certificates.listed(stored), *certificates.listed(own)))
    return "".join(f"{certificate}\n" for certificate in every)


def _tracking(found: Obj | None, now: datetime) -> Obj:
    """Since when the use of token Secrets is taken down (KEP-2799)."""
    obj = found or {}
    data = obj.get("data") or {}
    try:
        datetime.strptime(data.get("since", ""), "%Y-%m-%d")
    except ValueError:
        return {**obj, "data": {**data, "since": now.strftime("%Y-%m-%d")}}
    return obj
