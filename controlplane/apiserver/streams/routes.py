"""Which stream handler serves which subresource."""

from __future__ import annotations

from apimachinery.kinds import NODE, POD, SERVICE
from controlplane.apiserver.request import Handler
from controlplane.apiserver.streams.pods import PodStreams
from controlplane.apiserver.streams.proxy import Proxies


def table(pods: PodStreams, proxies: Proxies) -> dict[tuple[str, str, str], Handler]:
    """(resource, subresource, verb) -> handler."""
    out: dict[tuple[str, str, str], Handler] = {(POD.resource, "log", "get"): pods.log}
    for name, handler in (("exec", pods.exec), ("attach", pods.attach), ("portforward", pods.portforward)):
        out |= {(POD.resource, name, verb): handler for verb in ("get", "create")}
    for kind, proxy in ((POD, proxies.pod), (SERVICE, proxies.service), (NODE, proxies.node)):
        out[(kind.resource, "proxy", "*")] = proxy
    return out
