"""What others read to authenticate as this server does: servers behind it, and upstream's scheduler and controllers."""

from __future__ import annotations

import re
from datetime import datetime

from apimachinery import kinds
from apimachinery.objects import Obj
from controlplane.apiserver.maintained.keeping import Wanted

AUTHENTICATION = "extension-apiserver-authentication"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
CLIENT_CA = "client-ca-file"
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def wanted(client_ca: str) -> tuple[Wanted, ...]:
    """client_ca: PEM of whom client certificates are believed from; "" where nobody's are."""

    def authentication(found: Obj | None, now: datetime) -> Obj:
        obj = found or {}
        data = obj.get("data") or {}
        if not client_ca:
            return obj
        return {**obj, "data": {**data, CLIENT_CA: joined(data.get(CLIENT_CA, ""), client_ca)}}

    return (
        Wanted(kinds.CONFIG_MAP, AUTHENTICATION, authentication, "kube-system"),
        Wanted(kinds.CONFIG_MAP, TRACKING, _tracking, "kube-system"),
    )


def joined(stored: str, own: str) -> str:
    """The certificates of both, each once: another server may still show those of an older authority."""
    every = dict.fromkeys((*_CERTIFICATE.findall(stored), *_CERTIFICATE.findall(own)))
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
