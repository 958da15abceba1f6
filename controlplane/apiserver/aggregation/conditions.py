"""What the condition Available of an APIService should be. Pure.

As far as it can be told from objects; whether the server answers is asked by who writes the condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time
from controlplane.apiserver.aggregation.remotes import Remote
from controlplane.apiserver.streams.services import port_name

TYPE = "Available"


@dataclass(frozen=True)
class Condition:
    available: bool
    reason: str
    message: str


LOCAL = Condition(True, "Local", "Local APIServices are always available")
PASSED = Condition(True, "Passed", "all checks passed")


def undiscovered(message: str) -> Condition:
    """The server was asked and did not answer well."""
    return Condition(False, "FailedDiscoveryCheck", message)


def of_objects(remote: Remote, service: Obj | None, slices: Iterable[Obj]) -> Condition | None:
    """What is wrong with the Service or its EndpointSlices; None when nothing is."""
    namespace, name, port = remote.service
    called = f'service/{name} in "{namespace}"'
    if service is None:
        return Condition(False, "ServiceNotFound", f"{called} is not present")
    # What other types of Services lead to is nobody's here to know.
    if ((service.get("spec") or {}).get("type") or "ClusterIP") != "ClusterIP":
        return None
    port_called = port_name(service, port)
    if port_called is None:
        return Condition(False, "ServicePortError", f"{called} is not listening on port {port}")
    found = list(slices)
    if not found:
        return Condition(False, "EndpointsNotFound", f"cannot find endpointslices for {called}")
    if not any(_serves(one, port_called) for one in found):
        text = f'endpointslices for {called} have no addresses with port name "{port_called}"'
        return Condition(False, "MissingEndpoints", text)
    return None


def _serves(found: Obj, port: str) -> bool:
    ready = any(
        (one.get("conditions") or {}).get("ready") in (None, True) and one.get("addresses")
        for one in found.get("endpoints") or ()
    )
    return ready and any((one.get("name") or "") == port and one.get("port") for one in found.get("ports") or ())


def told(api_service: Obj, condition: Condition, at: datetime) -> Obj:
    """The APIService with its condition so; the time in it is that of the last change of its status."""
    status = api_service.get("status") or {}
    listed = list(status.get("conditions") or ())
    index = next((n for n, one in enumerate(listed) if one.get("type") == TYPE), None)
    new = {
        "type": TYPE,
        "status": "True" if condition.available else "False",
        "lastTransitionTime": format_time(at),
        "reason": condition.reason,
        "message": condition.message,
    }
    if index is None:
        listed.append(new)
    else:
        old = listed[index]
        if old.get("status") == new["status"] and old.get("lastTransitionTime"):
            new["lastTransitionTime"] = old["lastTransitionTime"]
        listed[index] = new
    return {**api_service, "status": {**status, "conditions": listed}}
